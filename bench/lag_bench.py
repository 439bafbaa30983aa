#!/usr/bin/env python3
"""The program's peak memory while it drains a lag into each sink: resident, code and mapped files of its libraries included.

    bench/lag_bench.py [--events N] [--only log,postgres,parquet,delta,duckdb] [--build build/bench]

Events are simulated into the embedded log, then a process of its own processes them all, from VmHWM of which the figure
is; `tidemill verify` counts them. PostgreSQL is one of its own (tools/postgres), and passed over where there is none.
Prints one JSON line a row, as the other benchmarks do; bench/run.py calls it. Kafka's is a row of kafka_bench.py.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

from program_bench import require, row

ROOT = pathlib.Path(__file__).resolve().parents[1]
EVENTS = 2_000_000
# What is served, and MB at most: DuckDB writes Parquet files, too.
SINKS = {"log": ("log: {topic: lag-out}", 200), "postgres": ('postgres: {connection: "%s", table: lag}', 200),
         "parquet": ("parquet: {directory: lag, partition_by: [type]}", 600), "delta": ("delta: {table: lag, partition_by: [type]}", 600),
         "duckdb": ("duckdb: {table: lag}", 600)}
SOLUTION = """
name: lag-{sink}
event: telemetry
simulate: {{rate: max, instances: 2, duplicate_every: 1000, count: {events}}}
ingest: {{log: {{topic: lag-in, partitions: 4}}}}
process:
  - enrich: [enqueuedAt, processedAt]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve: {{{serve}}}
pipeline: {{tasks: 2}}
"""
POLL_S = 0.02


def highest(pid):
    """VmHWM in MB and the anonymous part of what is resident now; None where the process is over."""
    fields = {}
    try:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("VmHWM:", "RssAnon:")):
                fields[line.split(":")[0]] = int(line.split()[1]) / 1024
    except (FileNotFoundError, ProcessLookupError):
        return None
    return (fields["VmHWM"], fields["RssAnon"]) if len(fields) == 2 else None


class Lag:
    def __init__(self, options):
        self.options = options
        self.root = os.path.join(options.directory, "lag")
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)
        self.environment = dict(os.environ)
        self.server = ["tools/postgres", "--dir", os.path.join(self.root, "server")]
        self.url = ""
        if "postgres" in options.only:
            up = subprocess.run([self.server[0], "up", *self.server[1:]], stdout=subprocess.PIPE, text=True, cwd=ROOT)
            if up.returncode == 0:
                self.url = up.stdout.split()[-1]
                self.environment["PGPASSFILE"] = os.path.join(self.root, "server", "pgpass")

    def close(self):
        if self.url:
            subprocess.run([self.server[0], "down", *self.server[1:]], cwd=ROOT)
        shutil.rmtree(self.root, ignore_errors=True)

    def command(self, *arguments):
        return [os.path.abspath(f"{self.options.build}/tidemill"), "--data-dir", os.path.join(self.root, "data"), *arguments]

    def call(self, *arguments):
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, env=self.environment)
        require(done.returncode == 0, f"{' '.join(arguments)}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def drain(self, solution):
        """Peaks of resident and of anonymous memory, in MB, and the seconds that it took."""
        begun = time.monotonic()
        with open(os.path.join(self.root, "drain.log"), "w+") as log:
            process = subprocess.Popen(self.command("run", solution, "--steps", "P", "--until-end"), stdout=log, stderr=log,
                                       env=self.environment)
            resident = anonymous = 0.0
            while process.poll() is None:
                seen = highest(process.pid)
                if seen:
                    resident, anonymous = max(resident, seen[0]), max(anonymous, seen[1])
                time.sleep(POLL_S)
            log.seek(0)
            require(process.returncode == 0, f"{solution}: exit code {process.returncode}\n{log.read()[-2000:]}")
        return resident, anonymous, time.monotonic() - begun

    def measure(self, sink):
        serve, most = SINKS[sink]
        if sink == "postgres":
            if not self.url:
                return
            serve %= self.url
        name = f"lag-{sink}"
        solution = os.path.join(self.root, name + ".yaml")
        with open(solution, "w") as file:
            file.write(SOLUTION.format(sink=sink, events=self.options.events, serve=serve))
        self.call("run", solution, "--steps", "CIDT")
        resident, anonymous, seconds = self.drain(solution)
        verdict = json.loads([line for line in self.call("verify", name, "--format", "json").splitlines() if line.startswith('{"verdict"')][-1])
        require(verdict["verdict"] == "PASS" and verdict["stored"] == self.options.events, f"{name}: {verdict}")
        row(f"peak memory with {self.options.events} events of lag, into {sink}", "MB", resident, None, [("MB", resident, most)],
            f"resident (VmHWM), of which {anonymous:.0f} MB anonymous; drained in {seconds:.1f} s")
        shutil.rmtree(os.path.join(self.root, "data"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/bench")
    parser.add_argument("--directory", default="/tmp/tidemill-bench")
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, help="of no use here: the highest of one drain is what counts")
    parser.add_argument("--only", default=",".join(SINKS), help="some of " + ", ".join(SINKS))
    options = parser.parse_args()
    options.only = options.only.split(",")
    lag = Lag(options)
    try:
        for sink in options.only:
            if sink not in SINKS:
                parser.error(f"no sink {sink}; there are {', '.join(SINKS)}")
            lag.measure(sink)
    finally:
        lag.close()


if __name__ == "__main__":
    sys.exit(main())
