#!/usr/bin/env python3
"""Two instances of a solution with an sql step of scope interval, from a topic of four partitions that is fed without
keys into another one, killed in turn: one row for a sensor and interval, whose counts sum to the readings.

  intervals.py --program PATH [--kills N] [--seed N]
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from program import Place, wait_for  # noqa: E402
import kafka  # noqa: E402
import outside  # noqa: E402

COUNT = 1000
SOLUTION = """
name: bdc-stats
event: sensor
ingest: {kafka: {brokers: "%s", topic: sample-topic, partitions: 4}}
process:
  - sql:
      query: |
        SELECT sensor, avg(measure2) AS measure2_avg, avg(measure1) AS measure1_avg,
               count(*) AS count_sensor, interval_time() AS ts
        FROM input GROUP BY sensor
      every: 1s
      key: sensor
      count: count_sensor
serve: {kafka: {topic: bdc-stats}}
"""


def group_and_account(options, place, broker, python, rng):
    """The readings that are in the topic, and those that come meanwhile."""
    solution = place.write("bdc-stats.yaml", SOLUTION % broker.address)
    environment = {**os.environ, "PYTHONPATH": str(python)}

    def start(number, *arguments):
        data = os.path.join(place.path, f"instance-{number}")
        return place.start([options.program, "--data-dir", data, "run", solution, "--steps", "CIP", *arguments], stdin=subprocess.DEVNULL)

    def produce(seed):
        command = [sys.executable, ROOT / "examples/bdc-sensor/producer.py", "--brokers", broker.address, "--count", str(COUNT),
                   "--seed", str(seed)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).returncode == 0

    instances = [start(0, "--duration", "forever"), start(1, "--duration", "forever")]
    first = rng.randrange(2**31)
    wait_for("the topic", lambda: produce(first), 120)
    for kill in range(options.kills):
        wait_for("readings", lambda: produce(rng.randrange(2**31)))
        time.sleep(rng.uniform(0.2, 2.5))
        number = rng.randrange(2)
        if instances[number].poll() is not None:
            raise AssertionError(f"instance {number} ended: {instances[number].communicate()[0]}")
        instances[number].kill()
        instances[number].wait()
        instances[number] = start(number, "--duration", "forever")
    wait_for("readings", lambda: produce(rng.randrange(2**31)))
    for instance in instances:
        instance.terminate()
        instance.wait()
    for instance in [start(number, "--until-end") for number in range(2)]:
        said, _ = instance.communicate(timeout=180)
        if instance.returncode != 0:
            raise AssertionError(said)
    log4j = os.path.join(broker.directory, "log4j2.yaml")
    sent = outside.read_topic(ROOT / "build/deps/kafka", broker.address, "sample-topic", log4j)
    rows = [(key, json.loads(value)) for _, _, key, value in
            outside.read_topic(ROOT / "build/deps/kafka", broker.address, "bdc-stats", log4j)]
    counted = sum(row["count_sensor"] for _, row in rows)
    groups = {(row["sensor"], row["ts"]) for _, row in rows}
    print(f"intervals: {options.kills} kills; {len(sent)} readings, counted {counted}; {len(rows)} rows of "
          f"{len({row['ts'] for _, row in rows})} intervals", flush=True)
    if any(key != row["sensor"] for key, row in rows):
        raise AssertionError("a row without its key")
    if len(groups) != len(rows) or counted != len(sent):
        raise AssertionError(f"{len(rows) - len(groups)} rows too many; the rows count {counted} of {len(sent)} readings")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    options = parser.parse_args()
    python = ROOT / "build/deps/python"
    if kafka.missing() or not python.exists():
        print("skipped: " + (kafka.missing() or "needs confluent-kafka (tools/fetch-confluent-kafka)"))
        return kafka.SKIPPED
    print(f"--seed {options.seed}", flush=True)
    place = Place("tidemill-intervals-")
    broker = kafka.Broker(place)
    try:
        group_and_account(options, place, broker, python, random.Random(options.seed))
    finally:
        broker.down()
        place.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
