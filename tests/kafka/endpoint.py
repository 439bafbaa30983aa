#!/usr/bin/env python3
"""A relay on an endpoint that can do less than Kafka: no transactions, no idempotent producers.

  endpoint.py --program TIDEMILL [--kind no-transactions|no-idempotence|refused] [--steps N] [--seconds N] [--seed N]

A proxy (endpoint_proxy.py) before a real broker makes it so. `check`, the run's first lines and a setting that cannot be
kept must say what it comes to. Then the relay, which simulates into a topic, is killed at every named commit step, and
at random instants for --seconds, and ends. What came in goes to a topic and to a table; what is in that topic, to a
table with a key and through a dedup to a third. Kafka's own consumer and queries account for every event: none is lost
anywhere, none is doubled in a table, and the first of each in the topic is in its order. `verify` must pass, too.
Without idempotence the proxy swallows answers to what is produced, with their connections, so that it is sent again.
Without --kind the seed says which.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

from kafka import RATE, ROOT, SKIPPED, Broker, Place, Relay, killed_by, missing
from endpoint_proxy import HIDDEN, Proxy
import outside
from program import verdicts_of

# Those of the commit in steps, and around it; the others are kafka.py's.
STEPS = ("kafka.claimed", "epoch.ended", "kafka.rows.acknowledged", "kafka.frames.acknowledged", "kafka.positions.committed",
         "epoch.committed", "snapshot.written", "snapshot.durable", "snapshot.truncated")
BRANCHES = """
branches:
  direct:
    process: [{dedup: {id: eventId, key: deviceId, last: 100}}]
    serve: {duckdb: {table: direct}}
  keyed: {from: kills-out, serve: {duckdb: {table: keyed, key: eventId}}}
  deduped:
    from: kills-out
    process: [{dedup: {id: eventId, key: deviceId, last: 1000}}]
    serve: {duckdb: {table: deduped}}
"""
TABLES = ("direct", "keyed", "deduped")
BREAK_PRODUCE = 60


class Endpoint:
    """A broker that is reached through the proxy alone."""

    def __init__(self, place, kind, seed):
        self.proxy = Proxy(kind, BREAK_PRODUCE if kind == "no-idempotence" else 0, seed)
        self.broker = Broker(place, "--set", f"advertised.listeners=PLAIN://{self.proxy.address}")
        self.proxy.connect(self.broker.address)
        self.directory, self.address = self.broker.directory, self.proxy.address

    def down(self):
        self.broker.down()
        self.proxy.close()


def expect(holds, what, text):
    if not holds:
        raise AssertionError(f"{what}\n{text}")


def check_words(relay, kind, address):
    """What is said before anything runs."""
    check = [word if word != "run" else "check" for word in relay.command]
    said = subprocess.run(check, capture_output=True, text=True)
    demand = subprocess.run([*check, "--set", "serve.kafka.delivery=exactly-once"], capture_output=True, text=True)
    elsewhere = [word.replace("/data", "/demanding") if word.endswith("/data") else word for word in relay.command]
    start = subprocess.run([*elsewhere, "--set", "serve.kafka.delivery=exactly-once", "--count", "10"], capture_output=True, text=True)
    for done in (said, demand, start)[1 if kind == "refused" else 0:]:
        text = done.stdout + done.stderr
        if kind == "refused" and done is demand:
            continue  # only who begins a transaction finds out
        expect(f"Kafka at {address} has no transactions (it " in text, "it does not say what the endpoint lacks", text)
    if kind != "refused":
        expect("guarantee: at-least-once" in said.stdout and "makes it effectively-once" in said.stdout, "check", said.stdout)
    expect(start.returncode == 2 and "serve.kafka.delivery: exactly-once cannot be kept" in start.stderr, "a run that demands exactly-once",
           f"{start.returncode} {start.stdout} {start.stderr}")
    if kind == "no-idempotence":
        expect("no idempotent producers (it offers no InitProducerId)" in said.stdout and "what simulate sends" in said.stdout, "check", said.stdout)


def kill_all(options, relay, chance):
    done = {"steps": 0, "random": 0}
    for step in sorted(chance.sample(STEPS, options.steps), key=STEPS.index):
        kill_at = f"{step}:{chance.randint(1, 4)}" if step.startswith(("epoch", "kafka.r", "kafka.f", "kafka.p")) else step
        process = relay.start(kill_at)
        if not killed_by(process, 120):
            process.kill()
            raise AssertionError(f"{kill_at} was not reached\n{relay.log()}")
        done["steps"] += 1
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        process = relay.start()
        expect(not killed_by(process, chance.uniform(0.05, 4)), "killed by somebody else", relay.log())
        expect(process.poll() is None, "it ended by itself", relay.log())
        process.kill()
        process.wait()
        done["random"] += 1
    return done


def end_and_verify(relay, place):
    last = relay.start()
    expect(not killed_by(last, 5), "killed by somebody else", relay.log())
    last.terminate()
    # One after the other: what the simulator sends while it stops is to be read, too.
    for next_one, expected in ((lambda: last, 130), (lambda: relay.start(arguments=("--steps", "P", "--until-end")), 0)):
        status = next_one().wait(timeout=120)
        expect(status == expected, f"the last run ended with status {status}", relay.log())
    log = pathlib.Path(place.path, "relay.log").read_text()
    expect("guarantee of Kafka topic kills-out" in log and ": at-least-once: Kafka at " in log, "the run's first lines", log[:2000])
    command = [word if word != "run" else "verify" for word in relay.command[:-1]]
    return subprocess.run([*command, "kills", "--format", "json"], capture_output=True, text=True)


def account(options, relay, endpoint, place, kind):
    def read(topic):
        return outside.read_topic(ROOT / "build" / "deps" / "kafka", endpoint.address, topic, os.path.join(endpoint.directory, "log4j2.yaml"))

    with concurrent.futures.ThreadPoolExecutor() as pool:
        sent, stored = pool.map(read, ("kills-in", "kills-out"))
    faults, events = outside.account(sent, stored, repeats=True)
    for table in TABLES:
        rows = relay.stored(table)
        faults += [f"table {table}: {fault}" for fault in outside.account_ids(sent, rows)[0]]
    manifests = [json.loads(one.read_text()) for one in pathlib.Path(place.path, "data").glob("kills/*/simulate/manifest-*.json")]
    acknowledged = sum(one["records_sent"] for one in manifests)
    if acknowledged > len(sent) or (acknowledged != len(sent) and kind != "no-idempotence"):
        faults.append(f"the manifests count {acknowledged} acknowledged records, the topic holds {len(sent)}")
    if events < RATE:
        faults.append(f"no more than {events} events were sent")
    if HIDDEN[kind] and endpoint.proxy.refused:
        faults.append(f"{endpoint.proxy.refused} requests of kinds that the endpoint does not offer")
    counted = (f"{events} events, {len(sent) - events} copies sent, {len(stored) - events} stored again in the topic; "
               f"{endpoint.proxy.swallowed} answers swallowed")
    return faults, counted


def run(options, place, kind, seed):
    chance = random.Random(seed)
    endpoint = Endpoint(place, kind, seed)
    try:
        ingest = f'{{kafka: {{brokers: "{endpoint.address}", topic: kills-in, partitions: 4, session_timeout: 1s}}}}'
        relay = Relay(options.program, place, ingest, f'{{kafka: {{brokers: "{endpoint.address}", topic: kills-out}}}}', BRANCHES)
        relay.branch = ["--branch", "direct"]
        check_words(relay, kind, endpoint.address)
        done = kill_all(options, relay, chance)
        verified = end_and_verify(relay, place)
        faults, counted = account(options, relay, endpoint, place, kind)
        verdicts = verdicts_of(verified.stdout)
        # Rows that are replaced by key in a branch are accounted for above alone.
        judged = [one for one in verdicts if one.get("branch") != "keyed"]
        if len(verdicts) != 1 + len(TABLES) or any(one["verdict"] != "PASS" for one in judged):
            faults.append(f"verify: {verified.stdout[-3000:]}{verified.stderr[-1000:]}")
        return faults, f"{kind}: {done['steps']} kills at named steps, {done['random']} at random instants; {counted}"
    finally:
        endpoint.down()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--kind", choices=[kind for kind in HIDDEN if kind != "whole"])
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=len(STEPS), help="kill at so many of them, which the seed chooses")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TIDEMILL_SEED", "1")))
    options = parser.parse_args()
    if missing():
        print("skipped: " + missing())
        return SKIPPED
    kind = options.kind or ("no-transactions", "no-idempotence", "refused")[options.seed % 3]
    print(f"seed {options.seed}; to replay: {sys.argv[0]} --program {options.program} --kind {kind} --steps {options.steps} "
          f"--seconds {options.seconds} --seed {options.seed}")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    place = Place("tidemill-endpoint-")
    try:
        faults, counted = run(options, place, kind, options.seed)
        print(f"{counted}; {len(faults)} faults")
        told = collections.Counter()
        for fault in faults:
            where = fault.split(":")[0] if fault.startswith("table") else "topic"
            told[where] += 1
            if told[where] <= 5:
                print("  " + fault)
        return 1 if faults else 0
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
