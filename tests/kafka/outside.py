"""An outside account of a relay on Kafka: Apache Kafka's own console consumer reads, Python counts."""
import collections
import json
import subprocess


def read_topic(jars, address, topic, log4j):
    """(partition, offset, key, value) of every committed record, in partition and offset order."""
    command = ["java", "-Xmx512m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={log4j}",
               "-cp", f"{jars}/*", "org.apache.kafka.tools.consumer.ConsoleConsumer", "--bootstrap-server", address,
               "--topic", topic, "--from-beginning", "--isolation-level", "read_committed", "--timeout-ms", "12000",
               "--property", "print.key=true", "--property", "print.partition=true",
               "--property", "print.offset=true", "--property", "key.separator=\t"]
    # It gives up where nothing comes for --timeout-ms, which on a busy machine its own start can take.
    for _ in range(4):
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        if done.stdout:
            break
    records = []
    for line in done.stdout.splitlines():
        # Partition:0\tOffset:12\tkey\tvalue
        partition, offset, key, value = line.split("\t", 3)
        records.append((int(partition.split(":")[1]), int(offset.split(":")[1]), key, value))
    if f"Processed a total of {len(records)} messages" not in done.stderr + done.stdout:
        raise AssertionError(f"the console consumer of {topic} did not count {len(records)} records: {done.stderr[-500:]}")
    return sorted(records, key=lambda record: record[:2])


def account(sent, stored, repeats=False):
    """Compares the relay's input and output. Faults as texts; none: each distinct event is there once, unchanged but
    for the added members, and in order for each key. With `repeats` it may be there again, after its first time."""
    faults = []
    first, order = {}, collections.defaultdict(list)
    for partition, offset, key, value in sent:
        event = json.loads(value)
        if event["eventId"] not in first:
            first[event["eventId"]] = value
            order[key].append(event["eventId"])
    seen, stored_order = collections.Counter(), collections.defaultdict(list)
    for partition, offset, key, value in stored:
        event = json.loads(value)
        identity = event["eventId"]
        seen[identity] += 1
        if not repeats or seen[identity] == 1:
            stored_order[key].append(identity)
        for added in ("enqueuedAt", "processedAt"):
            if added not in event:
                faults.append(f"{identity}: no {added}")
            event.pop(added, None)
        if identity in first and event != json.loads(first[identity]):
            faults.append(f"{identity}: changed")
        if event["deviceId"] != key:
            faults.append(f"{identity}: under the key {key}")
    faults += [f"{identity}: lost" for identity in first if identity not in seen]
    faults += [f"{identity}: {count} times" for identity, count in seen.items() if count > 1 and not repeats]
    faults += [f"{identity}: never sent" for identity in seen if identity not in first]
    for key, identities in order.items():
        if stored_order[key] != identities and not faults:
            faults.append(f"key {key}: out of order")
    return faults, len(first)


def account_ids(sent, stored):
    """The same of a table's rows, given by their ids."""
    seen = collections.Counter(stored)
    events = {json.loads(value)["eventId"] for _, _, _, value in sent}
    faults = [f"{identity}: lost" for identity in events if identity not in seen]
    faults += [f"{identity}: {count} times" for identity, count in seen.items() if count > 1]
    faults += [f"{identity}: never sent" for identity in seen if identity not in events]
    return faults, len(events)
