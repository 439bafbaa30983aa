"""A user in front of the program: what tests/user/*.py have in common.

Every test works in a directory of its own and waits for conditions with a bound, never for a time.
"""
import json
import os
import pathlib
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from program import Place, verdict_of, wait_for  # noqa: E402

SOURCES = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.path.abspath(os.environ.get("TIDEMILL", SOURCES / "build/test/tidemill"))
BOUND = 60  # seconds that any condition may take


class Answer:
    def __init__(self, arguments, status, out, err):
        self.arguments, self.status, self.out, self.err = arguments, status, out, err

    def __str__(self):
        return f"$ tidemill {' '.join(self.arguments)}\n{self.out}{self.err}[exit status {self.status}]"

    def json(self):
        """The objects of an answer in JSON Lines."""
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]


class UserTest(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.own = Place("tidemill-user-")
        self.addCleanup(self.own.close)
        self.place, self.started, self.write = self.own.path, self.own.started, self.own.write
        self.root = os.path.join(self.place, "data")

    def environment(self, **more):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIDEMILL")}
        environment.update({"TIDEMILL_DATA_DIR": self.root, "TMPDIR": self.place, **more})
        return environment

    def ask(self, *arguments, stdin=None, env=None, cwd=None, seconds=BOUND):
        """Runs a command to its end. `stdin` is text or bytes; none is an empty input, no terminal."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run([PROGRAM, *arguments], input=data if data is not None else b"", capture_output=True,
                              env=self.environment(**(env or {})), cwd=cwd or SOURCES, timeout=seconds)
        return Answer(arguments, done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    def do(self, *arguments, status=0, **options):
        answer = self.ask(*arguments, **options)
        self.assertEqual(answer.status, status, str(answer))
        return answer

    def refused(self, *arguments, says, **options):
        """Wrong usage or input: exit status 2, and each text of `says` in the message."""
        answer = self.do(*arguments, status=2, **options)
        for text in [says] if isinstance(says, str) else says:
            self.assertIn(text, answer.err, str(answer))
        self.assertNotIn("bug in tidemill", answer.err)
        return answer

    def start(self, *arguments, env=None, stdin=subprocess.DEVNULL, cwd=None):
        return self.own.start([PROGRAM, *arguments], stdin=stdin, env=self.environment(**(env or {})), cwd=cwd or SOURCES)

    def end(self, process, status=0, seconds=BOUND):
        output, _ = process.communicate(timeout=seconds)
        self.assertEqual(process.returncode, status, f"{process.args}\n{output}")
        return output

    def interrupt(self, process, number=signal.SIGINT):
        process.send_signal(number)

    # ---- what a run has come to

    def runs(self):
        return {run["run"]: run for run in self.do("status", "--format", "json").json()}

    def running(self, run):
        return self.runs().get(run, {}).get("state") == "running"

    def wait_running(self, run):
        wait_for(f"{run} to run", lambda: self.running(run))

    def rows(self, run, table="rawdata"):
        """Rows of the served table; 0 while there is none."""
        answer = self.ask("query", run, f"SELECT count(*) AS n FROM {table}", "--format", "json")
        return int(answer.json()[0]["n"]) if answer.status == 0 else 0

    def wait_rows(self, run, at_least, table="rawdata"):
        return wait_for(f"{at_least} rows in {run}", lambda: (n := self.rows(run, table)) >= at_least and n)

    def verdict(self, answer):
        return verdict_of(answer.out)

    def assert_pass(self, answer, expected):
        self.assertEqual(answer.status, 0, str(answer))
        verdict = self.verdict(answer)
        self.assertEqual((verdict["verdict"], verdict["expected"], verdict["stored"]), ("PASS", expected, expected), str(answer))


def main():
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"{PROGRAM} is not built; TIDEMILL names another")
    unittest.main(verbosity=2)
