#!/usr/bin/env python3
"""Several processes share one pipeline on Kafka, and come and go.

  scale.py --program TIDEMILL [--seconds N] [--seed N] [--workers N] [--protocol classic|consumer] [--into topic|postgres]
           [--endpoint KIND]

One process simulates; the others process, each with a data directory of its own, in one consumer group. At random
instants one of them is killed, stopped, halted for longer than its session (so that it comes back as one that others
took over from), or joined by another. At last they are stopped and one processes what is left. Kafka's own consumer
then accounts for every event: none lost, none doubled, the order of each key kept; of a table psql gives the rows. Partitions that
are added to the topic after that end the pipeline, as the state that is kept by key would stay behind. --endpoint: the
brokers can do less (endpoint.py); an event may then be in the topic again. --seed replays the choices, not the instants at which the machine carries them out.
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

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from kafka import ROOT, SKIPPED, Broker, Place, missing, wait_for  # noqa: E402
from endpoint import Endpoint  # noqa: E402
from endpoint_proxy import HIDDEN  # noqa: E402
import outside  # noqa: E402

sys.path.insert(0, str(ROOT / "tests" / "postgres"))
from postgres import Server  # noqa: E402

PARTITIONS = 6
TOPIC = "{kafka: {topic: scale-out}}"
SESSION = 3  # seconds

SOLUTION = """
name: scale
event: telemetry
simulate: {{rate: 1500, instances: 2, duplicate_every: 50}}
ingest:
  kafka: {{brokers: "{address}", topic: scale-in, partitions: {partitions}, session_timeout: {session}s,
          protocol: {protocol}, member: "{member}", properties: {{topic.metadata.refresh.interval.ms: 1000}}}}
process:
  - enrich: [enqueuedAt, processedAt]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve: {serve}
pipeline: {{tasks: 2, snapshot_min: 64KiB, retry: {{give_up: 2m}}}}
"""


class Worker:
    """One process of the pipeline; the same again after a kill or a stop."""

    def __init__(self, options, place, broker, number, static):
        self.name = f"worker-{number}"
        text = SOLUTION.format(address=broker.address, partitions=PARTITIONS, session=SESSION, protocol=options.protocol,
                               member=self.name if static else "", serve=options.serve)
        self.environment = options.environment
        self.command = [options.program, "--data-dir", os.path.join(place.path, self.name), "run",
                        place.write(f"{self.name}.yaml", text)]
        self.log_path = os.path.join(place.path, self.name + ".log")
        self.place = place
        self.process = None

    def start(self, *arguments):
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen([*self.command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=self.environment)
        self.place.started.append(self.process)

    def process_forever(self):
        self.start("--steps", "CIDP", "--duration", "forever")

    def check_alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended by itself with status {self.process.returncode}\n{self.log()}")

    def end(self, sent, expected, seconds=120):
        self.process.send_signal(sent)
        status = self.process.wait(timeout=seconds)
        if status != expected:
            raise AssertionError(f"{self.name} ended with status {status}, not {expected}\n{self.log()}")

    def log(self):
        with open(self.log_path) as log:
            return log.read()[-3000:]


class Crowd:
    def __init__(self, options, place, broker, chance):
        self.workers = []
        self.chance = chance
        self.done = collections.Counter()
        for number in range(options.workers):
            # One is a static member: its partitions wait for it.
            self.workers.append(Worker(options, place, broker, number, static=number == 0))
        for worker in self.workers[:-1]:
            worker.process_forever()
        self.away = [self.workers[-1]]

    def present(self):
        return [worker for worker in self.workers if worker not in self.away]

    def act(self):
        """One thing that happens to one of them."""
        for worker in self.present():
            worker.check_alive()
        what = self.chance.choice(["kill", "kill", "stop", "halt", "join"])
        if what == "join" or len(self.present()) < 2:
            if not self.away:
                return
            self.away.pop(0).process_forever()
            self.done["joined"] += 1
            return
        worker = self.chance.choice(self.present())
        if what == "kill":
            worker.end(signal.SIGKILL, -signal.SIGKILL)
            self.done["killed"] += 1
            self.away.append(worker)
        elif what == "stop":
            worker.end(signal.SIGTERM, 130)
            self.done["stopped"] += 1
            self.away.append(worker)
        else:
            worker.process.send_signal(signal.SIGSTOP)
            time.sleep(SESSION + self.chance.uniform(0.5, 2))
            worker.process.send_signal(signal.SIGCONT)
            self.done["halted"] += 1

    def stop(self):
        for worker in self.present():
            worker.check_alive()
            worker.end(signal.SIGTERM, 130)


def add_partitions(broker, topic, count):
    jars = ROOT / "build" / "deps" / "kafka"
    log4j = os.path.join(broker.directory, "log4j2.yaml")
    subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={log4j}", "-cp", f"{jars}/*",
                    "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.address, "--alter", "--topic", topic,
                    "--partitions", str(count)], check=True, capture_output=True)


def explain_partitions(options, place, broker):
    """The faults of what is said of added partitions, by a process that runs and by one that is begun."""
    worker = Worker(options, place, broker, "grown", static=False)
    worker.start("--steps", "P", "--duration", "forever")
    wait_for("the start", lambda: "run scale/1" in worker.log())
    add_partitions(broker, "scale-in", PARTITIONS + 2)
    faults = []
    for _ in range(2):
        if worker.process.wait(timeout=60) == 0 or "partitions" not in worker.log().splitlines()[-1]:
            faults.append(f"added partitions: {worker.log()}")
        print("  " + worker.log().splitlines()[-1])
        worker.start("--steps", "P", "--until-end")
    worker.process.wait(timeout=60)
    return faults


def run(options, place, broker):
    chance = random.Random(options.seed)
    sender = Worker(options, place, broker, "sender", static=False)
    sender.start("--steps", "CIDT", "--duration", "forever")
    crowd = Crowd(options, place, broker, chance)
    end = time.monotonic() + options.seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.3, 4))
        sender.check_alive()
        crowd.act()
    sender.end(signal.SIGTERM, 130)
    crowd.stop()
    # What is left, by one; it waits for the end of the static member's session.
    last = Worker(options, place, broker, "last", static=False)
    last.start("--steps", "P", "--until-end")
    if last.process.wait(timeout=180) != 0:
        raise AssertionError(f"the last run failed\n{last.log()}")

    log4j = os.path.join(broker.directory, "log4j2.yaml")
    jars = ROOT / "build" / "deps" / "kafka"
    topics = ("scale-in", "scale-out") if options.server is None else ("scale-in",)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sent, *rest = pool.map(lambda topic: outside.read_topic(jars, broker.address, topic, log4j), topics)
    if options.server is None:
        stored = rest[0]
        faults, events = outside.account(sent, stored, repeats=options.endpoint is not None)
    else:
        stored = options.server.psql('SELECT "eventId" FROM stored')
        faults, events = outside.account_ids(sent, stored)
    manifests = [json.loads(one.read_text()) for one in
                 pathlib.Path(place.path, "worker-sender").glob("scale/*/simulate/manifest-*.json")]
    acknowledged = sum(one["records_sent"] for one in manifests)
    if acknowledged != len(sent) and options.endpoint != "no-idempotence":
        faults.append(f"the manifests count {acknowledged} acknowledged records, the topic holds {len(sent)}")
    if events < 1500:
        faults.append(f"no more than {events} events were sent")
    faults += explain_partitions(options, place, broker)
    told = ", ".join(f"{count} {what}" for what, count in sorted(crowd.done.items()))
    print(f"protocol {options.protocol}, into {options.into}: {told}; {events} events and {len(sent) - events} copies sent, {len(stored)} stored; "
          f"{len(faults)} faults")
    for fault in faults[:20]:
        print("  " + fault)
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TIDEMILL_SEED", "1")))
    parser.add_argument("--protocol", choices=["classic", "consumer"])
    parser.add_argument("--into", choices=["topic", "postgres"])
    parser.add_argument("--endpoint", choices=[kind for kind in HIDDEN if kind != "whole"])
    options = parser.parse_args()
    if missing():
        print("skipped: " + missing())
        return SKIPPED
    if options.protocol is None:
        options.protocol = ("classic", "consumer")[options.seed % 2]
    if options.into is None:
        options.into = ("topic", "postgres", "topic")[options.seed // 2 % 3]
    print(f"seed {options.seed}; to replay: {sys.argv[0]} --program {options.program} --seconds {options.seconds} "
          f"--workers {options.workers} --seed {options.seed} --protocol {options.protocol} --into {options.into}" + (f" --endpoint {options.endpoint}" if options.endpoint else ""), flush=True)
    place = Place("tidemill-scale-")
    broker = Endpoint(place, options.endpoint, options.seed) if options.endpoint else Broker(place)
    options.server, options.serve, options.environment = None, TOPIC, None
    try:
        if options.into == "postgres":
            options.server = Server(place)
            if options.server.missing:
                print("no PostgreSQL server on this machine; install Debian's package postgresql")
                return SKIPPED
            options.serve = f'{{postgres: {{connection: "{options.server.url}", table: stored}}}}'
            options.environment = options.server.environment
        return run(options, place, broker)
    finally:
        broker.down()
        if options.server:
            options.server.tool("down")
        place.close()


if __name__ == "__main__":
    sys.exit(main())
