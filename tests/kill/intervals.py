#!/usr/bin/env python3
"""Kills and stops of a run that groups what comes without keys into four partitions by intervals (sql, scope interval).

  intervals.py --program PATH [--seed N | --seed-of-commit] [--kills N] [--seconds N] [--into duckdb|log|files]

The same command is given again after each. At the end every sensor has one row in an interval, and the rows count
exactly the records of the input topic. A failure keeps nothing; it is to be had again by its seed.
"""
import argparse
import os
import random
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from program import Place  # noqa: E402

RATE = 2000
SOLUTION = """
name: stats
event: sensor
simulate: {rate: %d, count: %d, duplicate_every: never}
ingest: {log: {topic: readings, partitions: 4}}
process:
  - filter: measure1 > -1000
  - sql:
      query: |
        SELECT sensor, avg(measure2) AS measure2_avg, avg(measure1) AS measure1_avg,
               count(*) AS count_sensor, interval_time() AS ts
        FROM input GROUP BY sensor
      every: 500ms
      key: sensor
      count: count_sensor
serve: %s
"""
TABLES = {"duckdb": "rawdata", "log": "output", "files": "files"}


def numbers(program, data, query):
    """The one row of a query's result."""
    done = subprocess.run([program, "--data-dir", data, "query", "stats", query, "--format", "csv"], capture_output=True, text=True,
                          timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"query: {done.stdout}{done.stderr}")
    return [int(value) for value in done.stdout.splitlines()[1].split(",")]


def records(program, data, topic):
    done = subprocess.run([program, "--data-dir", data, "log", "topics", "stats"], capture_output=True, text=True, timeout=60, check=True)
    return sum(int(line.split()[3]) for line in done.stdout.splitlines() if line.split()[0] == topic)


def run(place, options, rng):
    data = os.path.join(place.path, "data")
    count = int(RATE * min(options.seconds, options.kills) * 0.5)
    command = [options.program, "--data-dir", data, "run", place.write("stats.yaml", SOLUTION % (RATE, count, options.into))]
    deadline = time.monotonic() + options.seconds
    kills = stops = 0
    while kills < options.kills and time.monotonic() < deadline:
        process = place.start(command)
        try:
            process.wait(rng.uniform(0.1, 1.6))
            break  # all is simulated and grouped
        except subprocess.TimeoutExpired:
            pass
        if rng.random() < 0.2:
            process.send_signal(signal.SIGINT)
            stops += 1
        else:
            process.kill()
            kills += 1
        said, _ = process.communicate(timeout=60)
        if process.returncode not in (-signal.SIGKILL, 0, 130):
            raise AssertionError(f"exit code {process.returncode}: {said}")
    last = place.start(command)
    said, _ = last.communicate(timeout=120)
    if last.returncode != 0:
        raise AssertionError(f"the last run: {said}")
    rows, groups, counted, intervals = numbers(
        options.program, data,
        "SELECT count(*), count(DISTINCT sensor || CAST(ts AS VARCHAR)), sum(CAST(count_sensor AS BIGINT))::BIGINT, "
        f"count(DISTINCT CAST(ts AS VARCHAR)) FROM {TABLES[options.into]}")
    sent = records(options.program, data, "readings")
    print(f"into {options.into}: {kills} kills, {stops} stops; {sent} records, counted {counted}; {rows} rows of {intervals} intervals")
    if rows != groups:
        raise AssertionError(f"{rows - groups} rows of a sensor and interval that has another one")
    if counted != sent or sent < count:
        raise AssertionError(f"the rows count {counted} of {sent} records ({count} events)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seed-of-commit", action="store_true")
    parser.add_argument("--kills", type=int, default=1000000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--into", choices=sorted(TABLES))
    options = parser.parse_args()
    seed = options.seed
    if seed is None and options.seed_of_commit:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=os.path.dirname(os.path.abspath(__file__)), capture_output=True, text=True,
                              check=False).stdout
        seed = int(head[:8] or "1", 16)
    if seed is None:
        seed = random.SystemRandom().randrange(2**32)
    print(f"--seed {seed}", flush=True)
    rng = random.Random(seed)
    options.into = options.into or rng.choice(sorted(TABLES))
    place = Place("tidemill-intervals-")
    try:
        run(place, options, rng)
    finally:
        place.close()


main()
