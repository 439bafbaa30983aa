#!/usr/bin/env python3
"""Measures the program on Apache Kafka beside bare librdkafka loops (bench/baseline/kafka.cc), in one run.

Starts a broker of its own (tools/kafka). Ours and the loop take turns, each as a process of its own whose CPU (user
and kernel time of all threads), elapsed time and peak memory are taken from outside, start and end included. What each
left in its topic is counted by a read_committed reader. Prints one JSON line a row, as the other benchmarks do;
bench/run.py calls it. More: docs/performance.md.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

from program_bench import require

ROOT = pathlib.Path(__file__).resolve().parents[1]
PARTITIONS = 4
EVENTS = 2_000_000
COMMIT_MS = 1000
INPUT = "bench-in"
DUCKDB = "duckdb: {table: rawdata}"

SOLUTION = """
name: {name}
event: telemetry
simulate: {{rate: {rate}, instances: 2, duplicate_every: 1000}}
ingest: {{{ingest}}}
process:
  - enrich: [enqueuedAt, processedAt]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve: {{{serve}}}
"""


class Cost:
    def __init__(self, wall, usage, output):
        self.wall, self.cpu, self.mb, self.output = wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def check(what, value, relation, target):
    holds = value <= target if relation == "<=" else value >= target
    return {"what": what, "value": value, "relation": relation, "target": target, "holds": holds}


def print_row(path, unit, ours, baseline, ratio, checks, note):
    print(json.dumps({"path": path, "unit": unit, "ours": ours, "baseline": baseline, "ratio": ratio, "checks": checks,
                      "note": note}), flush=True)


def say(text):
    print("  " + text, file=sys.stderr, flush=True)


class Bench:
    def __init__(self, options):
        self.options = options
        self.build = os.path.abspath(options.build)
        self.root = os.path.join(options.directory, "kafka")
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        self.runs = 0
        up = subprocess.run([ROOT / "tools" / "kafka", "up", "--dir", self.root + "/broker"], capture_output=True, text=True)
        require(up.returncode == 0, "tools/kafka up: " + up.stderr)
        self.address = up.stdout.split()[-1]

    def down(self):
        subprocess.run([ROOT / "tools" / "kafka", "down", "--dir", self.root + "/broker"], check=True)
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, *command):
        begun = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        require(process.returncode == 0, f"{' '.join(command)}: exit code {process.returncode}\n{output}")
        return Cost(time.monotonic() - begun, usage, output)

    def loop(self, what, *arguments):
        return self.run(f"{self.build}/kafka_loop", what, self.address, *arguments)

    def content(self, topic):
        return json.loads(self.loop("content", topic).output)

    def kafka(self, topic, partitions=True):
        count = f", partitions: {PARTITIONS}" if partitions else ""
        return f'kafka: {{brokers: "{self.address}", topic: {topic}{count}}}'

    def program(self, name, command, ingest, serve, *arguments, rate=5000):
        path = f"{self.root}/{name}.yaml"
        with open(path, "w") as file:
            file.write(SOLUTION.format(name=name, ingest=ingest, serve=serve, rate=rate))
        return self.run(f"{self.build}/tidemill", "--quiet", "--data-dir", self.root + "/data", command, path, *arguments)

    def settings(self):
        return [word for one in self.options.set for word in ("--set", one)]

    def name(self, what):
        self.runs += 1
        return f"bench-{what}{self.runs}"

    # ── the relay

    def relay_baseline(self):
        out = self.name("loop")
        self.loop("create", out, str(PARTITIONS))
        cost = self.loop("relay", INPUT, out, str(COMMIT_MS))
        return cost, out

    def relay_ours(self):
        name = self.name("relay")
        cost = self.program(name, "run", self.kafka(INPUT), f"kafka: {{topic: {name}-out}}", "--steps", "P", "--until-end",
                            *self.settings())
        self.loop("delete", name + "-changelog", name + "-dead-letters")
        return cost, name + "-out"

    def relay(self):
        sent = self.content(INPUT)
        pairs = []
        for turn in range(self.options.rounds):
            base, out = self.relay_baseline()
            found = self.content(out)
            require(found == sent, f"the loop left {found} of {sent}")
            self.loop("delete", out)
            ours, out = self.relay_ours()
            found = self.content(out)
            require(found == {**sent, "records": sent["distinct"]}, f"the relay left {found} of {sent}")
            self.loop("delete", out)
            say(f"turn {turn + 1}: ours {ours.wall:.2f} s, {ours.cpu:.2f} s CPU, {ours.mb:.0f} MB; "
                f"loop {base.wall:.2f} s, {base.cpu:.2f} s CPU, {base.mb:.0f} MB")
            pairs.append((ours, base))
        events = sent["records"]
        cpu = statistics.median([ours.cpu / base.cpu for ours, base in pairs])
        rate = statistics.median([base.wall / ours.wall for ours, base in pairs])
        memory = max(ours.mb for ours, _ in pairs)
        print_row("Kafka to Kafka with dedup, exactly once: CPU", "µs/event",
                  statistics.median([ours.cpu for ours, _ in pairs]) / events * 1e6,
                  statistics.median([base.cpu for _, base in pairs]) / events * 1e6, cpu, [check("ratio", cpu, "<=", 1.15)],
                  "baseline: a bare librdkafka loop without dedup, a transaction a second; ours: one every 16,384 events of a task")
        print_row("the same: rate", "events/s", events / statistics.median([ours.wall for ours, _ in pairs]),
                  events / statistics.median([base.wall for _, base in pairs]), rate, [check("ratio", rate, ">=", 0.95)], "")
        print_row("the same: peak memory", "MB", memory, max(base.mb for _, base in pairs), None,
                  [check("MB", memory, "<=", 200)], "")

    # ── the others

    def simulate(self, events):
        pairs = []
        for turn in range(self.options.rounds):
            topic = self.name("simulated")
            self.loop("create", topic, str(PARTITIONS))
            ours = self.program(topic, "simulate", self.kafka(topic), "null", "--rate", "max", "--count", str(events))
            found = self.content(topic)
            require(found["distinct"] == events, f"the simulator left {found} of {events}")
            self.loop("delete", topic)
            topic = self.name("produced")
            self.loop("create", topic, str(PARTITIONS))
            base = self.loop("produce", topic, str(found["records"]))
            self.loop("delete", topic)
            say(f"turn {turn + 1}: ours {ours.wall:.2f} s, {ours.cpu:.2f} s CPU; loop {base.wall:.2f} s, {base.cpu:.2f} s CPU")
            pairs.append((ours, base))
        ratio = statistics.median([base.wall / ours.wall for ours, base in pairs])
        print_row("simulate to Kafka", "events/s", events / statistics.median([ours.wall for ours, _ in pairs]),
                  events / statistics.median([base.wall for _, base in pairs]), ratio, [check("ratio", ratio, ">=", 0.9)],
                  "baseline: librdkafka sends one event over and over, with the same settings")

    def to_duckdb(self, events):
        pairs = []
        sent = self.content(INPUT)
        for turn in range(self.options.rounds):
            name = self.name("duck")
            ours = self.program(name, "run", self.kafka(INPUT), DUCKDB, "--steps", "P", "--until-end")
            rows = self.program(name, "query", self.kafka(INPUT), DUCKDB,
                                'SELECT count(*), count(DISTINCT "eventId") FROM rawdata', "--format", "csv").output.split()[-1]
            require(rows == f"{sent['distinct']},{sent['distinct']}", f"the table holds {rows} of {sent}")
            bare = self.loop("consume", INPUT)
            log, topic = self.name("log"), f"log: {{topic: events, partitions: {PARTITIONS}}}"
            self.program(log, "simulate", topic, DUCKDB, "--rate", "max", "--count", str(events))
            embedded = self.program(log, "run", topic, DUCKDB, "--steps", "P", "--until-end")
            shutil.rmtree(f"{self.root}/data")
            say(f"turn {turn + 1}: Kafka to DuckDB {ours.wall:.2f} s, embedded log to DuckDB {embedded.wall:.2f} s, "
                f"bare consumption {bare.wall:.2f} s")
            pairs.append((ours, embedded if embedded.wall > bare.wall else bare))
        ratio = statistics.median([base.wall / ours.wall for ours, base in pairs])
        print_row("Kafka to DuckDB, exactly once", "events/s", sent["records"] / statistics.median([ours.wall for ours, _ in pairs]),
                  sent["records"] / statistics.median([base.wall for _, base in pairs]), ratio, [check("ratio", ratio, ">=", 0.8)],
                  "baseline: the slower of the embedded log to DuckDB and of bare consumption")

    def latency(self, seconds, delivery, linger, p50, p99):
        name = self.name("latency")
        out = name + "-out"
        self.loop("create", out, str(PARTITIONS))
        events = 5000 * seconds
        reader = subprocess.Popen([f"{self.build}/kafka_loop", "latency", self.address, out, str(events)], stdout=subprocess.PIPE,
                                  text=True)
        require(reader.stdout.readline() == "ready\n", "the reader reads")
        self.program(name, "run", self.kafka(name + "-in"), f"kafka: {{topic: {out}, delivery: {delivery}}}", "--steps", "CIDPT",
                     "--duration", f"{seconds}s", "--set", "pipeline.epoch.interval=100ms", "--set", f"simulate.linger={linger}",
                     "--set", "simulate.instances=1", *self.settings())
        found = json.loads(reader.communicate()[0])
        require(found["events"] > events * 0.7, f"only {found} came")
        print_row(f"Kafka to Kafka, 5,000 events/s, epochs of 100 ms, {delivery}: created to read", "ms", found["p50"], None, None,
                  [check("p50 ms", found["p50"], "<=", p50), check("p99 ms", found["p99"], "<=", p99)],
                  f"p99 {found['p99']:.1f} ms; createdAt to a read_committed reader beside it, the simulator, which sends every "
                  f"{linger}, included")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/bench")
    parser.add_argument("--directory", default="/tmp/tidemill-bench")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part", default="relay,latency,simulate,duckdb", help="some of these")
    parser.add_argument("--set", action="append", default=[], help="a setting of the relay")
    options = parser.parse_args()
    for tool in ("fetch-kafka", "fetch-librdkafka"):
        require(subprocess.run([ROOT / "tools" / tool], stdout=sys.stderr).returncode == 0, f"tools/{tool}")
    bench = Bench(options)
    try:
        parts = options.part.split(",")
        if "relay" in parts or "duckdb" in parts:
            bench.loop("create", INPUT, str(PARTITIONS))
            bench.run(f"{bench.build}/kafka_load", bench.address, INPUT, str(options.events))
        if "relay" in parts:
            bench.relay()
        if "latency" in parts:
            seconds = 8 if options.events < EVENTS else 30
            bench.latency(seconds, "exactly-once", "5ms", 60, 120)
            bench.latency(seconds, "at-least-once", "2ms", 2, 8)
        if "simulate" in parts:
            bench.simulate(options.events)
        if "duckdb" in parts:
            bench.to_duckdb(options.events)
    finally:
        bench.down()


if __name__ == "__main__":
    main()
