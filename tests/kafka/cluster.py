#!/usr/bin/env python3
"""A relay while its brokers come and go, and while it is stopped itself.

  cluster.py rolling --program TIDEMILL [--restarts N]   three brokers, stopped and started again one after another, by
                                                         SIGTERM and by SIGKILL in turn, while simulator and relay run
  cluster.py pause --program TIDEMILL [--pauses N]       SIGSTOP in the middle of a transaction, SIGCONT when the broker
                                                         has given the transaction up; and once more when it is tried
                                                         again: then its events are committed by fewer at once
  cluster.py version --program TIDEMILL --version 3.9    a relay on another Kafka, verified by the program alone

Every event is accounted for at the end, as in kafka.py.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from kafka import ROOT, SKIPPED, Broker, Relay, missing
import outside
from program import Place, verdict_of, wait_for

EVENTS = 3000
TRANSACTION_TIMEOUT_MS = 3000
STEPS = ("--steps", "CIDPTM", "--duration", "forever")  # with M for its progress lines
CLEANUP_MS = 200  # how often a broker looks for transactions that took too long
PAUSE_AT = ("kafka.rows.produced:4", "kafka.offsets.sent:3")  # the broker knows of the transaction


class Lasting(Relay):
    """From topic to topic of one cluster. `more`: of the solution's serve.kafka; `settings`: of the command."""

    def __init__(self, program, place, broker, more="", settings=()):
        at = f'brokers: "{broker.address}"'
        super().__init__(program, place, f"{{kafka: {{{at}, topic: kills-in, partitions: 4}}}}", f"{{kafka: {{{at}, topic: kills-out{more}}}}}")
        self.running = None
        self.settings = settings

    def begin(self, stop_at=None):
        os.environ.pop("TIDEMILL_STOP_AT", None)
        if stop_at:
            os.environ["TIDEMILL_STOP_AT"] = stop_at
        self.running = self.start(arguments=(*STEPS, *self.settings))
        self.place.started.append(self.running)

    def whole_log(self):
        return pathlib.Path(self.place.path, "relay.log").read_text()


def finish(relay, broker):
    """Stops it in order, has it process what is left, and accounts for everything: (faults, what was counted)."""
    os.environ.pop("TIDEMILL_STOP_AT", None)
    relay.running.terminate()
    # One after the other: what the simulator sends while it stops is to be read, too.
    for next_one, expected in ((lambda: relay.running, 130), (lambda: relay.start(arguments=("--steps", "P", "--until-end", *relay.settings)), 0)):
        status = next_one().wait(timeout=120)
        if status != expected:
            raise AssertionError(f"the last run ended with status {status}")
    log4j = os.path.join(broker.directory, "log4j2.yaml")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sent, stored = pool.map(lambda topic: outside.read_topic(ROOT / "build" / "deps" / "kafka", broker.address, topic, log4j),
                                ("kills-in", "kills-out"))
    faults, events = outside.account(sent, stored)
    return faults, f"{events} events and {len(sent) - events} copies sent, {len(stored)} stored"


def broker_tool(broker, *arguments):
    subprocess.run([ROOT / "tools" / "kafka", *arguments, "--dir", broker.directory], check=True, stdout=subprocess.DEVNULL)


def in_sync(broker):
    """Whether every partition has all of its copies, as Kafka's own tool sees it."""
    done = subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{ROOT}/build/deps/kafka/*",
                           "org.apache.kafka.tools.TopicCommand", "--bootstrap-server", broker.address, "--describe",
                           "--under-replicated-partitions"], capture_output=True, text=True)
    return done.returncode == 0 and not done.stdout.strip()


def stored_lines(relay):
    """Progress lines with events stored; they come every five seconds."""
    return len(re.findall(r"stored +[1-9]", relay.whole_log()))


def alive(relay):
    """Never true: for waits that end when it does not live."""
    if relay.running.poll() is not None:
        raise AssertionError(f"the relay ended with status {relay.running.returncode}\n{relay.log()}")


def rolling(options, place):
    broker = Broker(place, "--brokers", "3")
    try:
        relay = Lasting(options.program, place, broker)
        relay.begin()
        wait_for("the first events", lambda: stored_lines(relay) or alive(relay))
        for restart in range(options.restarts):
            wait_for("all copies in sync", lambda: in_sync(broker), seconds=120)
            turn = restart + options.seed
            number, kill = turn % 3 + 1, ["--kill"] if turn % 2 else []
            began = time.monotonic()
            before = stored_lines(relay)
            broker_tool(broker, "stop", str(number), *kill)
            broker_tool(broker, "start", str(number))
            wait_for("events being stored", lambda: stored_lines(relay) > before or alive(relay), seconds=120)
            print(f"broker {number} {'killed' if kill else 'stopped'} and started: stored again after "
                  f"{time.monotonic() - began:.0f} s", flush=True)
        alive(relay)
        faults, counted = finish(relay, broker)
        return faults, f"{options.restarts} restarts of brokers; {counted}"
    finally:
        broker.down()


def stopped(process):
    with open(f"/proc/{process.pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] == "T"


def pause(options, place):
    broker = Broker(place, "--set", f"transaction.abort.timed.out.transaction.cleanup.interval.ms={CLEANUP_MS}")
    try:
        relay = Lasting(options.program, place, broker, more=f", transaction_timeout: {TRANSACTION_TIMEOUT_MS}ms",
                        settings=("--set", "pipeline.tasks=1"))
        steps = [PAUSE_AT[(options.seed + i) % len(PAUSE_AT)] for i in range(options.pauses)]
        for step in steps:
            began = len(relay.whole_log()) if relay.running else 0
            relay.begin(stop_at=step + "x2")
            for _ in range(2):
                wait_for(f"the stop at {step}", lambda: stopped(relay.running) or alive(relay))
                time.sleep((TRANSACTION_TIMEOUT_MS + 5 * CLEANUP_MS) / 1000)  # is what is tested
                before = len(relay.whole_log())
                relay.running.send_signal(signal.SIGCONT)
            wait_for("events being stored", lambda: re.search(r"stored +[1-9]", relay.whole_log()[before:]) or alive(relay))
            said = re.findall(r"warning (.*)", relay.whole_log()[began:])
            print(f"{step}: went on; " + "; ".join(said), flush=True)
            for wanted in (r"sink: .*; trying again in", r"sink: too much for one commit: .*; read again, at most \d+ events at once"):
                if not any(re.fullmatch(wanted + ".*", line) for line in said):
                    raise AssertionError(f"{step}: the log does not say '{wanted}'")
            for line in said:
                if "took over" in line:
                    raise AssertionError(f"{step}: nobody took over: {line}")
            if step != steps[-1]:
                relay.running.terminate()
                if relay.running.wait(timeout=60) != 130:
                    raise AssertionError(f"{step}: the relay ended with status {relay.running.returncode}\n{relay.log()}")
        faults, counted = finish(relay, broker)
        return faults, f"{2 * len(steps)} pauses of more than transaction_timeout; {counted}"
    finally:
        broker.down()


def version(options, place):
    broker = Broker(place, "--version", options.version)
    try:
        relay = Lasting(options.program, place, broker)
        process = place.start([*relay.command, "--count", str(EVENTS), "--rate", "max", "--format", "json"], stdin=subprocess.DEVNULL)
        output = process.communicate(timeout=120)[0]
        verdict = verdict_of(output) if process.returncode == 0 else {}
        good = (verdict.get("verdict"), verdict.get("stored")) == ("PASS", EVENTS)
        return [] if good else [output[-3000:]], f"Kafka {options.version}: {verdict.get('stored')} events, {verdict.get('verdict')}"
    finally:
        broker.down()


TESTS = {"rolling": rolling, "pause": pause, "version": version}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=list(TESTS))
    parser.add_argument("--program", required=True)
    parser.add_argument("--restarts", type=int, default=3)
    parser.add_argument("--pauses", type=int, default=len(PAUSE_AT))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TIDEMILL_SEED", "0")), help="which broker, signal or step is first")
    parser.add_argument("--version", default="4.1")
    options = parser.parse_args()
    if missing():
        print("skipped: " + missing())
        return SKIPPED
    if options.version != "4.1" and not (ROOT / f"build/deps/kafka-{options.version}/sha256").exists():
        print(f"skipped: needs Kafka {options.version} (tools/fetch-kafka {options.version})")
        return SKIPPED
    place = Place("tidemill-cluster-")
    try:
        faults, counted = TESTS[options.what](options, place)
        print(f"{counted}; {len(faults)} faults")
        for fault in faults[:20]:
            print("  " + fault)
        return 1 if faults else 0
    except AssertionError:
        log = pathlib.Path(place.path, "relay.log")
        print(log.read_text()[-5000:] if log.exists() else "")
        raise
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
