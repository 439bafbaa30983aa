#!/usr/bin/env python3
"""Random solutions, each killed in the middle, verified there, and run on to its end.

  random_solutions.py --program PATH [--seed N | --seed-of-commit] [--solutions N] [--seconds N]

Every solution has operators, event, faults, sink, branches, partitions, tasks, epochs and durability that the seed
chooses. When it was killed, its verification may say that something is still to be processed, and nothing worse; the same command
again ends with PASS. A failure prints the solution, which is to be found again by its seed and number.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from program import Place, verdicts_of  # noqa: E402

PUMPS = ("{fields: {id: text required, pump: text, n: bigint, bar: double, state: text, at: timestamp}, "
         "id: id, key: pump, time: at}")
PUMP = ('{"id":"${guid}","pump":"${device}","n":${device_counter},"bar":${gaussian(4.2,0.3,2)},'
        '"state":"${choice(ok,ok,warning)}","at":"${time}"}')
COUNTED = ("lost", "duplicated", "unexpected", "altered", "out_of_order")
EVENTS = 8000

# What can stand in `process`; after a project only what every event keeps.
OPERATORS = {
    "telemetry": ["enrich", "enrich: [partition, offset, processedAt]", "dedup", "dedup: {last: 5}", "dedup: {horizon: 1m}",
                  "filter: value > 50", "filter: type = 'TEMP'", "project: {drop: [complexData]}", "rekey: deviceId", "rekey: type",
                  "project: {add: {twice: value * 2}}"],
    "pumps": ["enrich", "enrich: [partition, offset]", "dedup", "dedup: {last: 7}", "filter: bar > 4.1", "filter: state = 'ok'",
              "rekey: pump", "project: {drop: [n]}", "project: {add: {psi: bar * 14.5}}"],
    "sensor": ["enrich", "enrich: [partition, offset]"],
}


def branches(rng, kind, operators, sink):
    """Up to three more sinks: of the input, or of the topic that the solution itself writes."""
    text = ""
    for number in range(rng.choice([0, 0, 1, 2, 3])):
        steps = rng.sample(OPERATORS[kind], rng.randint(0, 2))
        if any(step.startswith("dedup") for step in steps) and kind != "telemetry":
            steps = []
        # Of what was written only the fields that came in are known.
        reads_output = sink == "log" and not any(step.startswith("project") for step in operators) and rng.random() < 0.5
        if reads_output:
            steps = [step for step in steps if not step.startswith(("enrich", "dedup"))]
        serve = rng.choice([f"{{duckdb: {{table: t{number}}}}}", f"{{log: {{topic: b{number}}}}}", f"{{files: {{directory: f{number}}}}}"])
        text += (f"  b{number}:\n" + ("    from: {name}-out\n" if reads_output else "") +
                 f"    process: [{', '.join(steps)}]\n    serve: {serve}\n")
    return "branches:\n" + text if text else ""


def solution(rng, name):
    kind = rng.choice(["telemetry", "telemetry", "pumps", "sensor"])
    operators = rng.sample(OPERATORS[kind], rng.randint(0, min(5, len(OPERATORS[kind]))))
    sinks = ["duckdb", "log", "files", "{duckdb: {nested: columns}}"] + ["{duckdb: {key: [eventId]}}"] * (kind == "telemetry")
    faults = {fault: rng.choice(["0", "0.02"]) for fault in ("malformed", "late", "out_of_order")}
    if kind == "telemetry":
        event = "telemetry"
        simulate = (f"{{malformed: {faults['malformed']}, late: {faults['late']}, out_of_order: {faults['out_of_order']}, "
                    f"duplicate_every: {rng.choice(['20', 'never'])}, devices: {rng.choice([3, 1000])}}}")
    elif kind == "sensor":
        event, simulate = "sensor", f"{{malformed: {faults['malformed']}}}"
    else:
        event = PUMPS
        # Without a key copies lie in different partitions, which dedup refuses before a rekey.
        dedup = next((i for i, step in enumerate(operators) if step.startswith("dedup")), None)
        keyless = dedup is None or "rekey: pump" in operators[:dedup]
        key = rng.choice(["'${device}'", "none"] if keyless else ["'${device}'"])
        simulate = (f"{{profile: template, devices: 50, device_id_format: pump-%d, duplicate_every: 20, key: {key}, "
                    f"template: '{PUMP}'}}")
    sink = rng.choice(sinks)
    more = branches(rng, kind, operators, sink).replace("{name}", name)
    return (f"name: {name}\nevent: {event}\nsimulate: {simulate}\ningest: {{log: {{partitions: {rng.choice([1, 3, 4])}}}}}\n"
            f"process: [{', '.join(operators)}]\nserve: {sink}\n{more}"
            f"pipeline: {{tasks: {rng.choice([1, 2, 3])}, epoch: {{max_events: {rng.choice([200, 3000, 100000])}}}}}\n"
            f"log: {{durability: {rng.choice(['sync', 'none', 'interval'])}}}\n")


def call(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=200)
    return done.returncode, done.stdout


def try_one(place, program, rng, name):
    """What went wrong with one solution; empty: nothing."""
    file = place.write(name + ".yaml", solution(rng, name))
    base = [program, "--data-dir", os.path.join(place.path, "data")]
    command = [*base, "run", file, "--count", str(EVENTS), "--rate", "max", "--format", "json"]
    for _ in range(rng.randint(0, 2)):
        process = place.start(command)
        time.sleep(rng.uniform(0.05, 1.0))
        process.kill()
        process.communicate()
        status, said = call([*base, "verify", name, "--format", "json"])
        if '{"verdict"' not in said:
            if "no run of" in said:
                continue  # killed before there was one
            return f"verify after a kill: exit status {status}\n{said[-3000:]}"
        for verdict in verdicts_of(said):
            if any(verdict[what] for what in COUNTED):
                return f"verify after a kill: {json.dumps(verdict)[:3000]}"
    status, said = call(command)
    if status != 0 or not all(verdict["verdict"] == "PASS" for verdict in verdicts_of(said)):
        return f"exit status {status}\n{said[-3000:]}"
    call([*base, "clean", name, "--yes"])
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--seed-of-commit", action="store_true")
    parser.add_argument("--solutions", type=int, default=1 << 30)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    seed = int(os.environ.get("TIDEMILL_SEED", options.seed)) if options.seed_of_commit else options.seed
    print(f"seed {seed}", flush=True)
    begun, tried, failed = time.monotonic(), 0, 0
    while tried < options.solutions and time.monotonic() - begun < options.seconds:
        name = f"t{tried}"
        place = Place("tidemill-solutions-")
        try:
            wrong = try_one(place, os.path.abspath(options.program), random.Random(f"{seed}/{tried}"), name)
            if wrong:
                failed += 1
                with open(os.path.join(place.path, name + ".yaml")) as file:
                    print(f"solution {tried} of seed {seed}:\n{file.read()}\n{wrong}\n", flush=True)
        finally:
            place.close()
        tried += 1
    print(f"{tried} solutions, {failed} failed")
    return 1 if failed or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
