#!/usr/bin/env python3
"""Kills pipelines that write Delta tables, and has delta-rs read what they stored.

  delta.py --program TIDEMILL --seconds N [--seed N] [--azure]

First one run is killed (SIGKILL) at every named commit step that it passes, and what is small in its tables is merged, down
to one file of a partition. Then two runs, each a process with an input of its own, write to one more table at once, and are
killed at random instants for --seconds. At last `tidemill verify` accounts for each event of the first table by its fields;
delta-rs (tools/fetch-deltalake), which shares nothing with the program, counts rows, ids and dead letters of both, and rows
at versions that have passed. --seed replays the instants.

--azure: the tables are in Azure storage, on an Azurite of the test's own (tools/azurite). The two runs reach it through a
proxy, which cuts their connections, loses answers of requests that were carried out, and refuses some as busy; the server
is stopped and started again in between.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(ROOT / "build" / "deps" / "python-delta"))
from azurite import CONTAINER, Proxy, Server  # noqa: E402
from program import Place, verdict_of, wait_for  # noqa: E402

try:
    from deltalake import DeltaTable, QueryBuilder
except ImportError:
    DeltaTable = None

SKIPPED = 77
STEPS = ("run.manifest.written", "epoch.ended", "changelog.frame.written", "changelog.frame.durable", "delta.files.written",
         "delta.files.durable", "delta.commit.written", "delta.committed", "delta.checkpoint.written", "epoch.committed",
         "snapshot.written", "snapshot.durable", "snapshot.truncated", "delta.merge.written")
AZURE_STEPS = tuple("delta.file.uploaded" if step == "delta.commit.written" else step for step in STEPS)
REPEATED = ("epoch", "changelog", "delta")  # not always at the first time
RATE = 1000

SOLUTION = """
name: {name}
event: telemetry
simulate: {{rate: {rate}, instances: 2, duplicate_every: 50, malformed: 0.01}}
ingest: {{log: {{topic: kills-in, partitions: 4}}}}
process:
  - enrich: [enqueuedAt, processedAt, partition, offset]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve:
  delta: {{table: {table}, checkpoint_interval: 4, {serve}}}
dead_letters: {{name: {name}-letters}}
pipeline: {{tasks: 2, snapshot_min: 64KiB, epoch.interval: 100ms}}
"""
SERVE = ("partition_by: [type]", "nested: columns, compression: zstd", "partition_by: [type, partition]")


class Folders:
    """Tables in folders of this machine. A table is known by its name."""
    steps, azure, environment = STEPS, "", {}

    def __init__(self, place):
        self.place = place

    def url(self, name):
        return os.path.join(self.place.path, name)

    def table(self, name, version=None):
        return DeltaTable(self.url(name), version=version)

    def commits(self, name):
        return [one.read_text() for one in sorted(pathlib.Path(self.url(name), "_delta_log").glob("[0-9]*.json"))]

    def disturb(self, chance):
        """What may happen to a store, beside the death of who writes to it."""
        return False

    def crash(self, writers):
        """Of the store itself, if it can."""

    def quiet(self):
        return ""


class Azure:
    steps, azure = AZURE_STEPS, "azure.create: on, azure.timeout: 3s, "

    def __init__(self, place, seed):
        self.server = Server(place)
        if self.server.missing:
            return
        self.proxy, self.restarts = Proxy(self.server.port, seed), 0
        self.environment = {"AZURE_STORAGE_CONNECTION_STRING": self.server.connection(self.proxy.port)}
        self.seen = {}

    def url(self, name):
        return f"abfss://{CONTAINER}@{self.server.account}.dfs.core.windows.net/tables/{name}"

    def table(self, name, version=None):
        return DeltaTable(f"az://{CONTAINER}/tables/{name}", version=version, storage_options=self.server.storage_options())

    def commits(self, name):
        names = [one for one in self.server.names(f"tables/{name}/_delta_log/0") if one.endswith(".json")]
        for one in names:
            if one not in self.seen:
                self.seen[one] = self.server.get(one)
        return [self.seen[one] for one in sorted(names)]

    def disturb(self, chance):
        what = chance.random()
        self.proxy.lose, self.proxy.busy = (0.1, 0.0) if what < 0.3 else (0.0, 0.2) if what < 0.5 else (0.0, 0.0)
        if what < 0.25 or what > 0.85:
            self.proxy.cut()
        if 0.5 < what < 0.55:
            self.restarts += 1
            self.server.restart()
        return 0.5 < what < 0.7 or what > 0.85

    def crash(self, writers):
        self.server.crash(writers)

    def quiet(self):
        self.proxy.lose = self.proxy.busy = 0.0
        return (f"; {self.proxy.lost} answers lost, {self.proxy.refused} requests refused, connections cut {self.proxy.cuts} times, "
                f"{self.restarts} restarts of the server, and one crash")


class Run:
    def __init__(self, options, place, store, name, table, serve):
        self.base = [options.program, "--data-dir", os.path.join(place.path, "data")]
        self.name, self.place, self.store, self.table = name, place, store, table
        self.environment = {**os.environ, **store.environment}
        self.environment.pop("TIDEMILL_KILL_AT", None)
        self.solution = place.write(name + ".yaml", SOLUTION.format(name=name, rate=RATE, table=store.url(table), serve=store.azure + serve))

    def start(self, kill_at=None, arguments=("--steps", "CIDPT", "--duration", "forever")):
        environment = {**self.environment, **({"TIDEMILL_KILL_AT": kill_at} if kill_at else {})}
        with open(os.path.join(self.place.path, self.name + ".log"), "a") as log:
            process = subprocess.Popen([*self.base, "run", self.solution, *arguments], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, env=environment)
        self.place.started.append(process)
        return process

    def end(self, process, expected):
        status = process.wait(timeout=120)
        if status != expected:
            raise AssertionError(f"{self.name}: the last run ended with status {status}\n{self.log()}")

    def finish(self, process):
        """Stops it, and processes what is left of its input."""
        process.terminate()
        self.end(process, 130)
        self.end(self.start(arguments=("--steps", "P", "--until-end")), 0)

    def merge(self, faults):
        """All that is small; delta-rs then finds one file in each partition. Returns how many."""
        done = subprocess.run([*self.base, "vacuum", self.name, "--merge"], capture_output=True, text=True, env=self.environment)
        if done.returncode != 0 or "merged " not in done.stdout:
            faults.append(f"vacuum --merge: status {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
        files = []
        for table in (self.table, self.name + "-letters"):
            files += collections.Counter(uri.rpartition("/")[0] for uri in self.store.table(table).file_uris()).values()
        if not files or max(files) > 1:
            faults.append(f"{self.name}: after a merge of all partitions have {files} files")
        return len(files)

    def verdict(self):
        done = subprocess.run([*self.base, "verify", self.name, "--format", "json"], capture_output=True, text=True, env=self.environment)
        return verdict_of(done.stdout), done.stdout[-2000:] + done.stderr[-500:]

    def sent(self):
        """Distinct events, and records that are not JSON."""
        manifests = list(pathlib.Path(self.place.path, "data").glob(f"{self.name}/*/simulate/manifest-*.json"))
        return sum(json.loads(one.read_text())["records_sent"] for one in manifests)

    def log(self):
        with open(os.path.join(self.place.path, self.name + ".log")) as log:
            return log.read()[-3000:]


def ask(table, sql):
    """The one row of a query of the table `t` by delta-rs."""
    rows = QueryBuilder().register("t", table).execute(sql).read_all()
    return [rows[column][0].as_py() for column in range(rows.num_columns)]


def txns(store, name):
    """The numbers of each partition: by pipeline and name, their sum."""
    held = {}
    for commit in store.commits(name):
        for line in commit.splitlines():
            txn = json.loads(line).get("txn")
            if txn and "#source=" not in txn["appId"]:
                held[txn["appId"]] = txn["version"]
    sums = {}
    for app, number in held.items():
        pipeline, name = app.split("/")[1], app.partition("#")[2] or "epoch"
        sums[pipeline, name] = sums.get((pipeline, name), 0) + number
    return sums


def at_steps(run, chance):
    for step in run.store.steps:
        often = step.startswith(REPEATED) and step != "delta.merge.written"
        kill_at = f"{step}:{chance.randint(1, 4)}" if often else step
        process = run.start(kill_at)
        try:
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{kill_at} was not reached\n{run.log()}") from None
        if status != -signal.SIGKILL:
            raise AssertionError(f"{kill_at}: it ended with status {status}\n{run.log()}")
    process = run.start()
    moved(run)
    run.finish(process)
    return len(run.store.steps)


def at_random(runs, chance, seconds):
    """Of several runs that write one table; each is killed once at least."""
    live = [run.start() for run in runs]
    kills, each, end = 0, list(range(len(runs))), time.monotonic() + seconds
    while each or time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 1.2))
        if runs[0].store.disturb(chance):
            continue
        n = each.pop() if each else chance.randrange(len(runs))
        if live[n].poll() is not None:
            raise AssertionError(f"{runs[n].name} ended by itself\n{runs[n].log()}")
        live[n].kill()
        live[n].wait()
        kills += 1
        live[n] = runs[n].start()
    runs[0].store.crash(live)
    quiet = runs[0].store.quiet()
    for run, process in zip(runs, live):
        moved(run)
        run.finish(process)
    return kills, quiet


def moved(run):
    stored = lambda: txns(run.store, run.table).get((run.name, "stored"), 0)  # noqa: E731
    before = stored()
    wait_for(f"a commit of {run.name}", lambda: stored() > before, 60)


def account(first, runs, letters, faults):
    """Rows of the table of `runs`, and dead letters in `letters`, against what the table's own numbers say."""
    store = first.store
    rows, ids, places = ask(store.table(first.table), 'SELECT count(*), count(DISTINCT "eventId"), count(DISTINCT "enqueuedAt") FROM t')
    if rows != ids or rows == 0 or places == 0:
        faults.append(f"{first.name}: delta-rs counts {rows} rows of {ids} ids")
    held = txns(store, first.table)
    stored = sum(held[run.name, "stored"] for run in runs)
    if stored != rows:
        faults.append(f"{first.name}: the table says that {stored} rows are stored, and has {rows}")
    for run, name in zip(runs, letters):
        dead, ones = ask(store.table(name), 'SELECT count(*), count(DISTINCT concat("partition", \'/\', "offset")) FROM t')
        numbers = {name: held[run.name, name] for name in ("read", "stored", "dead", "dropped")}
        if dead != ones or dead != numbers["dead"]:
            faults.append(f"{run.name}: {dead} dead letters of {ones} places, where {numbers['dead']} are said to be")
        if numbers["read"] != run.sent() or numbers["read"] != numbers["stored"] + numbers["dead"] + numbers["dropped"]:
            faults.append(f"{run.name}: {numbers}, and {run.sent()} were sent")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--azure", action="store_true", help="in Azure storage, on Azurite")
    options = parser.parse_args()
    if DeltaTable is None:
        print("skipped: needs delta-rs (tools/fetch-deltalake)")
        return SKIPPED
    seed = options.seed if options.seed is not None else int(os.environ.get("TIDEMILL_SEED", "1"))
    print(f"seed {seed}; to replay: {sys.argv[0]} --program {options.program} --seconds {options.seconds:g} --seed {seed}"
          + (" --azure" if options.azure else ""))
    chance = random.Random(seed)
    place = Place("tidemill-delta-")
    store = None
    try:
        store = Azure(place, seed) if options.azure else Folders(place)
        if options.azure and store.server.missing:
            print("skipped: needs Azurite (tools/fetch-azurite)")
            return SKIPPED
        faults = []
        alone = Run(options, place, store, "alone", "own", chance.choice(SERVE))
        steps = at_steps(alone, chance)
        files = alone.merge(faults)
        verdict, text = alone.verdict()
        if verdict["verdict"] != "PASS":
            faults.append("the verdict: " + text)
        rows = account(alone, [alone], ["alone-letters"], faults)
        if rows != verdict["expected"]:
            faults.append(f"delta-rs counts {rows} rows, expected were {verdict['expected']}")
        last = store.table("own").version()
        counts = [ask(store.table("own", version), "SELECT count(*) FROM t")[0] for version in (0, last // 2, last)]
        if counts != sorted(counts) or counts[0] != 0 or counts[-1] != rows:
            faults.append(f"rows at versions 0, {last // 2} and {last}: {counts}")

        serve = chance.choice(SERVE)
        runs = [Run(options, place, store, name, "shared", serve) for name in ("left", "right")]
        kills, quiet = at_random(runs, chance, options.seconds)
        both = account(runs[0], runs, [run.name + "-letters" for run in runs], faults)
        print(f"{steps} kills at named steps, {rows} rows in {last + 1} versions and {files} files; {kills} at random instants of two writers of one "
              f"table, {both} rows in {store.table('shared').version() + 1} versions{quiet}; {len(faults)} faults")
        for fault in faults:
            print("  " + fault)
        return 1 if faults else 0
    finally:
        for process in place.started:
            process.kill()
        if options.azure and store:
            store.server.tool("down")
        place.close()


if __name__ == "__main__":
    sys.exit(main())
