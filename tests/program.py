"""What tests of the whole program share: a place of their own, the processes started there, waits with a bound."""
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

# nohup, and a shell for what it runs in the background, start programs with signals ignored, which every child
# inherits and tidemill respects; those of the tests are to hear them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def wait_for(what, condition, seconds=60):
    """The condition's value once it is one; never a wait for a time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")


def verdicts_of(output):
    """The verdicts in an output of JSON Lines: of the solution itself, then of its branches."""
    return [json.loads(line) for line in output.splitlines() if line.startswith('{"verdict"')]


def verdict_of(output):
    """The last verdict in an output of JSON Lines."""
    return verdicts_of(output)[-1]


class Place:
    """A directory that goes away at the end, with every process that was started for it."""

    def __init__(self, prefix):
        self.path = tempfile.mkdtemp(prefix=prefix)
        self.started = []

    def start(self, command, **options):
        """Output and errors come together in `stdout`, as text."""
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", **options)
        self.started.append(process)
        return process

    def write(self, name, text):
        path = os.path.join(self.path, name)
        with open(path, "w") as out:
            out.write(text)
        return path

    def close(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        shutil.rmtree(self.path, ignore_errors=True)
