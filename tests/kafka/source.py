"""What a Kafka source can be told: where to begin, what to do about deleted events, and to give its place up."""
import json
import os
import re
import signal
import subprocess
import time

from kafka import ROOT
from program import wait_for

SOLUTION = """
name: {name}
event: telemetry
simulate: {{rate: max, count: 200, duplicate_every: never}}
ingest: {{kafka: {{brokers: "{address}", topic: {topic}, partitions: 2, {more}}}}}
process: [{{enrich: [enqueuedAt]}}]
serve: {{kafka: {{topic: {name}-out}}}}
pipeline: {{tasks: 1}}
"""
SESSION = 60  # seconds that a static member's place is kept
TAKEOVER = 15  # and far less
DELETED = 20


class Source:
    """One process of a pipeline."""

    def __init__(self, program, place, broker, name, topic, more="", data=None):
        text = SOLUTION.format(name=name, address=broker.address, topic=topic, more=more)
        data = os.path.join(place.path, data or "data-" + name)
        self.program = [program, "--data-dir", data]
        self.command = [*self.program, "run", place.write(os.path.basename(data) + ".yaml", text)]
        self.name, self.place = name, place
        self.log = os.path.join(place.path, os.path.basename(data) + ".log")

    def run(self, *arguments):
        """Status and output of a run that ends by itself."""
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        return done.returncode, done.stdout + done.stderr

    def start(self, *arguments):
        with open(self.log, "w") as log:
            process = subprocess.Popen([*self.command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.place.started.append(process)
        return process

    def said(self):
        with open(self.log) as log:
            return log.read()


def tool(broker, *arguments):
    log4j = os.path.join(broker.directory, "log4j2.yaml")
    done = subprocess.run(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={log4j}", "-cp",
                           f"{ROOT}/build/deps/kafka/*", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{arguments[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def ends(broker, topic):
    """The end offset of each partition."""
    lines = tool(broker, "org.apache.kafka.tools.GetOffsetShell", "--bootstrap-server", broker.address, "--topic", topic).splitlines()
    return {int(line.split(":")[1]): int(line.split(":")[2]) for line in lines if line.startswith(topic + ":")}


def delete_before(broker, topic, partition, offset):
    path = os.path.join(broker.directory, "delete.json")
    with open(path, "w") as out:
        json.dump({"version": 1, "partitions": [{"topic": topic, "partition": partition, "offset": offset}]}, out)
    tool(broker, "org.apache.kafka.tools.DeleteRecordsCommand", "--bootstrap-server", broker.address, "--offset-json-file", path)


def expect(what, condition, output):
    if not condition:
        raise AssertionError(f"{what}:\n{output[-2000:]}")


def stored(output):
    """Events of the whole run, from its last table."""
    return int(re.findall(r"^ +\d{4}-\S+(?: +[\d,]+){4} +([\d,]+)", output, re.MULTILINE)[-1].replace(",", ""))


def begins_and_skips(program, place, broker):
    status, output = Source(program, place, broker, "options", "options-in").run()
    expect("events", status == 0, output)
    end = ends(broker, "options-in")
    process = ("--steps", "PM", "--until-end")

    given = Source(program, place, broker, "given", "options-in", "start: latest, start_offsets: {0: %d}" % (end[0] - 7))
    status, output = given.run(*process)
    expect("seven events from a given offset", status == 0 and stored(output) == 7, output)
    for offsets, why in (("{0: 100000}", r"start_offsets: options-in-0 has no offset 100000; give one from 0, its first event, to \d+, its end"),
                         ("{7: 1}", r"start_offsets: topic options-in has 2 partitions, and none of the number 7; give 0 to 1")):
        status, output = Source(program, place, broker, "wrong", "options-in", f"start_offsets: {offsets}").run(*process)
        expect(why, status in (1, 2) and re.search(why, output), output)

    # More events came, and the first of them were deleted before the pipeline goes on.
    status, output = Source(program, place, broker, "more", "options-in").run("--steps", "T")
    expect("more events", status == 0, output)
    delete_before(broker, "options-in", 0, end[0] + DELETED)
    # Of both partitions: the other's start, at what was the latest then, was committed with the seven.
    more = sum(ends(broker, "options-in").values()) - sum(end.values()) - DELETED
    status, output = given.run(*process)
    expect("a stop for what was deleted", status == 1 and f"({DELETED}) were deleted; to go on without them, give ingest.kafka.deleted: skip" in output, output)
    status, output = Source(program, place, broker, "given", "options-in", "deleted: skip, start: latest").run(*process)
    expect("a warning", status == 0 and f"({DELETED}) were deleted before they were read; skipped" in output, output)
    expect(f"{more} events after it", stored(output) == more, output)


def looks(program, place, broker):
    """What the log commands and SQL show of topics in Kafka."""
    source = Source(program, place, broker, "looks", "looks-in")
    status, output = source.run()
    expect("events", status == 0, output)

    def ask(*arguments, status=0):
        done = subprocess.run([*source.program, *arguments], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
        expect(" ".join(arguments), done.returncode == status, done.stdout + done.stderr)
        return done.stdout + done.stderr

    read = [json.loads(line) for line in ask("log", "read", "looks", "looks-out", "--format", "json").splitlines()]
    ids = {json.loads(event["value"])["eventId"] for event in read}
    expect("200 events, each once", len(read) == 200 and len(ids) == 200, f"{len(read)} read, {len(ids)} ids")
    counted = ask("query", "looks", "--format", "csv", "SELECT count(*), count(DISTINCT eventId), count(enqueuedAt), count(DISTINCT _partition_id) FROM output")
    expect("the same in SQL", counted.splitlines()[1:] == ["200,200,200,2"], counted)
    counted = ask("query", "looks", "--format", "csv", 'SELECT count(DISTINCT eventId), bool_and(_key = deviceId) FROM "looks-in"')
    expect("of the input, too", counted.splitlines()[1:] == ["200,true"], counted)
    listed = {(one["topic"], one["partition"]) for one in map(json.loads, ask("log", "topics", "looks", "--format", "json").splitlines())}
    expect("topics", {("looks-in", 0), ("looks-in", 1), ("looks-out", 0), ("looks-out", 1)} <= listed, str(listed))
    expect("from an offset", len(ask("log", "read", "looks", "looks-in", "--partition", "0", "--from", "3", "--max", "2").splitlines()) == 2, "")
    expect("a topic that is not there", "there are looks-in, looks-out" in ask("log", "read", "looks", "other", status=2), "")
    with open(source.log, "w") as log:
        command = [*source.program, "log", "follow", "looks", "looks-in", "--from", "earliest"]
        follow = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    place.started.append(follow)
    wait_for("what is followed", lambda: len(source.said().splitlines()) >= 200)
    follow.send_signal(signal.SIGINT)
    expect("its end", follow.wait(timeout=30) == 130, source.said())


def leaves(program, place, broker):
    """A static member's partitions are free once it has left for good, and not before."""
    def member(number):
        more = f"member: m{number}, session_timeout: {SESSION}s, properties: {{topic.metadata.refresh.interval.ms: 1000}}"
        return Source(program, place, broker, "leaving", "options-in", more, data=f"leaving-{number}")

    one, two = member(1), member(2)
    first = one.start("--steps", "PM", "--duration", "forever")
    wait_for("the first member at work", lambda: re.search(r"stored +[1-9]", one.said()))
    done = subprocess.run([*one.program, "stop", "leaving", "--leave"], capture_output=True, text=True, timeout=60)
    expect("stop --leave", done.returncode == 0 and first.wait(timeout=60) == 130, done.stdout + done.stderr + one.said())
    began = time.monotonic()
    second = two.start("--steps", "P", "--until-end")
    expect("the second has the partitions", second.wait(timeout=SESSION) == 0, two.said())
    took = time.monotonic() - began
    expect(f"taken over after {took:.1f} s", took < TAKEOVER, two.said())
    return took


def check(program, place, broker):
    """One line that says what was seen."""
    begins_and_skips(program, place, broker)
    looks(program, place, broker)
    return f"topics are listed, read, followed and queried; a source begins at given offsets, stops for deleted events or skips them; a place given up is taken after {leaves(program, place, broker):.1f} s"
