#!/usr/bin/env python3
"""Runs `relay` and `telemetry` at 10,000 events/s for a long time with retention on, and demands that memory, open
files and disk use stay flat after the first minute, and that every event is accounted for from outside.

usage: soak.py --program PATH [--minutes 15] [--solutions relay,telemetry] [--rate 10000] [--keep]

Once a second it reads from /proc what the program holds. At the end it prints, for each measure, the slope of a
straight line through the means of every ten seconds, per hour, with its 95 % interval, and fails where the whole
interval lies above the bound. The bound on memory is what one byte kept of every event would take.

Accounting does not use the verifier, which cannot judge what retention has deleted (docs/verify.md). Of `relay` a
second process follows the output topic and demands every device's events once and in order; of `telemetry` DuckDB is
asked. Both are compared with the simulators' manifests.
"""
import argparse
import collections
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

WARM_UP_SECONDS = 60
MEAN_OF_SECONDS = 10
PARTITIONS = 4
SEGMENT_MIB = 4
RETAINED_MIB = 64  # of each partition: about 25 s at 10,000 events/s, by which the follower may lag
# Segments of 4 MiB come and go in every partition: a short run sees a saw, not a line.
DISK_MIB_PER_HOUR = 64
FILES_PER_HOUR = 12


class Failure(Exception):
    pass


def slope(samples):
    """Per hour, with half the width of its 95 % interval; samples are (seconds, value)."""
    means = []
    first = samples[0][0]
    by_block = collections.defaultdict(list)
    for at, value in samples:
        by_block[int((at - first) / MEAN_OF_SECONDS)].append(value)
    for block, values in sorted(by_block.items()):
        means.append(((block + 0.5) * MEAN_OF_SECONDS / 3600, sum(values) / len(values)))
    n = len(means)
    if n < 4:
        raise Failure("too short to draw a line: run longer than the first minute and a half")
    mean_x = sum(x for x, _ in means) / n
    mean_y = sum(y for _, y in means) / n
    spread = sum((x - mean_x) ** 2 for x, _ in means)
    gradient = sum((x - mean_x) * (y - mean_y) for x, y in means) / spread
    rest = [y - mean_y - gradient * (x - mean_x) for x, y in means]
    error = math.sqrt(sum(r * r for r in rest) / (n - 2) / spread)
    # Neighbouring means resemble one another; this is the usual correction for it.
    squares = sum(r * r for r in rest)
    alike = max(0.0, sum(a * b for a, b in zip(rest, rest[1:])) / squares) if squares > 0 else 0.0
    error *= math.sqrt((1 + alike) / max(1 - alike, 0.05))
    student = 1.96 + 2.4 / (n - 2) + 6.0 / (n - 2) ** 2
    return gradient, student * error


class Sampler(threading.Thread):
    """What the process holds, once a second."""

    def __init__(self, pid, directory):
        super().__init__(daemon=True)
        self.pid, self.directory = pid, directory
        self.samples = collections.defaultdict(list)
        self.begun = time.monotonic()
        self.ending = threading.Event()

    def run(self):
        while not self.ending.wait(1.0):
            at = time.monotonic() - self.begun
            try:
                status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
                files = len(os.listdir(f"/proc/{self.pid}/fd"))
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                return
            anonymous = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
            self.samples["anonymous memory, MiB"].append((at, anonymous / 1024))
            self.samples["open files"].append((at, files))
            self.samples["log on disk, MiB"].append((at, self.disk(self.directory / "log")))
            store = sum(f.stat().st_blocks * 512 for f in self.directory.glob("*.duckdb*") if f.exists())
            self.samples["store on disk, MiB"].append((at, store / 2**20))

    @staticmethod
    def disk(folder):
        total = 0
        for path, _, names in os.walk(folder):
            for name in names:
                try:
                    total += os.stat(os.path.join(path, name)).st_blocks * 512
                except FileNotFoundError:  # retention was faster
                    pass
        return total / 2**20

    def judge(self, rate):
        """Prints the slopes; returns what is not flat."""
        bounds = {"anonymous memory, MiB": rate * 3600 / 2**20, "open files": FILES_PER_HOUR, "log on disk, MiB": DISK_MIB_PER_HOUR}
        steep = []
        for name, samples in self.samples.items():
            steady = [sample for sample in samples if sample[0] >= WARM_UP_SECONDS]
            if not steady or not any(value for _, value in steady):
                continue
            gradient, interval = slope(steady)
            bound = bounds.get(name)
            verdict = "" if bound is None else f"  bound {bound:.0f}"
            if bound is not None and gradient - interval > bound:
                steep.append(name)
                verdict += "  TOO STEEP"
            print(f"    {name:<22} {steady[0][1]:9.1f} → {steady[-1][1]:9.1f}  slope per hour {gradient:+9.1f} ± {interval:.1f}{verdict}",
                  flush=True)
        return steep


class Follower(threading.Thread):
    """Reads an output topic as it grows: each device's events must come once and in order."""

    def __init__(self, base, topic):
        super().__init__(daemon=True)
        self.base, self.topic = base, topic
        self.process = self.read("follow", "--from", "earliest")
        self.offsets = [0] * PARTITIONS  # where to read on
        self.next = {}  # by device
        self.events = 0
        self.problem = None

    def read(self, verb, *arguments):
        return subprocess.Popen([*self.base, "log", verb, "soak", self.topic, "--format", "json", *arguments],
                                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def run(self):
        self.take(self.process.stdout)

    def finish(self):
        """What came after the last that was followed."""
        self.process.terminate()
        self.join()
        for partition, offset in enumerate(self.offsets):
            with self.read("read", "--partition", str(partition), "--from", str(offset)) as rest:
                self.take(rest.stdout)

    def take(self, lines):
        for line in lines:
            if not line.endswith("\n"):  # cut off when the follower was ended
                return
            record = json.loads(line)
            if record["offset"] < self.offsets[record["partition"]]:
                continue
            last = self.offsets[record["partition"]] - 1
            self.offsets[record["partition"]] = record["offset"] + 1
            event = json.loads(record["value"])
            device, number = event["deviceId"], event["deviceSequenceNumber"]
            due = self.next.get(device, 0)
            if number != due and self.problem is None:
                self.problem = (f"device {device}: event {number} where {due} should follow, at offset {record['offset']} of "
                                f"partition {record['partition']}, behind offset {last}")
            self.next[device] = number + 1
            self.events += 1


class Soak:
    def __init__(self, options, solution):
        self.options, self.solution = options, solution
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tidemill-soak-"))
        self.base = [options.program, "--data-dir", str(self.root)]
        self.directory = None

    def tidemill(self, *arguments):
        done = subprocess.run([*self.base, *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"tidemill {' '.join(arguments)}: {done.stdout[-500:]}{done.stderr[-1000:]}")
        return done.stdout

    def run(self):
        settings = [f"log.segment_bytes={SEGMENT_MIB}MiB", f"log.max_batch_bytes={SEGMENT_MIB}MiB",
                    f"log.retention_bytes={RETAINED_MIB}MiB", "event.max_bytes=128KiB", "simulate.max_batch_bytes=256KiB",
                    "pipeline.snapshot_min=8MiB"]
        if self.solution == "telemetry":
            settings.append("serve.duckdb.memory_limit=256MiB")
        command = [*self.base, "run", self.solution, "--name", "soak", "--steps", "CIDPTM", "--rate", str(self.options.rate),
                   "--duration", f"{self.options.minutes * 60:.0f}s", "--format", "json", "--partitions", str(PARTITIONS),
                   "--tasks", "2", "--instances", "2"]
        for setting in settings:
            command += ["--set", setting]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output = []
        reader = threading.Thread(target=lambda: output.extend(process.stdout), daemon=True)
        reader.start()
        try:
            self.directory = self.wait_for_socket(process, output)
            follower = None
            if self.solution == "relay":
                self.wait_for_topic("relay-out")
                follower = Follower(self.base, "relay-out")
                follower.start()
            sampler = Sampler(process.pid, self.directory)
            sampler.start()
            process.wait()
            reader.join()
            sampler.ending.set()
            sampler.join()
            if process.returncode != 0:
                raise Failure(f"{self.solution}: exit status {process.returncode}\n{''.join(output)[-3000:]}")
            self.account(follower)
            steep = sampler.judge(self.options.rate)
        finally:
            if process.poll() is None:
                process.kill()
        if steep:
            raise Failure(f"{self.solution}: not flat after the first minute: {', '.join(steep)}")

    def wait_for_socket(self, process, output):
        while process.poll() is None:
            for found in self.root.glob("**/socket"):
                return found.parent
            time.sleep(0.02)
        raise Failure(f"{self.solution}: {''.join(output)}")

    def wait_for_topic(self, topic):
        """The sink makes it; a follower that comes before finds none."""
        deadline = time.monotonic() + 60
        while topic not in self.tidemill("log", "topics", "soak"):
            if time.monotonic() > deadline:
                raise Failure(f"{self.solution}: no topic {topic} within a minute")
            time.sleep(0.05)

    def count(self, what, where="true"):
        answer = self.tidemill("query", "soak", f"SELECT {what} AS n FROM rawdata WHERE {where}", "--format", "json")
        return int(json.loads(answer)["n"])

    def distinct(self, what, divided_by):
        """In parts, each of which fits into the store's small memory."""
        return sum(self.count(f"count(DISTINCT {what})", f"hash({divided_by}) % 32 = {part}") for part in range(32))

    def account(self, follower):
        manifests = [json.loads(path.read_text()) for path in self.directory.glob("simulate/manifest-*.json")]
        sent = sum(sum(r[1] for r in manifest["ranges"]) for manifest in manifests)
        devices = {r[0]: r[1] for manifest in manifests for r in manifest["ranges"]}
        unclear = sum(r[2] for manifest in manifests for r in manifest["ranges"])
        copies = sum(manifest["records_sent"] for manifest in manifests) - sent
        shortfall = max(manifest["shortfall_us"] for manifest in manifests) / 1e6
        if unclear or not all(manifest["finished"] for manifest in manifests) or sent == 0:
            raise Failure(f"{self.solution}: the manifests do not say what was sent")
        if self.solution == "relay":
            follower.finish()
            if follower.problem:
                raise Failure(f"relay: {follower.problem}")
            if follower.events != sent or sum(follower.next.values()) != sent or len(follower.next) != len(devices):
                raise Failure(f"relay: {follower.events} events of {len(follower.next)} devices came out, {sent} went in")
        else:
            row = {"rows": self.count("count(*)"), "ids": self.distinct("eventId", "eventId"),
                   "numbers": self.distinct("(deviceId, deviceSequenceNumber)", "deviceId")}
            if set(row.values()) != {sent} or self.count("count(DISTINCT deviceId)") != len(devices):
                raise Failure(f"telemetry: {row} in the table, {sent} events of {len(devices)} devices were sent")
        print(f"  {self.solution}: {sent} events of {len(devices)} devices accounted for once, {copies} copies dropped"
              f" ({sent / (self.options.minutes * 60):.0f} events/s, at worst {shortfall:.1f} s behind schedule)", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--solutions", default="relay,telemetry")
    parser.add_argument("--rate", type=int, default=10000)
    parser.add_argument("--keep", action="store_true", help="keep the runs' directories")
    options = parser.parse_args()
    options.program = os.path.abspath(options.program)
    failed = 0
    for solution in options.solutions.split(","):
        soak = Soak(options, solution)
        try:
            soak.run()
        except Failure as failure:
            print(f"FAILED: {failure}", flush=True)
            failed = 1
        if options.keep:
            print(f"  kept: {soak.root}")
        else:
            shutil.rmtree(soak.root, ignore_errors=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
