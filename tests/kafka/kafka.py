#!/usr/bin/env python3
"""The program on a real broker.

  kafka.py contracts --contracts BINARY       the contracts of source, sink and changelog; with --program also what a
                                              source can be told (source.py)
  kafka.py kills --program TIDEMILL           kills a pipeline, and accounts for every event from outside

Each starts a broker of its own (tools/kafka) and stops it. kills: SIGKILL at every named commit step that the pipeline
passes, then at random instants for --seconds, each followed by the same command again; at last it is stopped, and
processes what is left. --from kafka|log --into topic|cluster|duckdb: a topic of the same cluster, one of another, or a
table; --delivery exactly-once|at-least-once (then an event may be there again); by default the seed says which. Order, loss and duplicates are counted by Kafka's own consumer, a table's rows by
a query. --seed replays the instants.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from program import Place, wait_for  # noqa: E402, F401
import outside  # noqa: E402

SKIPPED = 77
KAFKA_STEPS = ("run.manifest.written", "epoch.ended", "kafka.fenced", "kafka.claimed", "kafka.begun", "kafka.rows.produced",
               "kafka.offsets.sent", "kafka.committed", "kafka.kept.sent", "epoch.committed", "snapshot.written", "snapshot.durable",
               "snapshot.truncated")
STEPS = {"topic": KAFKA_STEPS, "cluster": KAFKA_STEPS, "branches": KAFKA_STEPS + ("duckdb.rows.appended", "duckdb.committed"),
         "duckdb": ("run.manifest.written", "epoch.ended", "changelog.frame.written", "changelog.frame.durable", "duckdb.begin",
                    "duckdb.rows.appended", "duckdb.positions.updated", "duckdb.committed", "epoch.committed",
                    "snapshot.written", "snapshot.durable", "snapshot.truncated")}
AT_LEAST_ONCE = "at-least-once"
REPEATED = ("kafka.b", "kafka.r", "kafka.o", "epoch", "duckdb", "changelog")  # not always at the first time
RATE = 1000  # without an end: however slow the machine, every step has events to be reached with

SOLUTION = """
name: kills
event: telemetry
simulate: {{rate: {rate}, instances: 2, duplicate_every: 50}}
ingest: {ingest}
process:
  - enrich: [enqueuedAt, processedAt]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve: {serve}
pipeline: {{tasks: 2, snapshot_min: 64KiB}}
"""
# What the solution itself writes into its topic, in a table; and what came in, in another.
BRANCHES = """
branches:
  stored: {from: kills-out, serve: {duckdb: {table: stored}}}
  raw:
    process: [{dedup: {id: eventId, key: deviceId, last: 100}}]
    serve: {duckdb: {table: raw}}
"""


class Broker:
    """A cluster in the place; `up`: options of tools/kafka up."""

    def __init__(self, place, *up, name="kafka"):
        self.directory = os.path.join(place.path, name)
        up = subprocess.run([ROOT / "tools" / "kafka", "up", "--dir", self.directory, *up], capture_output=True, text=True)
        if up.returncode != 0:
            raise AssertionError("tools/kafka up: " + up.stderr)
        self.address = up.stdout.split()[-1]

    def down(self):
        subprocess.run([ROOT / "tools" / "kafka", "down", "--dir", self.directory], check=True)


def contracts(options, place, broker):
    environment = {**os.environ, "TIDEMILL_KAFKA": broker.address}
    status = subprocess.run([options.contracts], env=environment).returncode
    if status == 0 and options.program:
        import source  # which imports this
        print(source.check(options.program, place, broker), flush=True)
    return status


class Relay:
    def __init__(self, program, place, ingest, serve, branches=""):
        text = SOLUTION.format(rate=RATE, ingest=ingest, serve=serve) + branches
        self.branch = ["--branch", "stored"] if branches else []
        at_data = [program, "--data-dir", os.path.join(place.path, "data")]
        self.query = [*at_data, "query", "kills", "--format", "json", "--rows", "100000000"]
        self.tail = [*at_data, "log", "read", "kills", "kills-in", "--format", "json"]
        self.command = [program, "--data-dir", os.path.join(place.path, "data"), "run", place.write("kills.yaml", text)]
        self.place = place

    def start(self, kill_at=None, arguments=("--steps", "CIDPT", "--duration", "forever")):
        environment = {**os.environ}
        environment.pop("TIDEMILL_KILL_AT", None)
        if kill_at:
            environment["TIDEMILL_KILL_AT"] = kill_at
        log = open(os.path.join(self.place.path, "relay.log"), "a")
        process = subprocess.Popen([*self.command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        log.close()
        return process

    def stored(self, table="stored"):
        """The ids of the table's rows, one by one."""
        command = [*self.query, *self.branch, f"SELECT eventId FROM {table}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [json.loads(line)["eventId"] for line in done.stdout.splitlines() if line.startswith("{")]

    def sent(self):
        """(partition, offset, key, value) of every record of the embedded log's topic."""
        done = subprocess.run(self.tail, capture_output=True, text=True, check=True)
        return sorted((one["partition"], one["offset"], one["key"], one["value"]) for one in
                      (json.loads(line) for line in done.stdout.splitlines()))

    def log(self):
        with open(os.path.join(self.place.path, "relay.log")) as log:
            return log.read()[-3000:]


def killed_by(process, seconds):
    """Whether SIGKILL ended it within this time."""
    try:
        return process.wait(timeout=seconds) == -signal.SIGKILL
    except subprocess.TimeoutExpired:
        return False


def kills(options, place, broker):
    seed = options.seed if options.seed is not None else int(os.environ.get("TIDEMILL_SEED", "1"))
    print(f"seed {seed}; to replay: {sys.argv[0]} kills --program {options.program} --seconds {options.seconds} --seed {seed}")
    chance = random.Random(seed)
    source = options.source or chance.choice(["kafka", "kafka", "log"])
    into = options.into or chance.choice(["topic", "cluster"] + ["duckdb", "branches"] * (source == "kafka"))
    delivery = options.delivery or chance.choice(["exactly-once", "exactly-once", AT_LEAST_ONCE] if into not in ("duckdb", "branches") else ["exactly-once"])
    print(f"from {source} into {into}, {delivery}")
    other = Broker(place, name="other") if into == "cluster" else broker
    try:
        return kill_and_account(options, place, broker, other, source, into, delivery == AT_LEAST_ONCE, chance)
    finally:
        if other is not broker:
            other.down()


def kill_and_account(options, place, broker, other, source, into, repeats, chance):
    ingest = f'{{kafka: {{brokers: "{broker.address}", topic: kills-in, partitions: 4, session_timeout: 1s}}}}' if source == "kafka" else \
        "{log: {topic: kills-in, partitions: 4}}"
    serve = f'{{kafka: {{brokers: "{other.address}", topic: kills-out, positions_refresh: 1s{", delivery: " + AT_LEAST_ONCE if repeats else ""}}}}}' if into != "duckdb" else \
        "{duckdb: {table: stored}}"
    relay = Relay(options.program, place, ingest, serve, BRANCHES if into == "branches" else "")
    done = {"steps": 0, "random": 0}
    for step in STEPS[into] + ("kafka.rows.acknowledged",) * repeats:
        kill_at = f"{step}:{chance.randint(1, 4)}" if step.startswith(REPEATED) else step
        process = relay.start(kill_at)
        if not killed_by(process, 120):
            process.kill()
            raise AssertionError(f"{kill_at} was not reached\n{relay.log()}")
        done["steps"] += 1
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        process = relay.start()
        if killed_by(process, chance.uniform(0.05, 4)):
            raise AssertionError("killed by somebody else")
        if process.poll() is not None:
            raise AssertionError(f"it ended by itself\n{relay.log()}")
        process.kill()
        process.wait()
        done["random"] += 1
    last = relay.start()
    if killed_by(last, 5):
        raise AssertionError("killed by somebody else")
    last.terminate()
    # One after the other: what the simulator sends while it stops is to be read, too.
    for next_one, expected in ((lambda: last, 130), (lambda: relay.start(arguments=("--steps", "P", "--until-end")), 0)):
        status = next_one().wait(timeout=120)
        if status != expected:
            raise AssertionError(f"the last run ended with status {status}\n{relay.log()}")

    def read(at, topic):
        log4j = os.path.join(at.directory, "log4j2.yaml")
        return outside.read_topic(ROOT / "build" / "deps" / "kafka", at.address, topic, log4j)

    manifests = [json.loads(one.read_text()) for one in pathlib.Path(place.path, "data").glob("kills/*/simulate/manifest-*.json")]
    acknowledged = sum(one["records_sent"] for one in manifests)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sent = pool.submit(read, broker, "kills-in") if source == "kafka" else None
        stored = pool.submit(read, other, "kills-out") if into != "duckdb" else pool.submit(relay.stored)
        stored = stored.result()
        sent = sent.result() if sent else relay.sent()
    if into == "duckdb":
        faults, events = outside.account_ids(sent, stored)
    else:
        faults, events = outside.account(sent, stored, repeats)
    if into == "branches":
        for table in ("stored", "raw"):
            faults += [f"table {table}: {fault}" for fault in outside.account_ids(sent, relay.stored(table))[0]]
    if events < RATE:
        faults.append(f"no more than {events} events were sent")
    copies = len(sent) - events
    if acknowledged != len(sent):
        faults.append(f"the manifests count {acknowledged} acknowledged records, the topic holds {len(sent)}")
    print(f"{done['steps']} kills at named steps, {done['random']} at random instants; {events} events and {copies} copies "
          f"sent, {len(stored)} stored; {len(faults)} faults")
    for fault in faults[:20]:
        print("  " + fault)
    return 1 if faults else 0


def missing():
    """What is not there and must be; empty where everything is."""
    if shutil.which("java") is None or not (ROOT / "build/deps/kafka/sha256").exists():
        return "needs java and Kafka's jars (tools/fetch-kafka)"
    if not (ROOT / "build/deps/librdkafka/librdkafka.so.1").exists() and "TIDEMILL_LIBRDKAFKA" not in os.environ:
        return "needs librdkafka (tools/fetch-librdkafka)"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["contracts", "kills"])
    parser.add_argument("--contracts")
    parser.add_argument("--program")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--from", dest="source", choices=["kafka", "log"])
    parser.add_argument("--into", choices=list(STEPS))
    parser.add_argument("--delivery", choices=["exactly-once", AT_LEAST_ONCE])
    options = parser.parse_args()
    if missing():
        print("skipped: " + missing())
        return SKIPPED
    place = Place("tidemill-kafka-")
    broker = Broker(place)
    try:
        return (contracts if options.what == "contracts" else kills)(options, place, broker)
    finally:
        broker.down()
        place.close()


if __name__ == "__main__":
    sys.exit(main())
