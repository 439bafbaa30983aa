#!/usr/bin/env python3
"""The program on a real PostgreSQL.

  postgres.py contracts --contracts BINARY    the contract of the sink
  postgres.py kills --program TIDEMILL        kills pipeline, server and connections, and accounts for every event

Each starts a server of its own (tools/postgres) and stops it. kills: SIGKILL of the program at every named commit step
that it passes, then for --seconds at random instants of the program, of the server (a crash, or a fast shutdown) or of
its connections (pg_terminate_backend), each followed by a start of what was ended. At last `tidemill verify` accounts
for each event by its fields, and psql counts the rows from outside. --mode append|upsert|insert-new; by default the
seed says which. --seed replays the instants.
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

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from program import Place, verdict_of, wait_for  # noqa: E402

SKIPPED = 77
STEPS = ("run.manifest.written", "epoch.ended", "changelog.frame.written", "changelog.frame.durable", "postgres.begin",
         "postgres.rows.copied", "postgres.positions.updated", "postgres.committed", "epoch.committed", "snapshot.written",
         "snapshot.durable", "snapshot.truncated")
REPEATED = ("epoch", "changelog", "postgres")  # not always at the first time
RATE = 1000

SOLUTION = """
name: kills
event: telemetry
simulate: {{rate: {rate}, instances: 2, duplicate_every: 50, malformed: 0.01}}
ingest: {{log: {{topic: kills-in, partitions: 4}}}}
process:
  - enrich: [enqueuedAt, processedAt, partition, offset]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve:
  postgres: {{connection: "{url}", table: stored, {serve}}}
pipeline: {{tasks: 2, snapshot_min: 64KiB}}
"""
SERVE = {"append": "types: {eventId: uuid, value: real, deviceSequenceNumber: numeric}, indexes: ['deviceId, deviceSequenceNumber desc']",
         "upsert": "mode: upsert, key: [eventId, deviceId], partitions: 4, nested: text, types: {value: numeric}",
         "insert-new": "mode: insert-new, key: eventId, nested: columns, types: {value: 'numeric(12,3)', complexData.moreData0: real}"}


class Server:
    """A server in the place, its user's password in the environment of whoever asks for it."""

    def __init__(self, place, *settings):
        self.directory = os.path.join(place.path, "postgres")
        os.chmod(place.path, 0o711)  # the server's user must come through
        up = self.tool("up", *settings)
        self.missing = up.returncode == SKIPPED
        if self.missing:
            return
        if up.returncode != 0:
            raise AssertionError("tools/postgres up: " + up.stderr)
        self.url = up.stdout.split()[-1]
        self.environment = {**os.environ, "PGPASSFILE": os.path.join(self.directory, "pgpass"), "TIDEMILL_POSTGRES": self.url}
        self.environment.pop("TIDEMILL_KILL_AT", None)

    def tool(self, *arguments):
        return subprocess.run([ROOT / "tools" / "postgres", *arguments, "--dir", self.directory], capture_output=True, text=True)

    def psql(self, sql):
        """Its rows, columns divided by '|'."""
        done = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url], env=self.environment,
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"psql: {sql}: {done.stderr}")
        return done.stdout.splitlines()


def contracts(options, place, server):
    return subprocess.run([options.contracts], env=server.environment).returncode


class Run:
    def __init__(self, options, place, server, mode):
        text = SOLUTION.format(rate=RATE, url=server.url, serve=SERVE[mode])
        self.base = [options.program, "--data-dir", os.path.join(place.path, "data")]
        self.solution = place.write("kills.yaml", text)
        self.place, self.server = place, server

    def start(self, kill_at=None, arguments=("--steps", "CIDPT", "--duration", "forever")):
        environment = {**self.server.environment, **({"TIDEMILL_KILL_AT": kill_at} if kill_at else {})}
        with open(os.path.join(self.place.path, "run.log"), "a") as log:
            return subprocess.Popen([*self.base, "run", self.solution, *arguments], stdin=subprocess.DEVNULL, stdout=log,
                                    stderr=log, env=environment)

    def call(self, *arguments):
        return subprocess.run([*self.base, *arguments], capture_output=True, text=True, env=self.server.environment)

    def log(self):
        with open(os.path.join(self.place.path, "run.log")) as log:
            return log.read()[-3000:]


def end_something(what, chance, server, process):
    """Ends one of the three; the program, if it was, is to be started again."""
    if what == "program":
        process.kill()
        process.wait()
    elif what == "server":
        server.tool("stop", *chance.choice([["--kill"], []]))
        time.sleep(chance.uniform(0, 0.5))
        if server.tool("start").returncode != 0:
            raise AssertionError("the server did not start again")
    else:
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidemill'")


def kills(options, place, server):
    seed = options.seed if options.seed is not None else int(os.environ.get("TIDEMILL_SEED", "1"))
    print(f"seed {seed}; to replay: {sys.argv[0]} kills --program {options.program} --seconds {options.seconds} --seed {seed}")
    chance = random.Random(seed)
    mode = options.mode or chance.choice(list(SERVE))
    print(f"mode {mode}")
    run = Run(options, place, server, mode)
    done = {"steps": 0, "program": 0, "server": 0, "connections": 0}
    for step in STEPS:
        kill_at = f"{step}:{chance.randint(1, 4)}" if step.startswith(REPEATED) else step
        process = run.start(kill_at)
        try:
            status = process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{kill_at} was not reached\n{run.log()}") from None
        if status != -signal.SIGKILL:
            raise AssertionError(f"{kill_at}: it ended with status {status}\n{run.log()}")
        done["steps"] += 1
    end = time.monotonic() + options.seconds
    process = run.start()
    each = chance.sample(["program", "server", "connections"], 3)  # each once at least
    while each or time.monotonic() < end:
        try:
            status = process.wait(timeout=chance.uniform(0.2, 2.5))
            raise AssertionError(f"it ended by itself with status {status}\n{run.log()}")
        except subprocess.TimeoutExpired:
            pass
        what = each.pop() if each else chance.choice(["program", "program", "server", "connections"])
        end_something(what, chance, server, process)
        done[what] += 1
        if what == "program":
            process = run.start()
    before = int(server.psql("SELECT count(*) FROM stored")[0])
    wait_for("rows after the last disturbance", lambda: int(server.psql("SELECT count(*) FROM stored")[0]) > before + RATE)
    process.terminate()
    for one, expected in ((process, 130), (run.start(arguments=("--steps", "P", "--until-end")), 0)):
        status = one.wait(timeout=120)
        if status != expected:
            raise AssertionError(f"the last run ended with status {status}\n{run.log()}")
    return account(place, server, run, done)


def account(place, server, run, done):
    verified = run.call("verify", "kills", "--format", "json")
    verdict = verdict_of(verified.stdout)
    rows, ids = (int(one) for one in server.psql('SELECT count(*), count(DISTINCT "eventId") FROM stored')[0].split("|"))
    dead, places = (int(one) for one in
                    server.psql('SELECT count(*), count(DISTINCT ("partition", "offset")) FROM dead_letters')[0].split("|"))
    counted = [int(one) for one in server.psql('SELECT sum("read"), sum(stored), sum(dead), sum(dropped), count(*) FROM '
                                               "tidemill_positions WHERE pipeline = 'kills'")[0].split("|")]
    manifests = [json.loads(one.read_text()) for one in pathlib.Path(place.path, "data").glob("kills/*/simulate/manifest-*.json")]
    sent = sum(one["records_sent"] for one in manifests)
    faults = []
    if verified.returncode != 0 or verdict["verdict"] != "PASS":
        faults.append(f"the verdict: {verified.stdout[-2000:]}{verified.stderr[-500:]}")
    if rows != ids or rows != verdict["expected"]:
        faults.append(f"psql counts {rows} rows of {ids} ids, expected were {verdict['expected']}")
    if dead != places or dead != verdict["dead_letters_expected"]:
        faults.append(f"psql counts {dead} dead letters of {places} places, expected were {verdict['dead_letters_expected']}")
    if counted[:4] != [sent, rows, dead, sent - rows - dead] or counted[4] != 4:
        faults.append(f"tidemill_positions counts {counted}, and {sent} were sent")
    print(f"{done['steps']} kills at named steps; at random instants {done['program']} of the program, {done['server']} of the "
          f"server, {done['connections']} of its connections; {sent} records sent, {rows} rows, {dead} dead letters; "
          f"{len(faults)} faults")
    for fault in faults:
        print("  " + fault)
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["contracts", "kills"])
    parser.add_argument("--contracts", help="the test program postgres_contracts_test")
    parser.add_argument("--program")
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mode", choices=list(SERVE))
    options = parser.parse_args()
    place = Place("tidemill-postgres-")
    server = None
    try:
        server = Server(place)
        if server.missing:
            print("no PostgreSQL server on this machine; install Debian's package postgresql")
            return SKIPPED
        return (contracts if options.what == "contracts" else kills)(options, place, server)
    finally:
        if server:
            server.tool("down")
        place.close()


if __name__ == "__main__":
    sys.exit(main())
