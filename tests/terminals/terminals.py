#!/usr/bin/env python3
"""One run in four terminals: processing, simulation, report and queries, each a process of its own.

Whichever of them owns the run is killed in the middle; the others go on, one of them as the owner. In
the end every event is accounted for.

usage: terminals.py --program PATH --victim P|T
"""
import argparse
import json
import os
import signal
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
from program import Place, verdict_of, wait_for  # noqa: E402

COUNT = 15_000


class Terminals:
    def __init__(self, program):
        self.program = program
        self.place = Place("tidemill-terminals-")
        self.root, self.close = self.place.path, self.place.close

    def start(self, *arguments):
        return self.place.start([self.program, "--data-dir", self.root, *arguments])

    def call(self, *arguments):
        return subprocess.run([self.program, "--data-dir", self.root, *arguments], capture_output=True, text=True, timeout=120)

    def rows(self):
        answer = self.call("query", "four", "SELECT count(*) AS n FROM rawdata", "--format", "json")
        return int(json.loads(answer.stdout)["n"]) if answer.returncode == 0 and answer.stdout.startswith("{") else 0


def scenario(program, victim):
    """`victim`: which terminal begins, owns the run, and is killed."""
    four = Terminals(program)
    try:
        simulate = ["run", "telemetry", "--name", "four", "--steps", "T", "--count", str(COUNT), "--rate", "5000"]
        process = ["run", "telemetry", "--name", "four", "--steps", "P", "--duration", "forever"]
        first, second = (simulate, process) if victim == "T" else (process, simulate)
        owner = four.start(*first)
        wait_for("the owner", lambda: four.call("status", "--format", "json").stdout.find('"running"') >= 0)
        other = four.start(*second)
        report = four.start("run", "telemetry", "--name", "four", "--steps", "M", "--format", "json", "--duration", "forever",
                            "--set", "observe.report_interval=1s")
        wait_for("the first rows", four.rows)

        owner.send_signal(signal.SIGKILL)
        owner.wait()
        before = four.rows()
        again = four.start(*first)
        wait_for("more rows after the kill", lambda: four.rows() > before)

        simulator = other if victim == "P" else again
        output, _ = simulator.communicate(timeout=180)
        if simulator.returncode != 0:
            sys.exit(f"simulator: {output}")
        wait_for("all rows", lambda: four.rows() >= COUNT)
        if report.poll() is not None:
            sys.exit(f"the report ended: {report.communicate()[0]}")
        verdict = four.call("verify", "four", "--format", "json")
        found = verdict_of(verdict.stdout)
        if verdict.returncode != 0 or found["verdict"] != "PASS" or found["stored"] != COUNT:
            sys.exit(f"{verdict.stdout}{verdict.stderr}")
        stopped = four.call("stop", "four")
        if stopped.returncode != 0:
            sys.exit(f"stop: {stopped.stderr}")
        for process_left in (other, again, report):
            wait_for(f"{' '.join(process_left.args[4:])} to end after stop", lambda p=process_left: p.poll() is not None, 20)
        print(f"owner {victim} killed: PASS, {found['stored']} rows", flush=True)
    finally:
        four.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--victim", choices=["P", "T"], required=True)
    options = parser.parse_args()
    scenario(os.path.abspath(options.program), options.victim)


if __name__ == "__main__":
    main()
