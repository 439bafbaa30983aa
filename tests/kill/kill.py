#!/usr/bin/env python3
"""Kills the real program and demands that nothing is lost or doubled.

A series is one run of a solution, with the same command given again and again: the program is killed (SIGKILL,
all of it) at random instants or at named commit steps (`tidemill docs steps`) until it ends by itself with the
verdict PASS. Then what it stored is counted from outside (outside.py).

  kill.py --program PATH [--solutions relay,telemetry,files] [--seed N]
          --steps                 every named step that a solution can pass, once; fails where one was never passed
          --edges                 states that only a kill between two files leaves, made by hand
          --kills N | --seconds N random instants, so many or so long

A failure prints the seed and keeps the run's directory. The seed decides what is tried; at which instruction a kill
hits is the machine's.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

from series import SMALL, SOLUTIONS, Failure, Process, Series

# Steps that only some solutions pass, by the beginning of their names.
PASSED_BY = {"log.txn.": {"relay"}, "changelog.": {"telemetry", "files"}, "duckdb.": {"telemetry"}, "files.": {"files"},
             "run.verified": {"relay", "telemetry"}, "run.finished": {"relay", "telemetry"},
             "kafka.": set(), "postgres.": set(), "delta.": set(),
             "parquet.": set()}  # tests/kafka, tests/postgres and tests/delta kill there
LONGEST_STOP = 60  # seconds that a graceful stop may take on a busy machine


def steps_of(solution, steps):
    def passes(step):
        limited = [who for prefix, who in PASSED_BY.items() if step.startswith(prefix)]
        return not limited or solution in limited[0]
    return [step for step in steps if passes(step)]


class Ledger:
    """What was done, by all threads."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.kills = 0

    def kill(self, *what):
        with self.lock:
            self.kills += 1
            self.counts.update(what)

    def note(self, what):
        with self.lock:
            self.counts[what] += 1


def all_steps(options, solution, rng, ledger):
    """One run after another: the step is armed, the run is started again, until all were hit."""
    program = options.program
    names = subprocess.run([program, "docs", "steps"], check=True, capture_output=True, text=True).stdout.split()
    todo = steps_of(solution, names)
    rng.shuffle(todo)
    series = None
    while todo:
        fresh = series is None
        if fresh:
            series = Series(program, solution, 20_000, SMALL + ["serve.files.roll_bytes=256KiB"] * (solution == "files"),
                            ["--rate", "max", "--partitions", "4", "--tasks", "2"])
        try:
            step = todo[0]
            armed = f"{step}:{1 if fresh else rng.randint(1, 4)}"
            if series.ended(series.start(armed)):
                series.check()
                if fresh:
                    raise Failure(f"{armed} was never passed by a run of {series.count} events")
                series.remove()
                series = None
            else:
                ledger.kill(step)
                todo.pop(0)
                if not todo:
                    series.finish()
                    series.remove()
        except Failure as failure:
            raise Failure(f"{solution}, kept in {series.root}, at {todo[:1]}: {failure}") from failure


def edges(options, solution, _rng, _ledger):
    """A run whose directory is there, but not its record, or half of it; one with log and topics, but no manifest."""
    def directory_only(series):
        os.makedirs(os.path.join(series.root, "x", "1"))

    def half_written_record(series):
        directory_only(series)
        with open(os.path.join(series.root, "x", "1", "run.json.tmp"), "w", encoding="utf-8") as file:
            file.write('{"format":1,"na')

    def before_the_manifest(series):
        process = Process(series.steps("CID"))
        if process.end() != 0:
            raise Failure(f"exit status {process.end()}\n{process.output()}")

    for make in (directory_only, half_written_record, before_the_manifest):
        series = Series(options.program, solution, 2_000, [], ["--rate", "max"])
        try:
            make(series)
            series.finish()
            if len(series.runs()) != 1:
                raise Failure(f"{make.__name__}: runs {series.runs()}")
        except Failure as failure:
            raise Failure(f"{solution}, kept in {series.root}: {make.__name__}: {failure}") from failure
        series.remove()


class RandomSeries:
    """One run of a solution, with what is done to it drawn from `rng`."""

    def __init__(self, options, solution, rng, ledger):
        self.rng = rng
        self.ledger = ledger
        # Mostly short, so that many recoveries and ends are hit; sometimes long enough to be in the middle.
        count = rng.choice([2_000, 5_000, 5_000, 20_000, 60_000])
        settings = SMALL if rng.random() < 0.7 else []
        if solution == "files":
            settings = settings + [f"serve.files.roll_bytes={rng.choice(['64KiB', '1MiB'])}"]
        if solution == "telemetry" and rng.random() < 0.3:
            settings = settings + ["serve.duckdb.nested=columns"]
        rate = rng.choice(["max", "max", "20000"])
        shape = ["--rate", rate, "--partitions", str(rng.choice([1, 4, 8])), "--tasks", str(rng.choice([1, 2, 3])),
                 "--instances", str(rng.choice([1, 2]))]
        self.series = Series(options.program, solution, count, settings, shape)
        self.typical = 1.5 if rate == "max" else 1.0 + count / 20_000

    def run(self):
        manners = [(self.whole, 4), (self.early, 3), (self.verifying, 2), (self.apart, 3), (self.signalled, 3)]
        for _ in range(self.rng.randint(1, 3)):
            manner = self.rng.choices([one for one, _ in manners], [weight for _, weight in manners])[0]
            manner()
        self.series.finish()

    def kill(self, process, what):
        """SIGKILL, unless it has ended by itself; then whether it ended well is looked at."""
        process.signal(signal.SIGKILL)
        if self.series.ended(process):
            self.ledger.note(f"ended before: {what}")
            return False
        self.ledger.kill(f"{self.series.solution}", f"in: {self.series.phase()}", f"as: {what}")
        return True

    def whole(self):
        """The whole program, anywhere from its start to its end."""
        process = self.series.start()
        process.wait_until(process.begun + self.rng.uniform(0, self.typical))
        self.kill(process, "whole program")

    def early(self):
        """Again and again while it starts and recovers."""
        for _ in range(self.rng.randint(2, 4)):
            process = self.series.start()
            process.wait_until(process.begun + self.rng.choice([self.rng.uniform(0, 0.03), self.rng.uniform(0.02, 0.2)]))
            self.kill(process, "recovery")

    def verifying(self):
        """In the verification, and just behind it."""
        if self.series.solution == "files":
            return self.whole()
        process = Process([word for word in self.series.whole() if word not in ("--format", "json")])
        process.wait_until(process.begun + 100, lambda: "verifying:" in process.output())
        process.wait_until(time.monotonic() + self.rng.uniform(0, 0.25))
        process.signal(signal.SIGKILL)
        status = process.end()
        if status == -signal.SIGKILL:
            self.series.kills += 1
            self.ledger.kill(self.series.solution, f"in: {self.series.phase()}", "as: verification")
        elif status != 0:
            raise Failure(f"exit status {status}\n{process.output()[-3000:]}")
        return None

    def apart(self):
        """Simulator and pipeline as two processes: one of them is killed, whether it owns the run or not."""
        commands = {"pipeline": self.series.steps("P", "--duration", "forever"), "simulator": self.series.steps("T")}
        order = list(commands)
        self.rng.shuffle(order)
        if self.series.phase() in ("no run yet", "finished"):
            order = ["simulator", "pipeline"]  # which would go on with a finished run
        live = {}
        try:
            for name in order:
                before = len(self.series.runs())
                live[name] = Process(commands[name])
                live[name].wait_until(live[name].begun + self.rng.uniform(0, 0.1))
                if self.series.phase() in ("no run yet", "finished"):
                    live[name].wait_until(live[name].begun + 60, lambda b=before: len(self.series.runs()) > b)
            for _ in range(self.rng.randint(1, 3)):
                victim = self.rng.choice(order)
                live[victim].wait_until(time.monotonic() + self.rng.uniform(0, 0.4))
                self.look_at(live)
                if self.kill_one(live, victim):
                    live[victim] = Process(commands[victim])
            self.look_at(live)
        finally:
            for process in live.values():
                process.signal(signal.SIGKILL)
                process.end()

    def kill_one(self, live, victim):
        live[victim].signal(signal.SIGKILL)
        if live[victim].end() != -signal.SIGKILL:
            return False
        self.ledger.kill(self.series.solution, f"in: {self.series.phase()}", f"as: {victim} alone")
        return True

    def look_at(self, live):
        """A pipeline goes on for ever; a simulator may come to its end."""
        for name, process in live.items():
            if not process.running() and not (name == "simulator" and process.end() == 0):
                raise Failure(f"{name} ended with {process.end()}\n{process.output()[-3000:]}")

    def signalled(self):
        """SIGTERM or SIGINT, and sometimes a second one while it stops."""
        process = self.series.start()
        process.wait_until(process.begun + self.rng.uniform(0, self.typical))
        process.signal(self.rng.choice([signal.SIGTERM, signal.SIGINT]))
        twice = self.rng.random() < 0.5
        if twice:
            process.wait_until(time.monotonic() + self.rng.uniform(0, 0.05))
            process.signal(self.rng.choice([signal.SIGTERM, signal.SIGINT]))
        status = process.end(LONGEST_STOP)
        # 130: stopped; 143 and 130: at the second signal; negative: before the program could take signals.
        if status not in (0, 130, 143, -signal.SIGTERM, -signal.SIGINT):
            raise Failure(f"after a signal: exit status {status}\n{process.output()[-3000:]}")
        self.ledger.note(("signalled twice" if twice else "signalled") + f", exit status {status}")


def random_kills(options, worker, rng, ledger, go_on):
    names = options.solutions
    while go_on():
        solution = names[worker % len(names)] if rng.random() < 0.5 else rng.choice(names)
        one = RandomSeries(options, solution, rng, ledger)
        try:
            one.run()
        except Failure as failure:
            raise Failure(f"{solution}, kept in {one.series.root}: {failure}") from failure
        ledger.note("series")
        one.series.remove()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--solutions", default=",".join(SOLUTIONS))
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--edges", action="store_true")
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seed-of-commit", action="store_true", help="the number of commits so far")
    parser.add_argument("--jobs", type=int, default=2, help="series side by side; each waits for disks and clocks mostly")
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    options.solutions = options.solutions.split(",")
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    if options.seed_of_commit:
        counted = subprocess.run(["git", "-C", os.path.dirname(__file__), "rev-list", "--count", "HEAD"],
                                 capture_output=True, text=True)
        seed = int(counted.stdout or 1)  # 1: a copy without its history
    print(f"seed {seed}", flush=True)
    ledger = Ledger()
    begun = time.monotonic()
    failed = threading.Event()

    def go_on():
        over = ledger.kills >= options.kills if options.kills else time.monotonic() - begun >= options.seconds
        return not over and not failed.is_set()

    work = []
    if options.edges:
        work += [(edges, (options, name, None, ledger)) for name in options.solutions]
    if options.steps:
        work += [(all_steps, (options, name, random.Random(f"{seed} {name}"), ledger)) for name in options.solutions]
    if options.kills or options.seconds:
        work += [(random_kills, (options, worker, random.Random(f"{seed} {worker}"), ledger, go_on))
                 for worker in range(options.jobs)]
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        futures = [pool.submit(function, *arguments) for function, arguments in work]
        failures = []
        for future in concurrent.futures.as_completed(futures):
            if future.exception() is not None:
                failed.set()
                failures.append(future.exception())
    print(json.dumps(dict(sorted(ledger.counts.items())), indent=1))
    print(f"{ledger.kills} kills in {time.monotonic() - begun:.0f} s, seed {seed}")
    for failure in failures:
        if not isinstance(failure, Failure):
            raise failure
        print(f"FAILED (seed {seed}): {str(failure).replace(chr(10), ' | ')}")
    if not failures:
        print("every series: 0 lost, 0 double, order kept: PASS")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
