#!/usr/bin/env python3
"""Runs the benchmarks, prints one table and writes JSON. `make bench` calls it; docs/performance.md says more.

    bench/run.py [--events N] [--rounds N] [--only relay,decode] [--build build/bench] [--directory /tmp/…]
    bench/run.py --answers …    says nothing of speed: a missed target is no failure

Exit code 1 where a benchmark failed (a wrong answer); 2 where all ran and a target was missed.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
import time

PROGRAMS = ["decode", "generate", "append", "relay", "duckdb", "memory", "state", "program", "lag", "kafka", "postgres", "delta"]


def figure(value):
    if value is None:
        return "–"
    if abs(value) >= 1e6:
        return f"{value / 1e6:.2f} M"
    if abs(value) >= 1e4:
        return f"{value / 1e3:.0f} k"
    return f"{value:.3g}"


class Postgres:
    """A server of its own as long as it is measured; without Debian's package there is none, and no row."""

    def __init__(self, directory):
        self.tool = ["tools/postgres", "--dir", os.path.join(directory, "server")]
        up = subprocess.run([self.tool[0], "up", *self.tool[1:]], stdout=subprocess.PIPE, text=True)
        if up.returncode == 0:
            os.environ["TIDEMILL_POSTGRES"] = up.stdout.split()[-1]
            os.environ["PGPASSFILE"] = os.path.join(directory, "server", "pgpass")

    def down(self):
        subprocess.run([self.tool[0], "down", *self.tool[1:]])
        os.environ.pop("TIDEMILL_POSTGRES", None)


def run(command):
    """The rows that a benchmark prints; None where it failed."""
    begun = time.monotonic()
    print(f"… {os.path.basename(command[0])}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    print(f"  {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    return rows, done.returncode == 0


def print_table(rows):
    lines = [("path", "unit", "ours", "baseline", "ratio", "target", "")]
    for row in rows:
        target = ", ".join(f"{c['what']} {c['relation']} {figure(c['target'])}" for c in row["checks"])
        missed = [c for c in row["checks"] if not c["holds"]]
        verdict = "ok" if not missed else "missed: " + ", ".join(figure(c["value"]) for c in missed)
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        lines.append((row["path"], row["unit"], figure(row["ours"]), figure(row["baseline"]), ratio, target, verdict))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())


def machine():
    model = ""
    with open("/proc/cpuinfo") as info:
        for line in info:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(), "load": os.getloadavg()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, help="of each measurement; the default makes 2 GB of them")
    parser.add_argument("--rounds", type=int, help="repetitions of what is compared")
    parser.add_argument("--only", default=",".join(PROGRAMS), help="some of " + ", ".join(PROGRAMS))
    parser.add_argument("--build", default="build/bench")
    parser.add_argument("--answers", action="store_true", help="only whether the answers are right")
    parser.add_argument("--directory", default="/tmp/tidemill-bench", help="for data; removed afterwards")
    options = parser.parse_args()
    passed_on = ["--directory", options.directory]
    for name in ("events", "rounds"):
        if getattr(options, name):
            passed_on += [f"--{name}", str(getattr(options, name))]

    rows, failed = [], []
    begun = machine()
    for name in options.only.split(","):
        if name not in PROGRAMS:
            parser.error(f"no benchmark {name}; there are {', '.join(PROGRAMS)}")
        command = [f"{options.build}/{name}_bench"] + passed_on
        if name in ("program", "lag", "kafka"):
            command = [sys.executable, f"bench/{name}_bench.py", "--build", options.build] + passed_on
        server = Postgres(options.directory) if name == "postgres" else None
        made, good = run(command)
        if server:
            server.down()
        rows += made
        if not good:
            failed.append(name)
    subprocess.run(["rm", "-rf", options.directory])
    with open(f"{options.build}/results.json", "w") as out:
        json.dump({"machine": begun, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                   "options": passed_on, "failed": failed, "rows": rows}, out, indent=1)
        out.write("\n")
    print(f"{begun['cpu']}, {begun['cores']} cores, load {begun['load']:.1f} at the start")
    print_table(rows)
    if failed:
        print("FAILED, their answers were wrong or they could not run: " + ", ".join(failed))
        return 1
    return 2 if not options.answers and any(not check["holds"] for row in rows for check in row["checks"]) else 0


if __name__ == "__main__":
    sys.exit(main())
