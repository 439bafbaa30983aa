#!/usr/bin/env python3
"""Two instances of a solution that rekeys: orders without keys, many of them twice and in two partitions of a topic, go
through a topic by their customer and a dedup into another topic, or a table of PostgreSQL.

  rekeyed.py --program PATH [--kills N] [--seed N] [--into topic|postgres|duckdb] [--endpoint KIND]

The instances are killed in turn, at commit steps of either stage and at random instants (into DuckDB it is one instance,
and the topic between is in its embedded log). At the end a reader of its own, read committed, finds every record of the
input once in the topic between, under its customer, in the partition that Java's murmur2 gives, those of one input
partition in their order; every order once in the output, in the order of the topic between; every broken record once among the dead
letters. `verify` finds the same, and `query` and `log` show the topic between. --endpoint: the brokers can do less (endpoint.py);
records may then be there again, in either topic.
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
sys.path.insert(0, str(ROOT / "tests" / "postgres"))
from program import Place, verdict_of, wait_for  # noqa: E402
from postgres import Server  # noqa: E402
from endpoint import Endpoint  # noqa: E402
from endpoint_proxy import HIDDEN  # noqa: E402
import kafka  # noqa: E402

PARTITIONS, BETWEEN = 4, 3
SOLUTION = """
name: rekeyed
event: {fields: {id: text required, customer: text, n: bigint}, id: id, key: customer}
ingest: {kafka: {brokers: "%s", topic: orders, partitions: 4, session_timeout: 1s}}
process:
  - enrich: [partition, offset]
  - rekey: {by: customer, partitions: 3}
  - dedup: {horizon: 10m}
serve: %s
pipeline: {tasks: 2}
"""
SERVE = {"topic": "{kafka: {topic: rekeyed-out}}", "duckdb": "{duckdb: {table: rekeyed_out}}"}
STEPS = ("kafka.claimed", "kafka.begun", "kafka.rows.produced", "kafka.offsets.sent", "kafka.committed", "epoch.committed")
# Of an endpoint without transactions.
IN_STEPS = ("kafka.claimed", "kafka.rows.acknowledged", "kafka.frames.acknowledged", "kafka.positions.committed", "epoch.committed")
OWN_STEPS = {"topic": STEPS, "postgres": (*STEPS, "changelog.frame.durable", "postgres.positions.updated", "postgres.committed"),
             "duckdb": ("log.txn.data.durable", "log.txn.record.durable", "changelog.frame.durable", "duckdb.rows.appended",
                        "duckdb.committed", "epoch.committed")}


def murmur2(data):
    """As org.apache.kafka.common.utils.Utils has it."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


class Orders:
    """What is sent: the input topic's producer, without keys."""

    def __init__(self, address, chance):
        from confluent_kafka import Producer
        self.producer = Producer({"bootstrap.servers": address, "acks": "all", "enable.idempotence": True})
        self.chance, self.sent, self.broken = chance, 0, 0

    def send(self, count):
        for _ in range(count):
            number = self.sent = self.sent + 1
            order = json.dumps({"id": f"order-{number}", "customer": f"customer {self.chance.randint(1, 30)}", "n": number})
            copies = 1 + (self.chance.random() < 0.4)
            if self.chance.random() < 0.01:
                self.producer.produce("orders", b'{"id": ', partition=self.chance.randrange(PARTITIONS))
                self.broken += 1
            for _ in range(copies):
                self.producer.produce("orders", order.encode(), partition=self.chance.randrange(PARTITIONS))
        return self.producer.flush(30) == 0


def read(address, topic):
    """(partition, offset, key, value, headers) of every committed record."""
    from confluent_kafka import Consumer, TopicPartition, KafkaError
    consumer = Consumer({"bootstrap.servers": address, "group.id": "outside", "isolation.level": "read_committed",
                         "enable.partition.eof": True, "enable.auto.commit": False})
    partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in partitions])
    records, ended, deadline = [], set(), time.monotonic() + 60
    while len(ended) < len(partitions):
        if time.monotonic() > deadline:
            raise AssertionError(f"{topic} has no end")
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise AssertionError(f"{topic}: {message.error()}")
            ended.add(message.partition())
            continue
        key = message.key().decode() if message.key() is not None else None
        records.append((message.partition(), message.offset(), key, message.value().decode(), dict(message.headers() or [])))
    consumer.close()
    return sorted(records, key=lambda record: record[:2])


class Test:
    def __init__(self, options, place, broker):
        self.options, self.place, self.broker = options, place, broker
        self.chance = random.Random(options.seed)
        self.server, self.repeats = None, options.endpoint is not None
        self.environment = {name: value for name, value in os.environ.items() if name != "TIDEMILL_KILL_AT"}
        serve = SERVE.get(options.into)
        if serve is None:
            self.server = Server(place)
            self.environment = {**self.server.environment}
            serve = f'{{postgres: {{connection: "{self.server.url}", table: rekeyed_out}}}}'
        self.solution = place.write("rekeyed.yaml", SOLUTION % (broker.address, serve))
        self.orders = Orders(broker.address, self.chance)
        self.instances, self.starts = [], collections.Counter()

    def tidemill(self, number, *arguments):
        return [self.options.program, "--data-dir", os.path.join(self.place.path, f"rekeyed-{number}"), *arguments]

    def start(self, number, *arguments, kill_at=None):
        environment = {**self.environment, **({"TIDEMILL_KILL_AT": kill_at} if kill_at else {})}
        log = open(os.path.join(self.place.path, f"rekeyed-{number}.log"), "a")
        process = subprocess.Popen(self.tidemill(number, "run", self.solution, "--steps", "CIP", *arguments), stdin=subprocess.DEVNULL,
                                   stdout=log, stderr=log, env=environment)
        log.close()
        self.place.started.append(process)
        self.starts[number] += 1
        return process

    def log(self, number, most=3000):
        with open(os.path.join(self.place.path, f"rekeyed-{number}.log")) as log:
            return log.read()[-most:]

    def await_start(self, number):
        """Until it listens to signals."""
        lines = "run rekeyed/1"
        wait_for("the start", lambda: self.log(number, 10**9).count(lines) == self.starts[number], 60)

    def ask(self, *arguments):
        done = subprocess.run(self.tidemill(0, *arguments), capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                              env=self.environment)
        return done.returncode, done.stdout + done.stderr

    def kill(self, number, kill_at):
        """Ends the instance, and has it begin again."""
        process = self.instances[number]
        if process.poll() is not None:
            raise AssertionError(f"instance {number} ended by itself\n{self.log(number)}")
        self.await_start(number)
        process.kill()
        process.wait()
        if kill_at is not None:
            process = self.start(number, "--duration", "forever", kill_at=kill_at)
            deadline = time.monotonic() + 60
            while process.poll() is None:
                self.orders.send(20)
                time.sleep(0.1)
                if time.monotonic() > deadline:
                    raise AssertionError(f"{kill_at} was not reached\n{self.log(number)}")
            if process.returncode != -9:
                raise AssertionError(f"instance {number} ended by itself with {process.returncode}\n{self.log(number)}")
        self.instances[number] = self.start(number, "--duration", "forever")

    def run(self):
        count = 1 if self.options.into == "duckdb" else 2
        self.instances = [self.start(number, "--duration", "forever") for number in range(count)]
        wait_for("the topic", lambda: "run rekeyed/1" in self.log(0), 60)
        self.orders.send(500)
        steps = list(IN_STEPS if self.repeats else OWN_STEPS[self.options.into])
        self.chance.shuffle(steps)
        for kill in range(self.options.kills):
            self.orders.send(self.chance.randrange(200, 1000))
            step = steps[kill // 2 % len(steps)] if kill % 2 == 0 else None
            if step is None:
                time.sleep(self.chance.uniform(0.1, 2))
            elif step != "kafka.claimed":  # a takeover is one claim
                step += f":{self.chance.randint(1, 5)}"
            self.kill(self.chance.randrange(count), step)
        self.orders.send(500)
        for number, instance in enumerate(self.instances):
            self.await_start(number)
            instance.terminate()
        for number, instance in enumerate(self.instances):
            if instance.wait(timeout=60) != 130:
                raise AssertionError(f"a stop ended with {instance.returncode}\n{self.log(number)}")
        self.instances = [self.start(number, "--until-end") for number in range(count)]
        for number, instance in enumerate(self.instances):
            if instance.wait(timeout=180) != 0:
                raise AssertionError(f"the last run ended with {instance.returncode}\n{self.log(number)}")
        return self.account()

    def account(self):
        if self.options.into == "duckdb":
            return self.account_table()
        topics = {topic: read(self.broker.address, topic) for topic in ("orders", "rekeyed-by-customer", "rekeyed-by-customer.dead")}
        whole = [record for record in topics["orders"] if record[3] != '{"id": ']
        faults = self.compare(whole, topics["rekeyed-by-customer"])
        letters = collections.Counter((headers["topic"], headers["partition"], headers["offset"])
                                      for *_, headers in topics["rekeyed-by-customer.dead"])
        if len(letters) != self.orders.broken or any(times > 1 for times in letters.values()) and not self.repeats:
            faults.append(f"{self.orders.broken} broken records, and the dead letters {letters}")
        first = collections.defaultdict(list)  # by customer, in the order of the topic between
        for *_, key, value, _ in topics["rekeyed-by-customer"]:
            order = json.loads(value)["id"]
            if order not in first[key]:
                first[key].append(order)
        stored = self.stored()
        by_key = collections.defaultdict(list)
        for key, order in stored:
            if not self.repeats or order not in by_key[key]:
                by_key[key].append(order)
        for key, orders in first.items():
            faults += [f"{key}: {order} lost" for order in set(orders) - set(by_key[key])]
            faults += [f"{key}: {order} {times} times" for order, times in collections.Counter(by_key[key]).items() if times > 1]
            if by_key[key] != orders and not faults and self.server is None:
                faults.append(f"{key}: out of order")
        if len(stored) != self.orders.sent and not self.repeats:
            faults.append(f"{self.orders.sent} orders, {len(stored)} stored")
        faults += self.look("rekeyed-by-customer", len(topics["rekeyed-by-customer"]))
        faults += self.explain_deleted("rekeyed-by-customer")
        return faults, f"{self.orders.sent} orders in {len(whole)} records, {len(stored)} stored"

    def compare(self, sent, between):
        """Every record of the input is once in the topic between, where it belongs."""
        faults, last, seen = [], {}, set()
        values = {(partition, offset): value for partition, offset, _, value, _ in sent}
        for partition, offset, key, value, _ in between:
            event = json.loads(value)
            place = (event.pop("partition"), event.pop("offset"))
            if place in seen and self.repeats:
                continue
            if place in seen:
                faults.append(f"{place} is there twice")
            seen.add(place)
            if event != json.loads(values.get(place, "null")):
                faults.append(f"{place}: {event} instead of {values.get(place)}")
            if key != event["customer"] or partition != (murmur2(key.encode()) & 0x7FFFFFFF) % BETWEEN:
                faults.append(f"{place}: of {event['customer']} under {key} in partition {partition}")
            if last.get((partition, place[0]), -1) > place[1]:
                faults.append(f"{place}: out of order")
            last[partition, place[0]] = place[1]
        return faults + [f"{place} is not in the topic between" for place in set(values) - seen]

    def stored(self):
        if self.server:
            rows = self.server.psql("SELECT customer || '|' || id FROM rekeyed_out")
            return [tuple(row.split("|")) for row in rows]
        return [(key, json.loads(value)["id"]) for *_, key, value, _ in read(self.broker.address, "rekeyed-out")]

    def look(self, between, records):
        """What the program itself says of it."""
        faults = []
        status, said = self.ask("verify", "rekeyed", "--format", "json")
        if status != 0 or verdict_of(said)["verdict"] != "PASS":
            faults.append("verify: " + said[-1000:])
        status, said = self.ask("log", "topics", "rekeyed")
        if status != 0 or between not in said:
            faults.append("log topics: " + said)
        status, said = self.ask("log", "read", "rekeyed", between, "--format", "json")
        if status != 0 or sum(line.startswith("{") for line in said.splitlines()) != records:
            faults.append(f"log read, instead of {records} records: " + said[-500:])
        if self.options.into == "topic":
            status, said = self.ask("query", "rekeyed", f'SELECT count(*), count(customer) FROM "{between}"', "--format", "csv")
            if status != 0 or f"{records},{records}" not in said:
                faults.append(f"query, instead of {records}: " + said)
        return faults

    def explain_deleted(self, between):
        """What is said of a topic between that somebody has deleted."""
        from confluent_kafka.admin import AdminClient
        admin = AdminClient({"bootstrap.servers": self.broker.address})
        admin.delete_topics([between])[between].result()
        status, said = self.ask("run", self.solution, "--name", "deleted", "--steps", "CIP", "--until-end")
        return [] if status == 2 and f"topic {between} of Kafka is gone" in said else [f"a deleted topic: {said}"]

    def account_table(self):
        sent = read(self.broker.address, "orders")
        status, said = self.ask("query", "rekeyed", "SELECT id FROM rekeyed_out", "--format", "csv", "--rows", "100000000")
        stored = collections.Counter(line for line in said.splitlines() if line.startswith("order-"))
        orders = {json.loads(value)["id"] for *_, value, _ in sent if value != '{"id": '}
        faults = [] if status == 0 else [said]
        faults += [f"{order} lost" for order in orders - set(stored)]
        faults += [f"{order} {times} times" for order, times in stored.items() if times > 1 or order not in orders]
        faults += self.look("rekeyed-by-customer", len(sent) - self.orders.broken)
        return faults, f"{self.orders.sent} orders in {len(sent)} records, {sum(stored.values())} stored"

    def close(self):
        for instance in self.instances:
            if instance.poll() is None:
                instance.kill()
                instance.wait()
        if self.server:
            self.server.tool("down")


def rekey_and_account(options, place, broker):
    test = Test(options, place, broker)
    try:
        faults, counted = test.run()
    finally:
        test.close()
    print(f"rekeyed into {options.into}: {options.kills} kills; {counted}; {len(faults)} faults", flush=True)
    if faults:
        raise AssertionError("\n".join(faults[:20]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, type=os.path.abspath)
    parser.add_argument("--kills", type=int, default=16)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--into", choices=list(OWN_STEPS), default="topic")
    parser.add_argument("--endpoint", choices=[kind for kind in HIDDEN if kind != "whole"])
    options = parser.parse_args()
    python = ROOT / "build/deps/python"
    if kafka.missing() or not python.exists():
        print("skipped: " + (kafka.missing() or "needs confluent-kafka (tools/fetch-confluent-kafka)"))
        return kafka.SKIPPED
    sys.path.insert(0, str(python))
    print(f"--seed {options.seed}", flush=True)
    place = Place("tidemill-rekeyed-")
    broker = Endpoint(place, options.endpoint, options.seed) if options.endpoint else kafka.Broker(place)
    try:
        rekey_and_account(options, place, broker)
    finally:
        broker.down()
        place.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
