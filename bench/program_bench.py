#!/usr/bin/env python3
"""Measures the program as its users run it: latency and CPU of whole solutions, start, idle memory.

Prints one JSON line a row, as the other benchmarks do; bench/run.py calls it.
"""
import argparse
import glob
import json
import os
import shutil
import struct
import subprocess
import sys
import time

CONTROL = 0x20


def require(holds, what):
    if not holds:
        print(f"benchmark failed: {what}", file=sys.stderr)
        sys.exit(1)


def row(path, unit, ours, baseline, checks, note):
    listed = [{"what": what, "value": value, "relation": "<=", "target": target, "holds": value <= target}
              for what, value, target in checks]
    ratio = ours / baseline if baseline else None
    print(json.dumps({"path": path, "unit": unit, "ours": ours, "baseline": baseline, "ratio": ratio,
                      "checks": listed, "note": note}), flush=True)


def quantile(values, q):
    return sorted(values)[min(len(values) - 1, int(len(values) * q))]


def lone_syncs(directory, seconds=5.0):
    """Milliseconds of each write() and fdatasync() of 4 KB, with nothing else going on."""
    path = os.path.join(directory, "lone")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    block = b"x" * 4096
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begun = time.monotonic()
        os.write(fd, block)
        os.fdatasync(fd)
        times.append((time.monotonic() - begun) * 1e3)
    os.close(fd)
    os.remove(path)
    return times


class Program:
    def __init__(self, options):
        self.program = os.path.abspath(f"{options.build}/tidemill")
        self.root = os.path.join(options.directory, "program")
        shutil.rmtree(self.root, ignore_errors=True)
        os.makedirs(self.root)

    def command(self, *arguments):
        return [self.program, "--data-dir", self.root, *arguments]

    def run(self, *arguments):
        """Output and the CPU seconds, user and kernel, of a command that must succeed."""
        process = subprocess.Popen(self.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        output = process.stdout.read()
        errors = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        require(process.returncode == 0, f"{' '.join(arguments)}: exit code {process.returncode}\n{output}{errors}")
        return output, usage.ru_utime + usage.ru_stime

    def measured(self, solution, seconds, *settings):
        """The summary of a run, its CPU in cores; the run is verified afterwards."""
        output, cpu = self.run("run", solution, "--fresh", "--steps", "CIDPTM", "--duration", f"{seconds}s", "--format", "json",
                               *settings)
        summary = json.loads([line for line in output.splitlines() if line.startswith("{\"time\"")][-1])
        verdict, _ = self.run("verify", solution, "--format", "json")
        require('"verdict":"PASS"' in verdict.replace(" ", ""), f"{solution}: {verdict}")
        return summary, cpu / seconds


def has_commit(path):
    """Whether the segment holds a transaction's marker, so that its events are visible."""
    try:
        with open(path, "rb") as segment:
            bytes_ = segment.read()
    except FileNotFoundError:
        return False
    at = 0
    while at + 61 <= len(bytes_):
        (length,) = struct.unpack_from(">i", bytes_, at + 8)
        (attributes,) = struct.unpack_from(">h", bytes_, at + 21)
        if attributes & CONTROL:
            return True
        at += 12 + length
    return False


def start_ms(program):
    """From the start of the process to the first event that a reader of relay-out sees."""
    shutil.rmtree(program.root, ignore_errors=True)
    os.makedirs(program.root)
    begun = time.monotonic()
    process = subprocess.Popen(program.command("run", "relay", "--steps", "CIDPT", "--rate", "1000", "--duration", "2s"),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while True:
        segments = glob.glob(f"{program.root}/**/relay-out-*/*.log", recursive=True)
        if any(has_commit(segment) for segment in segments):
            break
        require(process.poll() is None, "the relay ended before it stored an event")
        require(time.monotonic() - begun < 10, "no event was stored within 10 s")
        time.sleep(0.0005)
    elapsed = (time.monotonic() - begun) * 1e3
    require(process.wait() == 0, "the relay ended well")
    return elapsed


def idle_mb(program):
    shutil.rmtree(program.root, ignore_errors=True)
    os.makedirs(program.root)
    process = subprocess.Popen(program.command("run", "relay", "--steps", "CIDPM"), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    time.sleep(3)
    with open(f"/proc/{process.pid}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    process.terminate()
    process.wait()
    return resident / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", default="build/bench")
    parser.add_argument("--directory", default="/tmp/tidemill-bench")
    parser.add_argument("--events", type=int, help="a quick look: shorter runs")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    seconds = 8 if options.events else 30
    program = Program(options)

    sync_p99 = quantile(lone_syncs(program.root), 0.99)
    summary, cores = program.measured("telemetry", seconds, "--size", "10")
    latency = summary["created_to_stored_ms"]
    require(summary["stored"] > 9000 * seconds, f"telemetry stored only {summary['stored']}")
    row("telemetry at 10,000 events/s: CPU", "cores", cores, None, [("cores", cores, 0.25)],
        "user and kernel time of the program with its simulator, start and end included")
    row("telemetry at 10,000 events/s: created to stored, p99", "ms", latency["p99"], sync_p99,
        [("ms", latency["p99"], max(300.0, 10 * sync_p99))],
        f"p50 {latency['p50']:.1f} ms; baseline: p99 of a lone write() and fdatasync()")

    sync_p99 = quantile(lone_syncs(program.root), 0.99)
    summary, _ = program.measured("relay", seconds, "--set", "pipeline.epoch.interval=5ms")
    latency = summary["enqueued_to_stored_ms"]
    row("relay with epochs of 5 ms: enqueued to stored, p99", "ms", latency["p99"], sync_p99,
        [("ms", latency["p99"], 5 + 4 * sync_p99)],
        f"p50 {latency['p50']:.1f} ms; created to stored p99 {summary['created_to_stored_ms']['p99']:.1f} ms; "
        "baseline: p99 of a lone write() and fdatasync()")

    starts = [start_ms(program) for _ in range(options.rounds)]
    start = quantile(starts, 0.5)
    row("relay: start to the first stored event", "ms", start, None, [("ms", start, 100)],
        f"median of {len(starts)}; the first event's epoch of 100 ms is in it")
    resident = idle_mb(program)
    row("relay: idle resident memory", "MB", resident, None, [("MB", resident, 40)], "")
    shutil.rmtree(program.root, ignore_errors=True)


if __name__ == "__main__":
    main()
