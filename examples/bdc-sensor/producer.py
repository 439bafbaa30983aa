#!/usr/bin/env python3
"""Sends sensor readings to a topic, as the guide's producer does: JSON, without a key. Needs: pip install
confluent-kafka==2.16.1."""
import argparse
import json
import random

from confluent_kafka import Producer

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--brokers", default="127.0.0.1:9092")
parser.add_argument("--topic", default="sample-topic")
parser.add_argument("--count", type=int, default=1000)
parser.add_argument("--seed", type=int, default=1)
options = parser.parse_args()

chance = random.Random(options.seed)
acknowledged = 0


def on_delivery(error, _):
    global acknowledged
    if error is not None:
        raise SystemExit(f"not delivered: {error}")
    acknowledged += 1


producer = Producer({"bootstrap.servers": options.brokers})
for _ in range(options.count):
    reading = {"sensor": f"sensor{chance.randint(1, 10)}", "measure1": round(chance.gauss(20, 5), 3),
               "measure2": round(chance.gauss(50, 10), 3)}
    if chance.random() < 0.02:
        reading["measure2"] = None
    while True:
        try:
            producer.produce(options.topic, json.dumps(reading).encode(), callback=on_delivery)
            break
        except BufferError:
            producer.poll(0.1)
    producer.poll(0)
producer.flush()
print(f"{acknowledged} readings acknowledged")
