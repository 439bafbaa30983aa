#!/usr/bin/env python3
"""Kills the real program and demands that nothing is lost or doubled.

Each series runs `tidemill run <solution> --name X --count N`, sends SIGKILL to the whole program at a
random instant (or at a named commit step), gives the same command again until it ends by itself, and demands
the verdict PASS. Then it counts from outside, with readers of its own.

usage: kill.py --program PATH [--solutions relay,telemetry] [--kills 20] [--steps all|none|LIST] [--once]
               [--seed N] [--count N] [--rate N] [--keep]
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time


class Failure(Exception):
    pass


class Series:
    """One run, killed again and again until it finishes."""

    def __init__(self, options, solution, name, count, rate):
        self.options = options
        self.solution = solution
        self.name = name
        self.root = tempfile.mkdtemp(prefix="tidemill-kill-")
        self.command = [options.program, "--data-dir", self.root, "run", solution, "--name", name, "--count", str(count),
                        "--rate", str(rate), "--format", "json", "--partitions", "4", "--tasks", "2"]
        self.count = count
        self.output = ""

    def start(self, kill_at=None):
        environment = dict(os.environ)
        environment.pop("TIDEMILL_KILL_AT", None)
        if kill_at:
            environment["TIDEMILL_KILL_AT"] = kill_at
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)

    def finish(self, process, timeout=300):
        """Waits for the end; True when it ended by itself with PASS, False when it was killed."""
        try:
            self.output, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            self.output, _ = process.communicate()
            raise Failure(f"{self.name}: hangs\n{self.output[-2000:]}")
        if process.returncode == -9:
            return False
        if process.returncode != 0:
            raise Failure(f"{self.name}: exit status {process.returncode}\n{self.output[-3000:]}")
        verdict = json.loads([line for line in self.output.splitlines() if line.startswith('{"verdict"')][-1])
        if verdict["verdict"] != "PASS" or verdict["expected"] != self.count or verdict["stored"] != self.count:
            raise Failure(f"{self.name}: {json.dumps(verdict)}")
        return True

    def count_outside(self):
        """Rows and distinct ids, by a query and by the log's own reader, not by the verifier."""
        base = [self.options.program, "--data-dir", self.root]
        if self.solution == "telemetry":
            sql = "SELECT count(*) AS n, count(DISTINCT eventId) AS ids FROM rawdata"
            out = subprocess.run(base + ["query", self.name, sql, "--format", "json"], check=True, capture_output=True, text=True)
            row = json.loads(out.stdout)
            total, ids = int(row["n"]), int(row["ids"])
        else:
            out = subprocess.run(base + ["log", "read", self.name, "relay-out"], check=True, capture_output=True, text=True)
            seen = [json.loads(line)["eventId"] for line in out.stdout.splitlines()]
            total, ids = len(seen), len(set(seen))
        if total != self.count or ids != self.count:
            raise Failure(f"{self.name}: counted from outside: {total} rows, {ids} ids, {self.count} expected")

    def close(self, keep):
        if keep:
            print(f"  kept: {self.root}")
        else:
            shutil.rmtree(self.root, ignore_errors=True)


def random_kills(options, solution, kills, rng):
    """`kills` SIGKILLs over as many runs as it takes; several may hit one run."""
    done = 0
    number = 0
    while done < kills:
        number += 1
        count = rng.choice([4000, 20000, 60000]) if options.count is None else options.count
        rate = rng.choice(["max", "20000"]) if options.rate is None else options.rate
        series = Series(options, solution, f"{solution}-{number}", count, rate)
        try:
            hits = 0
            while True:
                process = series.start()
                # Long enough to be anywhere from start-up to verification, short enough to hit a run at full speed.
                if done < kills and hits < 4:
                    deadline = time.monotonic() + rng.choice([rng.uniform(0, 0.3), rng.uniform(0.2, 3.0)])
                    while time.monotonic() < deadline and process.poll() is None:
                        time.sleep(0.002)
                    if process.poll() is None:
                        process.kill()
                        done += 1
                        hits += 1
                if series.finish(process):
                    break
            series.count_outside()
        except Failure:
            series.close(True)
            raise
        series.close(options.keep)
        print(f"  {solution}: {done} of {kills} kills, run of {count} at {rate}: PASS", flush=True)


def step_kills(options, solution, steps, rng):
    """Each named step: killed when it is passed, at once and later, then run to its end."""
    passed = 0
    for step in steps:
        for occurrence in ([rng.randint(1, 6)] if options.once else [1, rng.randint(2, 12)]):
            series = Series(options, solution, f"{solution}-step", 12000, "20000")
            # Small segments and snapshots, so that rolls and snapshots happen in a short run.
            series.command += ["--set", "log.segment_bytes=2MiB", "--set", "log.max_batch_bytes=2MiB", "--set", "event.max_bytes=128KiB", "--set", "simulate.max_batch_bytes=256KiB", "--set", "pipeline.snapshot_min=64KiB"]
            try:
                process = series.start(f"{step}:{occurrence}")
                killed = not series.finish(process)
                while killed and not series.finish(series.start()):
                    pass
                series.count_outside()
            except Failure:
                series.close(True)
                raise
            series.close(options.keep)
            passed += 1
            print(f"  {solution}: {step}:{occurrence}: {'killed, then PASS' if killed else 'not passed here; PASS'}", flush=True)
    return passed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--solutions", default="relay,telemetry")
    parser.add_argument("--kills", type=int, default=20, help="random kills for each solution")
    parser.add_argument("--steps", default="none", help="named commit steps: all, none, or a list with commas")
    parser.add_argument("--once", action="store_true", help="each step once, not at its first and a later passing")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--count", type=int, default=None)
    parser.add_argument("--rate", default=None)
    parser.add_argument("--keep", action="store_true", help="keep the runs' directories")
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}", flush=True)
    rng = random.Random(seed)
    names = []
    if options.steps == "all":
        names = subprocess.run([options.program, "docs", "steps"], check=True, capture_output=True, text=True).stdout.split()
    elif options.steps != "none":
        names = options.steps.split(",")
    try:
        for solution in options.solutions.split(","):
            if names:
                step_kills(options, solution, names, rng)
            if options.kills:
                random_kills(options, solution, options.kills, rng)
    except Failure as failure:
        print(f"FAILED (seed {seed}): {failure}")
        return 1
    print("every series: PASS")
    return 0


if __name__ == "__main__":
    sys.exit(main())
