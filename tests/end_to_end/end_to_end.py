#!/usr/bin/env python3
"""Whole runs of the real program: what a solution file promises holds, counted from outside.

usage: end_to_end.py --program PATH [CASE...]      all cases, or those named
"""
import argparse
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from program import Place, verdict_of, wait_for  # noqa: E402

FAULTS = {"simulate.malformed": 0.02, "simulate.late": 0.05, "simulate.late_by": "200ms", "simulate.out_of_order": 0.05,
          "simulate.duplicate_every": 20}


def require(condition, what):
    if not condition:
        raise AssertionError(what)


class Bench:
    """A data directory of its own, and the program."""

    def __init__(self, program):
        self.program = program
        self.place = Place("tidemill-e2e-")
        self.root, self.file, self.close = self.place.path, self.place.write, self.place.close

    def command(self, *arguments):
        return [self.program, "--data-dir", os.path.join(self.root, "data"), *map(str, arguments)]

    def call(self, *arguments, status=0):
        done = subprocess.run(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                              timeout=200)
        require(status is None or done.returncode == status,
                f"{' '.join(map(str, arguments))}: exit status {done.returncode}\n{done.stdout[-3000:]}")
        return done.stdout

    def start(self, *arguments):
        return self.place.start(self.command(*arguments))

    def verdict(self, output):
        return verdict_of(output)

    def run(self, solution, count, settings=None, status=0, steps=None):
        """The verdict of a run of `count` events."""
        extra = [word for path, value in (settings or {}).items() for word in ("--set", f"{path}={value}")]
        extra += ["--steps", steps] if steps else []
        return self.verdict(self.call("run", solution, "--count", count, "--rate", "max", "--format", "json", *extra,
                                      status=status))

    def rows(self, run, sql):
        return [json.loads(line) for line in self.call("query", run, sql, "--format", "json").splitlines()]

    def value(self, run, sql):
        return list(self.rows(run, sql)[0].values())[0]

    def directory(self, run):
        return os.path.join(self.root, "data", run, "1")


def require_pass(verdict, **wanted):
    require(verdict["verdict"] == "PASS", json.dumps(verdict, indent=1))
    for name, value in wanted.items():
        require(verdict[name] == value, f"{name} is {verdict[name]}, not {value}: {json.dumps(verdict)}")


def require_faults(verdict, count):
    """Malformed events are dead letters, all of them expected; the others are stored once; copies are dropped."""
    require_pass(verdict)
    require(verdict["dead_letters"] > count * 0.01, json.dumps(verdict))
    require(verdict["dead_letters"] == verdict["dead_letters_expected"], json.dumps(verdict))
    require(verdict["copies_sent"] > count * 0.02 and verdict["dropped"] > count * 0.02, json.dumps(verdict))
    require(verdict["stored"] == verdict["expected"] < count, json.dumps(verdict))


# ---- faults on purpose, into every sink

def duckdb_with_faults(bench):
    verdict = bench.run("telemetry", 6000, FAULTS)
    require_faults(verdict, 6000)
    require(bench.value("telemetry", "SELECT count(*) FROM rawdata") == verdict["stored"], "rows")
    require(bench.value("telemetry", "SELECT count(DISTINCT eventId) FROM rawdata") == verdict["stored"], "ids")
    require(bench.value("telemetry", "SELECT count(*) FROM dead_letters WHERE reason <> ''") == verdict["dead_letters"],
            "dead letters")


def topic_with_faults(bench):
    verdict = bench.run("relay", 6000, FAULTS)
    require_faults(verdict, 6000)
    out = bench.call("log", "read", "relay", "relay-out").splitlines()
    require(len({json.loads(line)["eventId"] for line in out}) == len(out) == verdict["stored"], "events")
    dead = bench.call("log", "read", "relay", "relay-dead-letters").splitlines()
    require(len(dead) >= verdict["dead_letters"], "dead letters")


def files_with_faults(bench):
    # Small epochs: whatever the speed, the first file is a whole one that others follow.
    verdict = bench.run("archive", 6000, {**FAULTS, "serve.files.roll_bytes": "1MiB", "pipeline.epoch.max_events": "300"})
    require_faults(verdict, 6000)
    folder = os.path.join(bench.directory("archive"), "files")
    lines = [line for path in glob.glob(f"{folder}/archive-*/*.jsonl") for line in open(path)]
    require(len({json.loads(line)["eventId"] for line in lines}) == len(lines) == verdict["stored"], "lines")
    dead = [line for path in glob.glob(f"{folder}/dead-letters/*/*.jsonl") for line in open(path)]
    require(len(dead) == verdict["dead_letters"], "dead letters")
    require(bench.value("archive", "SELECT count(DISTINCT eventId) FROM files") == verdict["stored"], "query")
    # A single changed digit is found, and a line that is gone.
    path = sorted(glob.glob(f"{folder}/archive-0/*.jsonl"))[0]
    text = open(path).read()
    at = text.index('"moreData17":') + len('"moreData17":') + 4
    open(path, "w").write(text[:at] + ("1" if text[at] != "1" else "2") + text[at + 1:])
    found = bench.verdict(bench.call("verify", "archive", "--format", "json", status=1))
    require(found["verdict"] == "FAIL" and found["altered"] == 1 and found["lost"] == 0, json.dumps(found))
    open(path, "w").write(text[text.index("\n") + 1:])
    found = bench.verdict(bench.call("verify", "archive", "--format", "json", status=1))
    require(found["verdict"] == "FAIL" and found["lost"] == 1, json.dumps(found))


# ---- topologies

def solution(name, *, event="telemetry", process, serve, simulate="{}", partitions=4):
    return f"""name: {name}
event: {event}
simulate: {simulate}
ingest: {{log: {{partitions: {partitions}}}}}
process: {process}
serve: {serve}
"""


def without_dedup(bench):
    for serve, rows in (("duckdb", True), ("log", False), ("files", False)):
        name = f"plain-{serve}"
        path = bench.file(f"{name}.yaml", solution(name, process="[enrich: [enqueuedAt, partition, offset]]", serve=serve))
        verdict = bench.run(path, 4000, {"simulate.duplicate_every": 10})
        require_pass(verdict, dropped=0)
        require(verdict["copies_sent"] > 200 and verdict["stored"] == 4000 + verdict["copies_sent"], json.dumps(verdict))
        if rows:
            require(bench.value(name, "SELECT count(*) FROM rawdata") == verdict["stored"], "rows")


def sensor(bench):
    require_pass(bench.run("sensor", 5000, {"simulate.malformed": 0.01, "simulate.duplicate_every": 50}))
    require(bench.value("sensor", "SELECT count(DISTINCT sensor) FROM sensor_data") == 3, "sensors")


PUMPS = """{fields: {id: text required, pump: text, n: bigint, bar: double, state: text, at: timestamp},
        id: id, key: pump, time: at}"""
TEMPLATE = """{profile: template, devices: 50, device_id_format: pump-%d, duplicate_every: 20, key: KEY,
           template: '{"id":"${guid}","pump":"${device}","n":${device_counter},"bar":${gaussian(4.2,0.3,2)},"state":"${choice(ok,ok,warning)}","at":"${time}"}'}"""


def template(bench):
    keyed = TEMPLATE.replace("KEY", "'${device}'")
    for serve in ("duckdb", "log", "files"):
        path = bench.file(f"pumps-{serve}.yaml", solution(f"pumps-{serve}", event=PUMPS, simulate=keyed, serve=serve,
                                                 process="[enrich: [partition, offset], dedup]"))
        verdict = bench.run(path, 4000)
        require_pass(verdict, stored=4000)
        require(verdict["dropped"] > 100, json.dumps(verdict))
    require(bench.value("pumps-duckdb", "SELECT count(DISTINCT id) FROM rawdata") == 4000, "ids")


def keyless_dedup_stops(bench):
    path = bench.file("pumps.yaml", solution("pumps", event=PUMPS, simulate=TEMPLATE.replace("KEY", "none"), serve="duckdb",
                                             process="[dedup]"))
    out = bench.call("run", path, "--count", 1000, "--rate", "max", status=None)
    require("rekey: pump" in out and "offset" in out and "Verdict" not in out, out[-2000:])
    require(bench.value("pumps", "SELECT count(*) FROM rawdata") == 0, "nothing may be stored")


def rekeyed(bench):
    for serve in ("duckdb", "files"):
        name = f"rekeyed-{serve}"
        path = bench.file(f"{name}.yaml", solution(name, event=PUMPS, simulate=TEMPLATE.replace("KEY", "none"), serve=serve,
                                                   process="[rekey: pump, dedup]"))
        verdict = bench.run(path, 5000)
        require_pass(verdict, stored=5000)
        require(verdict["dropped"] > 100, json.dumps(verdict))
        if serve == "duckdb":
            require(bench.value(name, "SELECT count(DISTINCT id) FROM rawdata") == 5000, "ids")
            require(bench.value(name, "SELECT count(*) FROM rawdata") == 5000, "rows")
    # Telemetry, which keeps its ids, takes the same way.
    path = bench.file("again.yaml", solution("again", serve="duckdb", process="[rekey: deviceId, dedup]"))
    require_pass(bench.run(path, 5000, {"simulate.duplicate_every": 20}), stored=5000)


def rekeyed_and_sifted(bench):
    """Both pipelines have dead letters and drop events; what one that was killed has yet to process is not lost."""
    telemetry = ("telemetry", "{malformed: 0.01, duplicate_every: 20}", "deviceId", "drop: [complexData]", "value > 50")
    pumps = (PUMPS, TEMPLATE.replace("KEY", "none"), "pump", "drop: [state]", "bar > 4.1")
    for event, simulate, key, less, kept in (telemetry, pumps):
        name = f"sifted-{key}"
        path = bench.file(f"{name}.yaml", solution(name, event=event, simulate=simulate, serve="duckdb",
                                                   process=f"[filter: {key} <> 'nobody', enrich: [partition], project: {{{less}}}, "
                                                           f"rekey: {key}, filter: partition >= 0, dedup, filter: {kept}]"))
        command = ("run", path, "--count", 60000, "--rate", "max", "--format", "json")
        process = bench.start(*command)
        wait_for("rows", lambda: bench.call("query", name, "SELECT 1 FROM rawdata LIMIT 1", "--format", "json", status=None).startswith("{"))
        process.kill()
        process.wait()
        verdict = bench.verdict(bench.call("verify", name, "--format", "json", status=1))
        require(verdict["verdict"] == "FAIL" and verdict["lost"] == verdict["unexpected"] == verdict["altered"] == 0, json.dumps(verdict))
        require(all("still to be processed" in why for why in verdict["why"]), json.dumps(verdict))
        verdict = bench.verdict(bench.call(*command))
        require_pass(verdict)
        require(0 < verdict["stored"] < 59000 and verdict["dropped"] > 1000, json.dumps(verdict))
        require(verdict["dead_letters"] > 300 or key == "pump", json.dumps(verdict))


def horizon(bench):
    path = bench.file("horizon.yaml", solution("horizon", serve="duckdb",
                                               process="[enrich: [partition, offset], dedup: {horizon: 10m}]"))
    verdict = bench.run(path, 5000, {"simulate.duplicate_every": 20})
    require_pass(verdict, stored=5000)
    require(verdict["dropped"] > 100, json.dumps(verdict))


def upsert(bench):
    path = bench.file("upsert.yaml", solution("upsert", serve="{duckdb: {key: [eventId]}}", process="[enrich: [enqueuedAt]]"))
    verdict = bench.run(path, 5000, {"simulate.duplicate_every": 20})
    require_pass(verdict, stored=5000)
    require(verdict["copies_sent"] > 100, json.dumps(verdict))
    require(bench.value("upsert", "SELECT count(*) FROM rawdata") == 5000, "rows")


def columns(bench):
    for nested, inside in (("columns", "complexData_moreData22"), ("struct", "complexData.moreData22")):
        path = bench.file(f"{nested}.yaml", solution(nested, serve=f"{{duckdb: {{nested: {nested}}}}}",
                                                     process="[enrich: [partition, offset], dedup]"))
        require_pass(bench.run(path, 3000), stored=3000)
        require(bench.value(nested, f"SELECT count(*) FROM rawdata WHERE {inside} BETWEEN 10 AND 100") == 3000, inside)


def filter_and_project(bench):
    process = """[filter: value > 55, project: {drop: [complexData], add: {fahrenheit: value * 1.8 + 32}},
        enrich: [enqueuedAt, partition, offset]]"""
    for serve in ("duckdb", "log"):
        name = f"filtered-{serve}"
        path = bench.file(f"{name}.yaml", solution(name, serve=serve, process=process))
        verdict = bench.run(path, 5000)
        require_pass(verdict)
        require(1000 < verdict["dropped"] < 4000, json.dumps(verdict))
    rows = bench.rows("filtered-duckdb", "SELECT min(value) > 55 AS over, max(abs(fahrenheit - value * 1.8 - 32)) < 1e-9 AS f, "
                                         "count(*) AS n FROM rawdata")[0]
    require(rows["over"] and rows["f"], json.dumps(rows))
    names = {row["column_name"] for row in bench.rows("filtered-duckdb", "DESCRIBE rawdata")}
    require("fahrenheit" in names and "complexData" not in names, str(names))


def projected_files(bench):
    path = bench.file("short.yaml", solution("short", serve="files", process="[enrich: [partition, offset], project: {keep: "
                                             "[eventId, deviceId, value, partition, offset]}]"))
    require_pass(bench.run(path, 3000))
    row = bench.rows("short", "FROM files LIMIT 1")[0]
    require(set(row) == {"eventId", "deviceId", "value", "partition", "offset"}, str(row))


# ---- verification, metrics, queries, report

def reference_rules(bench):
    """The original's rules: the best minute counts, so that a short run fails at the rate and at nothing else."""
    verdict = bench.verdict(bench.call("run", "telemetry", "--rate", 2000, "--duration", "2s", "--rules", "reference",
                                       "--format", "json", status=1))
    require(verdict["verdict"] == "FAIL" and len(verdict["why"]) == 1, json.dumps(verdict))
    require("1800" in verdict["why"][0], json.dumps(verdict))  # t x 900
    again = bench.verdict(bench.call("verify", "telemetry", "--rules", "reference", "--format", "json", status=1))
    require(again["why"] == verdict["why"], json.dumps(again))
    require_pass(bench.run("relay", 3000, {"verify.rules": "reference", "verify.min_rate": 10}))
    # Copies are kept: 0.0011 of them are allowed, and here are more.
    path = bench.file("plain.yaml", solution("plain", serve="duckdb", process="[enrich: [enqueuedAt]]"))
    verdict = bench.run(path, 3000, {"verify.rules": "reference", "verify.min_rate": 10, "simulate.duplicate_every": 20},
                        status=1)
    require(len(verdict["why"]) == 1 and "0.0011" in verdict["why"][0], json.dumps(verdict))


def scrape(url):
    text = urllib.request.urlopen(url, timeout=10).read().decode()
    return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line[:1] not in ("#", "")}


def metrics_url(process):
    for line in process.stdout:
        found = re.search(r"metrics at (http://\S+)", line)
        if found:
            return found.group(1)
    raise AssertionError("no metrics were announced")


def metrics(bench):
    run = bench.start("run", "relay", "--rate", 2000, "--duration", "60s", "--set", "observe.prometheus=0",
                      "--set", "simulate.duplicate_every=20")
    url = metrics_url(run)
    other = bench.start("run", "telemetry", "--rate", 500, "--duration", "60s", "--set", "observe.prometheus=0")
    require(metrics_url(other) != url, "two runs must not collide")

    def ready():
        got = scrape(url)
        return got if got["tidemill_pipeline_stored_records_total"] > 1000 else None
    got = wait_for("events", ready)
    appended, read = got["tidemill_log_appended_records_total"], got["tidemill_pipeline_read_records_total"]
    require(appended > 1.5 * read > 0, "input and output topic are in one log")
    for name in ("tidemill_log_appended_bytes_total", "tidemill_pipeline_read_bytes_total",
                 "tidemill_pipeline_stored_bytes_total", "tidemill_pipeline_dropped_records_total",
                 "tidemill_pipeline_commits_total", "tidemill_pipeline_epochs_total",
                 "tidemill_pipeline_commit_duration_seconds_count", "tidemill_pipeline_commit_duration_seconds_sum",
                 'tidemill_created_to_stored_seconds_bucket{le="+Inf"}', "tidemill_enqueued_to_stored_seconds_count",
                 'tidemill_pipeline_state_bytes{topic="relay-in",partition="0"}',
                 'tidemill_log_size_bytes{topic="relay-out",partition="1"}',
                 'tidemill_log_end_offset{topic="relay-in",partition="0"}',
                 'tidemill_simulator_sent_events_total{instance="0"}', "process_resident_memory_bytes",
                 "process_cpu_seconds_total", "process_open_fds"):
        require(got.get(name, 0) > 0, f"{name} is {got.get(name)}")
    for name in ("tidemill_pipeline_retries_total", "tidemill_pipeline_dead_letters_total"):
        require(got[name] == 0, name)
    require('tidemill_pipeline_lag_records{topic="relay-in",partition="1"}' in got, "lag")
    require(any(name.startswith('tidemill_run_info{run="relay/1"') for name in got), "run")
    require(got["tidemill_created_to_stored_seconds_count"] <= got["tidemill_pipeline_stored_records_total"], "latencies")
    for process in (run, other):
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def metrics_port(bench):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        out = bench.call("run", "relay", "--count", 10, "--set", f"observe.prometheus={port}", status=2)
        require(f"127.0.0.1:{port}" in out and "in use" in out and "0 for a free port" in out, out)
    require_pass(bench.run("relay", 10, {"observe.prometheus": port}))


MOST_RETRIES = 20  # of one or two commits, with growing pauses between them
HOSTILE = ["SELECT count(*) FROM range(10000000) a, range(10000000) b", "SELECT * FROM range(1000000000000)",
           "SELECT max(h) FROM (SELECT hash(range) AS h FROM range(1000000000) ORDER BY h)",
           "SELECT length(list(repeat('y', 100) || range)) FROM range(1000000000)",
           "WITH RECURSIVE x AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM x) SELECT count(*) FROM x",
           "SET memory_limit = '1MB'", "ATTACH '/tmp/tidemill-mine.db' AS mine", "COPY rawdata TO '/tmp/tidemill-mine.csv'",
           "DROP TABLE rawdata", "SELECT 1; COMMIT; DROP TABLE rawdata", "SELECT * FROM read_csv('/etc/passwd')"]


def hostile_queries(bench):
    """A run at 5000 events/s beside all of them: no commit fails but for memory, which a query that doubles its own
    in one step may take until it is stopped (docs/query.md); no event is late for ever, PASS."""
    run = bench.start("run", "telemetry", "--rate", 5000, "--duration", "20s", "--format", "json",
                      "--set", "query.timeout=1s", "--set", "serve.duckdb.memory_limit=256MiB")
    wait_for("rows", lambda: "count" in bench.call("query", "telemetry", "SELECT count(*) FROM rawdata", status=None))
    for sql in HOSTILE:
        begun = time.monotonic()
        asked = subprocess.run(bench.command("query", "telemetry", sql, "--format", "csv"), stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True, timeout=60)
        require(asked.returncode != 0, f"{sql}: exit status 0")
        print(f"    {time.monotonic() - begun:5.1f} s  {asked.stderr.strip()[:110]}")
    out, _ = run.communicate(timeout=200)
    require(run.returncode == 0, out[-3000:])
    require_pass(bench.verdict(out))
    whole = [json.loads(line) for line in out.splitlines() if line.startswith('{"time"')][-1]
    retries = re.findall(r"warning (.+?); trying again", out, re.S)
    opened_again = re.findall(r"warning (.+?); the store is opened again", out, re.S)
    require(all("memory" in why.lower() or "allocate" in why for why in retries + opened_again), out)
    require(whole["retries"] == len(retries) <= MOST_RETRIES, f"{whole}\n" + "\n".join(retries))
    for path in ("/tmp/tidemill-mine.db", "/tmp/tidemill-mine.csv"):
        require(not os.path.exists(path), path)


def query_without_log(bench):
    """The store answers although the log is so damaged that nobody could open it."""
    require_pass(bench.run("telemetry", 2000))
    log = os.path.join(bench.directory("telemetry"), "log")
    shutil.rmtree(log)
    open(log, "w").write("no directory")
    require(bench.value("telemetry", "SELECT count(*) FROM rawdata") == 2000, "rows")
    require("no directory" == open(log).read(), "the log was touched")
    require("log" in bench.call("verify", "telemetry", status=None), "verify needs it")


def report(bench):
    run = bench.start("run", "relay", "--rate", 2000, "--duration", "60s")
    wait_for("the run", lambda: '"running"' in bench.call("status", "--format", "json"))
    rows = [json.loads(line) for line in bench.call("report", "relay", "--every", "1s", "--rows", 3, "--format", "json").splitlines()]
    require(len(rows) == 3, str(rows))
    last = rows[-1]
    require(last["incoming_messages"] > 1.5 * last["outgoing_messages"] > 0, str(last))
    for name in ("created_to_stored_ms", "enqueued_to_stored_ms"):
        require(0 <= last[name]["p50"] <= last[name]["p99"] <= last[name]["p99_9"] <= last[name]["max"] + 1, str(last))
    table = bench.call("report", "relay", "--every", "1s", "--rows", 2).splitlines()
    require(len(table) == 5 and all(len(line) == len(table[0]) for line in table[:4]), "\n".join(table))
    require(table[0].split()[:5] == ["Time", "IncomingMessages", "IncomingBytes", "OutgoingMessages", "OutgoingBytes"], table[0])
    require("about twice the event rate" in table[4], table[4])
    run.send_signal(signal.SIGINT)
    run.wait(timeout=60)


CASES = [duckdb_with_faults, topic_with_faults, files_with_faults, without_dedup, sensor, template, keyless_dedup_stops,
         rekeyed, rekeyed_and_sifted, horizon, upsert, columns, filter_and_project, projected_files, reference_rules, metrics, metrics_port,
         hostile_queries, query_without_log, report]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--keep", action="store_true", help="keep the data of a case that failed")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    known = {case.__name__: case for case in CASES}
    failed = 0
    for name in options.cases or known:
        bench = Bench(os.path.abspath(options.program))
        begun = time.monotonic()
        try:
            known[name](bench)
            print(f"  {name}: ok in {time.monotonic() - begun:.1f} s", flush=True)
        except Exception as error:  # one case must not keep the others from running
            failed += 1
            print(f"  {name}: FAILED: {type(error).__name__}: {error}", flush=True)
            if options.keep:
                print(f"    kept: {bench.root}")
                bench.place.path = ""
        bench.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
