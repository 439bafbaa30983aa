#!/usr/bin/env python3
"""Topics by pattern: a pipeline that reads every topic that matches, also those that are created while it runs.

  pattern.py --program TIDEMILL [--seconds N] [--seed N] [--into topic|duckdb]

Simulators write into two topics of different numbers of partitions, later into a third that is new, and into one that
does not match; a fourth is deleted. Two processes that share the work (into a topic) or one (into a table) are killed at commit steps and at
random instants for --seconds. Then every event of each matching topic is there once, unchanged and in order for each
key, and none of the other topic. `check` names the topics, and says what does not go with a pattern.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time

from kafka import ROOT, SKIPPED, Broker, Place, killed_by, missing
import outside
from program import wait_for

FEED = """
name: {name}
event: telemetry
simulate: {{rate: 400, duplicate_every: never}}
ingest: {{kafka: {{brokers: "{address}", topic: {topic}, partitions: {partitions}}}}}
process: [{{enrich: [enqueuedAt]}}]
serve: null
"""
SOLUTION = """
name: pattern
event: telemetry
ingest: {{kafka: {{brokers: "{address}", topic: "^sensor-[a-z]$", session_timeout: 1s}}}}
process: [{{enrich: [enqueuedAt, processedAt]}}]
serve: {serve}
pipeline: {{tasks: 2}}
"""
STEPS = {"topic": ("kafka.claimed", "kafka.rows.produced:3", "kafka.offsets.sent:2", "kafka.committed:2"),
         "duckdb": ("duckdb.rows.appended:2", "duckdb.positions.updated:2", "duckdb.committed:2")}


def expect(what, condition, output):
    if not condition:
        raise AssertionError(f"{what}:\n{output[-3000:]}")


class Test:
    def __init__(self, options, place, broker):
        self.options, self.place, self.broker = options, place, broker
        self.chance = random.Random(options.seed)
        self.feeds = []
        serve = "{kafka: {topic: pattern-out, partitions: 4}}" if options.into == "topic" else "{duckdb: {table: stored}}"
        self.solution = place.write("pattern.yaml", SOLUTION.format(address=broker.address, serve=serve))

    def tidemill(self, data, *arguments):
        return [self.options.program, "--data-dir", os.path.join(self.place.path, data), *arguments]

    def ask(self, *arguments):
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def feed(self, topic, partitions):
        path = self.place.write(f"{topic}.yaml", FEED.format(name="feed-" + topic, address=self.broker.address, topic=topic, partitions=partitions))
        log = open(os.path.join(self.place.path, topic + ".log"), "a")
        process = subprocess.Popen(self.tidemill("data-" + topic, "run", path, "--steps", "CIDT", "--duration", "forever"),
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()
        self.place.started.append(process)
        self.feeds.append(process)

    def start(self, data="data", kill_at=None, arguments=("--steps", "P", "--duration", "forever")):
        environment = {**os.environ}
        environment.pop("TIDEMILL_KILL_AT", None)
        if kill_at:
            environment["TIDEMILL_KILL_AT"] = kill_at
        with open(os.path.join(self.place.path, data + ".log"), "a") as log:
            process = subprocess.Popen(self.tidemill(data, "run", self.solution, *arguments), stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, env=environment)
        self.place.started.append(process)
        return process

    def log(self, data="data"):
        with open(os.path.join(self.place.path, data + ".log")) as log:
            return log.read()

    def read(self, topic):
        return outside.read_topic(ROOT / "build" / "deps" / "kafka", self.broker.address, topic,
                                  os.path.join(self.broker.directory, "log4j2.yaml"))

    def check_words(self):
        status, said = self.ask(*self.tidemill("data", "check", self.solution))
        expect("check names the topics", status == 0 and "Kafka topics ^sensor-[a-z]$" in said and ": sensor-a, sensor-b\n" in said, said)
        expect("check says that nothing verifies it", "verify has nothing to go by: ^sensor-[a-z]$ stands for several topics" in said, said)
        status, said = self.ask(*self.tidemill("data", "check", self.solution, "--set", "ingest.kafka.topic=^sensor-("))
        expect("no pattern", status == 2 and "is not a pattern" in said, said)
        circle = self.place.write("circle.yaml", SOLUTION.format(address=self.broker.address, serve="{kafka: {topic: sensor-x}}"))
        status, said = self.ask(*self.tidemill("data", "check", circle))
        expect("a circle", status == 2 and "events would go in a circle" in said, said)
        keyed = self.place.write("keyed.yaml", SOLUTION.format(address=self.broker.address, serve="{kafka: {topic: keyed-out}}").replace(
            "process: [", "process: [{dedup: {id: eventId, key: deviceId, last: 10}}, "))
        status, said = self.ask(*self.tidemill("data", "check", keyed))
        expect("a dedup", status == 2 and "stands for several topics; state is kept for one topic's partitions" in said, said)

    def end_of_nothing(self):
        """A run to the end ends, though nothing matches, and says so; nor is it verified, which is no error."""
        run = self.tidemill("none", "run", self.solution, "--set", "ingest.kafka.topic=^nothing-", "--set", "name=none")
        status, said = self.ask(*run, "--until-end")
        expect("nothing matches", status == 0 and "no topic matches ^nothing- now" in said, said)
        expect("it is not verified", "none is not verified: ^nothing- stands for several topics" in said, said)
        if self.options.into == "topic":
            status, said = self.ask(*run, "--from", "earliest", "--into", "nothing-new")
            expect("a replay in a circle", status == 2 and "nothing-new matches ^nothing-, so events would go in a circle" in said, said)

    def kill(self, other):
        kills = 0
        for step in STEPS[self.options.into]:
            process = self.start(kill_at=step)
            expect(f"{step} was not reached", killed_by(process, 120), self.log())
            kills += 1
        end = time.monotonic() + self.options.seconds
        while time.monotonic() < end:
            process = self.start()
            expect("killed by somebody else", not killed_by(process, self.chance.uniform(0.5, 4)), self.log())
            expect("it ended by itself", process.poll() is None, self.log())
            process.kill()
            process.wait()
            kills += 1
        if other is not None:
            expect("the other process ended by itself", other.poll() is None, self.log("other"))
        return kills

    def run(self):
        self.feed("sensor-a", 3)
        self.feed("sensor-b", 5)
        self.feed("sensor-10", 1)  # does not match
        for topic in ("sensor-a", "sensor-b", "sensor-10"):
            wait_for(topic, lambda: "run feed-" in open(os.path.join(self.place.path, topic + ".log")).read())
        wait_for("both topics", lambda: ": sensor-a, sensor-b\n" in self.ask(*self.tidemill("data", "check", self.solution))[1])
        time.sleep(1)  # some events each
        self.check_words()
        self.end_of_nothing()
        self.tool("org.apache.kafka.tools.TopicCommand", "--create", "--topic", "sensor-d", "--partitions", "1")
        other = self.start("other") if self.options.into == "topic" else None
        kills = self.kill(other)
        # A topic that goes while it runs, and one that comes, of more partitions than any had.
        last = self.start()
        expect("killed by somebody else", not killed_by(last, 3), self.log())
        self.tool("org.apache.kafka.tools.TopicCommand", "--delete", "--topic", "sensor-d")
        self.feed("sensor-c", 7)
        expect("killed by somebody else", not killed_by(last, 10), self.log())
        running = self.stored_topics(last)
        for process in self.feeds:
            process.terminate()
        for process in self.feeds:
            process.wait(timeout=60)
        for process in [last] + ([other] if other else []):
            process.terminate()
            expect("a stop", process.wait(timeout=60) == 130, self.log())
        end = self.start(arguments=("--steps", "P", "--until-end"))
        expect("the last run", end.wait(timeout=120) == 0, self.log())
        return self.account(kills, running)

    def stored_topics(self, process):
        """The topics of which the running pipeline has read."""
        expect("it runs", process.poll() is None, self.log())
        if self.options.into == "topic":
            group = self.tool("org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--describe", "--group", "pattern")
            return {line.split()[1] for line in group.splitlines() if line.startswith("pattern") and line.split()[3].isdigit()}
        status, said = self.ask(*self.tidemill("data", "query", "pattern", "SELECT DISTINCT topic FROM tidemill_positions", "--format", "csv"))
        expect("positions", status == 0, said)
        return set(said.split())

    def tool(self, name, *arguments):
        return subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{ROOT}/build/deps/kafka/*", name, "--bootstrap-server",
                               self.broker.address, *arguments], capture_output=True, text=True).stdout

    def account(self, kills, running):
        faults = [] if "sensor-c" in running else [f"sensor-c was not read while the pipeline ran, only {sorted(running)}"]
        topics = {topic: self.read(topic) for topic in ("sensor-a", "sensor-b", "sensor-c")}
        sent = [record for records in topics.values() for record in records]
        if self.options.into == "topic":
            stored = self.read("pattern-out")
            for topic, records in topics.items():
                ids = {json.loads(value)["eventId"] for _, _, _, value in records}
                faults += [f"{topic}: {fault}" for fault in
                           outside.account(records, [one for one in stored if json.loads(one[3])["eventId"] in ids])[0]]
            count = len(stored)
        else:
            status, said = self.ask(*self.tidemill("data", "query", "pattern", "SELECT eventId FROM stored", "--format", "json", "--rows", "100000000"))
            rows = [json.loads(line)["eventId"] for line in said.splitlines() if line.startswith("{")]
            faults += outside.account_ids(sent, rows)[0]
            count = len(rows)
        if count != len(sent):
            faults.append(f"{len(sent)} events in the topics, {count} stored")
        if any(len(records) < 400 for records in topics.values()):
            faults.append("too few events: " + ", ".join(f"{topic} {len(records)}" for topic, records in topics.items()))
        return faults, f"into {self.options.into}: {kills} kills; {len(sent)} events of three topics, {count} stored"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TIDEMILL_SEED", "1")))
    parser.add_argument("--into", choices=list(STEPS))
    options = parser.parse_args()
    if missing():
        print("skipped: " + missing())
        return SKIPPED
    if options.into is None:
        options.into = ("topic", "duckdb")[options.seed % 2]
    print(f"seed {options.seed}; to replay: {sys.argv[0]} --program {options.program} --into {options.into} --seconds {options.seconds} --seed {options.seed}")
    place = Place("tidemill-pattern-")
    broker = Broker(place)
    try:
        faults, counted = Test(options, place, broker).run()
        print(f"{counted}; {len(faults)} faults")
        for fault in faults[:20]:
            print("  " + fault)
        return 1 if faults else 0
    finally:
        broker.down()
        place.close()


if __name__ == "__main__":
    sys.exit(main())
