#!/usr/bin/env python3
"""The solution sql-server-bdc-sensor with a producer of confluent-kafka for Python, as the guide's (examples/bdc-sensor):
readings without keys over four partitions, the pipeline killed meanwhile; each is in the table once, and counted once in
the other one. Then two instances that group the same topic (intervals.py), and two that rekey another (rekeyed.py).
"""
import argparse
import collections
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
import intervals  # noqa: E402
import kafka  # noqa: E402
import rekeyed  # noqa: E402
import outside  # noqa: E402

COUNT = 3000


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--kills", type=int, default=1)
    options = parser.parse_args()
    python = ROOT / "build/deps/python"
    if kafka.missing() or not python.exists():
        print("skipped: " + (kafka.missing() or "needs confluent-kafka (tools/fetch-confluent-kafka)"))
        return kafka.SKIPPED
    place = Place("tidemill-sensor-")
    broker = kafka.Broker(place)
    try:
        failed = feed_and_account(options, place, broker, python)
        intervals.group_and_account(options, place, broker, python, random.Random(1))
        # Three kills, of which the commit says where.
        sys.path.insert(0, str(python))
        options.into, options.endpoint, options.kills, options.seed = "topic", None, 3, int(os.environ.get("TIDEMILL_SEED", "1"))
        rekeyed.rekey_and_account(options, place, broker)
        return failed
    finally:
        broker.down()
        place.close()


def feed_and_account(options, place, broker, python):
    environment = {**os.environ, "KAFKA_BROKERS": broker.address, "PYTHONPATH": str(python)}
    data = [options.program, "--data-dir", os.path.join(place.path, "data")]
    run = [*data, "run", "sql-server-bdc-sensor", "--target", "local", "--steps", "CIDP", "--duration", "forever",
           "--set", "pipeline.epoch.interval=200ms", "--set", "branches.stats.process.sql.every=1s",
           "--set", "serve.parquet.roll_interval=1s", "--set", "branches.stats_table.serve.parquet.roll_interval=1s"]

    def start():
        return place.start(run, env=environment, stdin=subprocess.DEVNULL)

    def produce(seed):
        done = subprocess.run([sys.executable, ROOT / "examples/bdc-sensor/producer.py", "--brokers", broker.address, "--count",
                               str(COUNT), "--seed", str(seed)], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout == f"{COUNT} readings acknowledged\n", done.stdout

    def ask(sql, *branch):
        done = subprocess.run([*data, "query", "sql-server-bdc-sensor", "--format", "json", "--rows", "1000000", *branch, sql], env=environment,
                              capture_output=True, text=True)
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]

    def rows():
        answer = ask("SELECT count(*) AS n FROM sensor_data")
        return answer[0]["n"] if answer else 0

    process = start()
    wait_for("the pipeline", lambda: ask("SELECT 1 AS one"), 120)
    wait_for("its table", lambda: ask("SELECT count(*) AS n FROM sensor_data"), 120)
    for seed in (1, 2, 3):
        produce(seed)
        wait_for("some of them in the table", lambda: rows() > (seed - 1) * COUNT, 120)
        process.kill()
        process.wait()
        process = start()
    wait_for("all of them in the table", lambda: rows() >= 3 * COUNT, 120)
    table = ["--branch", "stats_table"]
    counted = "SELECT coalesce(sum(count_sensor)::BIGINT, 0) AS n FROM sensor_data_stats"
    wait_for("all of them counted", lambda: (ask(counted, *table) or [{"n": 0}])[0]["n"] >= 3 * COUNT, 120)
    time.sleep(1)  # what is stored twice would come now
    stored = ask("SELECT sensor, measure1, measure2 FROM sensor_data")
    stats = ask("SELECT sensor, CAST(ts AS VARCHAR) AS ts, count_sensor FROM sensor_data_stats", *table)
    columns = [row["column_name"] for row in ask("DESCRIBE sensor_data")]
    process.terminate()
    process.wait()
    log4j = os.path.join(broker.directory, "log4j2.yaml")
    sent = outside.read_topic(ROOT / "build/deps/kafka", broker.address, "sample-topic", log4j)

    def shape(reading):
        return reading["sensor"], reading["measure1"], reading["measure2"]

    want = collections.Counter(shape(json.loads(value)) for _, _, _, value in sent)
    got = collections.Counter(shape(row) for row in stored)
    partitions = {partition for partition, _, _, _ in sent}
    by_sensor, counts = collections.Counter(reading[0] for reading in want.elements()), collections.Counter()
    for row in stats:
        counts[row["sensor"]] += row["count_sensor"]
    published = outside.read_topic(ROOT / "build/deps/kafka", broker.address, "sample-topic-processed", log4j)
    once = len({(row["sensor"], row["ts"]) for row in stats}) == len(stats) == len(published)
    print(f"{sum(counts.values())} counted in {len(stats)} rows, of {len(published)} published; one for a sensor and interval: {once}")
    print(f"{len(sent)} readings sent to {len(partitions)} partitions, {len(stored)} stored, {sum((want - got).values())} lost, "
          f"{sum((got - want).values())} doubled; columns {columns}")
    return 0 if want == got and once and counts == by_sensor and len(sent) == 3 * COUNT and columns == ["sensor", "measure1", "measure2"] else 1


if __name__ == "__main__":
    sys.exit(main())
