#!/usr/bin/env python3
"""Kills a pipeline that writes Parquet files, and has delta-rs read what it stored.

  parquet.py --program TIDEMILL --seconds N [--seed N]

First a run is killed (SIGKILL) at every named commit step that it passes, then another one at random instants for
--seconds. Of each `tidemill verify` accounts for each event by its fields; delta-rs (tools/fetch-deltalake), which
shares nothing with the program, takes the files in their folders for a table and counts rows and ids. Between two
lives every file that readers see must be whole. --seed replays the instants.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

os.environ.setdefault("RUST_LOG", "error")
import delta  # noqa: E402
from delta import SKIPPED, Run, ask  # noqa: E402
from program import Place, wait_for  # noqa: E402

STEPS = ("run.manifest.written", "epoch.ended", "changelog.frame.written", "changelog.frame.durable", "parquet.files.written",
         "parquet.files.durable", "files.rows.written", "files.record.written", "files.record.durable", "parquet.file.linked",
         "parquet.published", "files.roll.synced", "files.roll.renamed", "epoch.committed", "snapshot.written", "snapshot.durable",
         "snapshot.truncated")
SOLUTION = """
name: {name}
event: telemetry
simulate: {{rate: {rate}, instances: 2, duplicate_every: 50, malformed: 0.01}}
ingest: {{log: {{topic: kills-in, partitions: 4}}}}
process:
  - enrich: [enqueuedAt, processedAt, partition, offset]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve:
  parquet: {{directory: {table}, roll_interval: 200ms, {serve}}}
dead_letters: {{name: {name}-letters}}
pipeline: {{tasks: 2, snapshot_min: 64KiB}}
"""
# With the types of the folders' columns, for delta-rs.
SERVE = (("partition_by: [type]", {"type": "string"}), ("nested: columns, compression: snappy", {}),
         ('partition_by: ["day(createdAt)", type, partition]', {"day": "date", "type": "string", "partition": "integer"}))


def visible(table):
    # os.walk passes over a folder that goes away meanwhile.
    return [pathlib.Path(folder, name) for folder, _, names in os.walk(table) for name in names if name.endswith(".parquet")]


def whole(table, faults):
    for path in visible(table):
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 4))
            if file.read() != b"PAR1":
                faults.append(f"{path} is visible and not whole")


def moved(run):
    before = len(visible(run.table))
    wait_for(f"files of {run.name}", lambda: len(visible(run.table)) > before, 60)


def at_steps(run, chance, faults):
    for step in STEPS:
        often = step.startswith(("epoch", "changelog", "parquet", "files.record"))
        kill_at = f"{step}:{chance.randint(1, 6)}" if often else step
        process = run.start(kill_at)
        try:
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{kill_at} was not reached\n{run.log()}") from None
        if status != -signal.SIGKILL:
            raise AssertionError(f"{kill_at}: it ended with status {status}\n{run.log()}")
        whole(run.table, faults)
    process = run.start()
    moved(run)
    run.finish(process)
    return len(STEPS)


def at_random(run, chance, seconds, faults):
    kills, end = 0, time.monotonic() + seconds
    while kills == 0 or time.monotonic() < end:
        process = run.start()
        time.sleep(chance.uniform(0.2, 1.2))
        if process.poll() is not None:
            raise AssertionError(f"{run.name} ended by itself\n{run.log()}")
        process.kill()
        process.wait()
        kills += 1
        whole(run.table, faults)
    process = run.start()
    moved(run)
    run.finish(process)
    return kills


def as_delta(run, place):
    """The files as they lie in their folders, taken for a Delta table elsewhere."""
    from deltalake import Field, Schema, convert_to_deltalake
    from deltalake.schema import PrimitiveType
    copy = os.path.join(place.path, run.name + "-copy")
    for path in visible(run.table):
        to = pathlib.Path(copy, path.relative_to(run.table))
        to.parent.mkdir(parents=True, exist_ok=True)
        os.link(path, to)
    by = Schema([Field(name, PrimitiveType(of), nullable=True) for name, of in run.folders.items()])
    convert_to_deltalake(copy, **({"partition_by": by, "partition_strategy": "hive"} if run.folders else {}))
    return copy


def account(run, place, faults):
    verdict, text = run.verdict()
    if verdict["verdict"] != "PASS":
        faults.append("the verdict: " + text)
    rows, ids = ask(delta.DeltaTable(as_delta(run, place)), 'SELECT count(*), count(DISTINCT "eventId") FROM t')
    if rows != ids or rows != verdict["expected"] or rows == 0:
        faults.append(f"{run.name}: delta-rs counts {rows} rows of {ids} ids, expected were {verdict['expected']}")
    letters = [json.loads(line) for path in pathlib.Path(place.path, "data", run.name).glob(f"*/{run.name}-letters/*/*.jsonl")
               for line in path.read_text().splitlines()]
    letters += [json.loads(line) for path in pathlib.Path(place.path, f"{run.name}-letters").glob("*/*.jsonl")
                for line in path.read_text().splitlines()]
    places = {(one["partition"], one["offset"]) for one in letters}
    if len(letters) != len(places) or len(letters) != verdict["dead_letters_expected"]:
        faults.append(f"{run.name}: {len(letters)} dead letters of {len(places)} places, expected were "
                      f"{verdict['dead_letters_expected']}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int)
    options = parser.parse_args()
    if delta.DeltaTable is None:
        print("skipped: needs delta-rs (tools/fetch-deltalake)")
        return SKIPPED
    seed = options.seed if options.seed is not None else int(os.environ.get("TIDEMILL_SEED", "1"))
    print(f"seed {seed}; to replay: {sys.argv[0]} --program {options.program} --seconds {options.seconds:g} --seed {seed}")
    chance = random.Random(seed)
    place = Place("tidemill-parquet-")
    delta.SOLUTION = SOLUTION
    try:
        faults, runs = [], []
        for name in ("steps", "instants"):
            serve, folders = chance.choice(SERVE)
            run = Run(options, place, delta.Folders(place), name, name + "-table", serve)
            run.table, run.folders = os.path.join(place.path, name + "-table"), folders
            runs.append(run)
        steps = at_steps(runs[0], chance, faults)
        kills = at_random(runs[1], chance, options.seconds, faults)
        rows = [account(run, place, faults) for run in runs]
        print(f"{steps} kills at named steps, {rows[0]} rows in {len(visible(runs[0].table))} files; {kills} at random instants, "
              f"{rows[1]} rows in {len(visible(runs[1].table))} files; {len(faults)} faults")
        for fault in faults:
            print("  " + fault)
        return 1 if faults else 0
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
