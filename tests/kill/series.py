"""One run of the real program, killed again and again until it ends by itself; then it is counted."""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time

import outside

HERE = pathlib.Path(__file__).resolve().parent
SOLUTIONS = {"relay": "relay", "telemetry": "telemetry", "files": str(HERE / "files.yaml")}
# Small segments, batches, files and snapshots: they roll, are replaced and are cut many times in a short run.
SMALL = ["log.segment_bytes=1MiB", "log.max_batch_bytes=1MiB", "event.max_bytes=512KiB", "pipeline.snapshot_min=64KiB",
         "pipeline.epoch.max_events=1000"]


class Failure(Exception):
    pass


class Process:
    """A command under way; its output goes to a file, so that nothing ever waits for a reader."""

    def __init__(self, command, kill_at=None):
        environment = {name: value for name, value in os.environ.items() if name != "TIDEMILL_KILL_AT"}
        if kill_at:
            environment["TIDEMILL_KILL_AT"] = kill_at
        self.command = command
        self.file = tempfile.TemporaryFile("w+")
        self.begun = time.monotonic()
        self.popen = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.file, stderr=subprocess.STDOUT,
                                      env=environment)

    def output(self):
        self.file.seek(0)
        return self.file.read()

    def running(self):
        return self.popen.poll() is None

    def wait_until(self, moment, condition=lambda: False):
        """Until the moment (of time.monotonic), its end, or the condition."""
        while self.running() and time.monotonic() < moment and not condition():
            time.sleep(0.0005)

    def signal(self, number):
        if self.running():
            self.popen.send_signal(number)

    def end(self, timeout=120):
        """The exit status; negative where a signal ended it."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
            raise Failure(f"hangs: {' '.join(self.command)}\n{self.output()[-2000:]}")

    def age(self):
        return time.monotonic() - self.begun


class Series:
    def __init__(self, program, solution, count, settings=(), arguments=()):
        self.program = program
        self.solution = solution
        self.count = count
        self.root = tempfile.mkdtemp(prefix="tidemill-kill-")
        self.arguments = ["--count", str(count), "--set", "simulate.duplicate_every=20", *arguments]
        for setting in settings:
            self.arguments += ["--set", setting]
        self.kills = 0

    def call(self, *arguments):
        return [self.program, "--data-dir", self.root, *arguments]

    def steps(self, steps, *arguments):
        """The command for some of the run's steps."""
        return self.call("run", SOLUTIONS[self.solution], "--name", "x", "--steps", steps, *self.arguments, *arguments)

    def whole(self):
        # What the files sink has stored is verified from outside only.
        return self.steps("CIDPTM" if self.solution == "files" else "CIDPTMV", "--format", "json")

    def start(self, kill_at=None):
        return Process(self.whole(), kill_at)

    def runs(self):
        folder = pathlib.Path(self.root, "x")
        return sorted(path for path in folder.glob("[0-9]*") if (path / "run.json").exists())

    def phase(self):
        """How far the newest run is, by its files."""
        runs = self.runs()
        if not runs:
            return "no run yet"
        if json.loads((runs[-1] / "run.json").read_text())["state"] == "finished":
            return "finished"
        manifests = list(runs[-1].glob("simulate/manifest-*.json"))
        if not manifests:
            return "starting"
        finished = all(json.loads(path.read_text())["finished"] for path in manifests)
        return "processing or verifying" if finished else "simulating"

    def ended(self, process):
        """Whether it ended by itself, and well; False where it was killed."""
        status = process.end()
        if status == -signal.SIGKILL:
            self.kills += 1
            return False
        if status != 0:
            raise Failure(f"exit status {status}\n{process.output()[-3000:]}")
        if self.solution != "files":
            verdicts = [line for line in process.output().splitlines() if line.startswith('{"verdict"')]
            if not verdicts:
                raise Failure(f"no verdict\n{process.output()[-3000:]}")
            verdict = json.loads(verdicts[-1])
            if (verdict["verdict"], verdict["expected"], verdict["stored"]) != ("PASS", self.count, self.count):
                raise Failure(json.dumps(verdict))
        return True

    def finish(self):
        """The same command until it ends by itself, then the count from outside, of every run that was made."""
        while not self.ended(self.start()):
            pass
        self.check()

    def check(self):
        for run in self.runs():
            try:
                outside.check(self.solution, str(run), self.count)
            except outside.Wrong as wrong:
                raise Failure(f"counted from outside: {wrong}") from wrong

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)
