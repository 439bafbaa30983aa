#!/usr/bin/env python3
"""Whatever can go wrong, at random, for as long as wanted.

  chaos.py --program TIDEMILL [--minutes N] [--seed N] [--workers N] [--protocol classic|consumer] [--rate N]

Three brokers; one process simulates, the others process, in one consumer group. One after another, at random: a worker is
killed by SIGKILL, kills itself at a commit step, is stopped, halted for longer than its session, joined by another, or cut
off from the brokers for longer than its session; a broker is stopped or killed, and started again. To be cut off a worker
lives in a network namespace of its own, which needs root and `ip`; without them that is left out, and said.

At last all are stopped, and one processes what is left. The program's verifier must say PASS, and Kafka's own consumer
accounts for every event: none lost, none doubled, the order of each key kept. --seed replays the choices, not the
instants at which the machine carries them out. Some 3 KB of memory are needed for each event when they are counted.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from kafka import KAFKA_STEPS, ROOT, SKIPPED, Broker, Place, missing, wait_for  # noqa: E402
from cluster import broker_tool, in_sync  # noqa: E402
from scale import SESSION, TOPIC, Worker  # noqa: E402
import outside  # noqa: E402

WORKER_STEPS = [step for step in KAFKA_STEPS if step != "run.manifest.written"]
PROCESS = ("--steps", "CIDP", "--duration", "forever")


class Networks:
    """Namespaces on a bridge of this machine, whose address the brokers listen at. `why`: they cannot be had."""

    def __init__(self, count):
        self.why, self.host = "", "127.0.0.1"
        self.bridge = f"tmbr{os.getpid() % 100000}"
        self.names = [f"tm{os.getpid() % 100000}n{i}" for i in range(count)]
        if os.geteuid() != 0 or shutil.which("ip") is None:
            self.why = "needs root and ip"
            return
        net = f"10.213.{os.getpid() % 250}"
        try:
            self.ip("link", "add", self.bridge, "type", "bridge")
            self.ip("addr", "add", f"{net}.1/24", "dev", self.bridge)
            self.ip("link", "set", self.bridge, "up")
            for i, name in enumerate(self.names):
                self.ip("netns", "add", name)
                self.ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
                self.ip("link", "set", name, "master", self.bridge, "up")
                self.ip("-n", name, "addr", "add", f"{net}.{i + 2}/24", "dev", "eth0")
                for device in ("lo", "eth0"):
                    self.ip("-n", name, "link", "set", device, "up")
            self.host = f"{net}.1"
        except AssertionError as fault:
            self.close()
            self.why = str(fault)

    @staticmethod
    def ip(*arguments):
        done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")

    def within(self, number):
        """What a command begins with to run in the namespace."""
        return [] if self.why else ["ip", "netns", "exec", self.names[number]]

    def cut(self, number, cut):
        self.ip("link", "set", self.names[number], "down" if cut else "up")

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], capture_output=True)


class Member(Worker):
    """A worker that may live in a namespace, and kill itself at a step."""

    def __init__(self, options, place, broker, networks, number):
        super().__init__(options, place, broker, number, static=number == 0)  # one keeps its place
        self.number = number
        self.command = [*networks.within(number), *self.command]
        self.kill_at = None

    def start(self, *arguments, kill_at=None):
        self.kill_at = kill_at
        environment = {**os.environ, **({"TIDEMILL_KILL_AT": kill_at} if kill_at else {})}
        with open(self.log_path, "a") as log:
            self.process = subprocess.Popen([*self.command, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)
        self.place.started.append(self.process)

    def killed_itself(self):
        return self.kill_at is not None and self.process.poll() == -signal.SIGKILL


class Chaos:
    def __init__(self, options, place, broker, networks, chance):
        self.broker, self.networks, self.chance = broker, networks, chance
        self.done = collections.Counter()
        self.members = [Member(options, place, broker, networks, number) for number in range(options.workers)]
        self.away = []
        self.pool = concurrent.futures.ThreadPoolExecutor(1)
        self.restart = None  # of a broker, under way
        for member in self.members:
            member.start(*PROCESS)
        self.actions = ["kill", "kill", "step", "step", "stop", "halt", "join", "broker"] + ["cut"] * 2 * (not networks.why)

    def present(self):
        """Those that run; whoever killed itself is away."""
        for member in self.members:
            if member in self.away:
                continue
            if member.killed_itself():
                self.away.append(member)
                self.done[f"killed themselves at {member.kill_at.split(':')[0]}"] += 1
            else:
                member.check_alive()
        return [member for member in self.members if member not in self.away]

    def leave(self, member, what):
        self.away.append(member)
        self.done[what] += 1

    def restart_broker(self, number, kill):
        wait_for("all copies in sync", lambda: in_sync(self.broker), seconds=180)
        broker_tool(self.broker, "stop", str(number), *(["--kill"] if kill else []))
        broker_tool(self.broker, "start", str(number))
        return "brokers killed" if kill else "brokers stopped"

    def broker_back(self, wait=False):
        """Whether no restart is under way."""
        if self.restart and (wait or self.restart.done()):
            self.done[self.restart.result()] += 1
            self.restart = None
        return self.restart is None

    def act(self):
        """One thing that happens. What is chosen does not depend on how the machine carries it out, as far as it goes."""
        what = self.chance.choice(self.actions)
        number, kill = self.chance.randint(1, 3), self.chance.random() < 0.5
        longer = SESSION + self.chance.uniform(0.5, 6)
        at = f"{self.chance.choice(WORKER_STEPS)}:{self.chance.randint(1, 20)}"
        pick = self.chance.random()
        present = self.present()
        if what == "broker":
            if self.broker_back():
                self.restart = self.pool.submit(self.restart_broker, number, kill)
            return what
        self.broker_back()
        if what in ("join", "step") or len(present) < 2:
            if self.away:
                self.away.pop(0).start(*PROCESS, kill_at=at if what == "step" else None)
                self.done["joined"] += 1
            return f"{what} {at if what == 'step' else ''}"
        member = present[int(pick * len(present))]
        if what == "kill":
            member.process.kill()
            member.process.wait()
            self.leave(member, "killed")
        elif what == "stop":
            member.process.terminate()
            status = member.process.wait(timeout=180)
            if status != 130 and not member.killed_itself():
                raise AssertionError(f"{member.name} ended with status {status}\n{member.log()}")
            self.leave(member, "stopped")
        elif what == "halt":
            member.process.send_signal(signal.SIGSTOP)
            time.sleep(longer)
            member.process.send_signal(signal.SIGCONT)
            self.done["halted"] += 1
        else:
            self.networks.cut(member.number, True)
            time.sleep(longer)
            self.networks.cut(member.number, False)
            self.done["cut off"] += 1
        return f"{what} {member.name}"

    def stop(self):
        self.broker_back(wait=True)
        for member in self.present():
            member.process.terminate()
            if member.process.wait(timeout=180) != 130 and not member.killed_itself():
                raise AssertionError(f"{member.name} ended with status {member.process.returncode}\n{member.log()}")


def account(place, broker):
    log4j = os.path.join(broker.directory, "log4j2.yaml")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        sent, stored = pool.map(lambda topic: outside.read_topic(ROOT / "build" / "deps" / "kafka", broker.address, topic, log4j),
                                ("scale-in", "scale-out"))
    faults, events = outside.account(sent, stored)
    manifests = [json.loads(one.read_text()) for one in pathlib.Path(place.path, "worker-sender").glob("scale/*/simulate/manifest-*.json")]
    acknowledged = sum(one["records_sent"] for one in manifests)
    if acknowledged != len(sent):
        faults.append(f"the manifests count {acknowledged} acknowledged records, the topic holds {len(sent)}")
    return faults, f"{events} events and {len(sent) - events} copies sent, {len(stored)} stored"


def run(options, place, broker, networks):
    chance = random.Random(options.seed)
    sender = Worker(options, place, broker, "sender", static=False)
    sender.start("--steps", "CIDT", "--duration", "forever", "--rate", str(options.rate))
    began = time.monotonic()
    chaos = Chaos(options, place, broker, networks, chance)
    while time.monotonic() < began + options.minutes * 60:
        time.sleep(chance.uniform(0.3, 4))
        sender.check_alive()
        at = time.monotonic()
        what = chaos.act()
        print(f"{at - began:7.1f} s  {what}, which took {time.monotonic() - at:.1f} s", flush=True)
    chaos.stop()
    sender.end(signal.SIGTERM, 130)
    # What is left, by one, which then verifies; it waits for the end of the static member's session.
    sender.start("--steps", "PV", "--until-end")
    status = sender.process.wait(timeout=600)
    verdict = sender.log().strip().splitlines()[-1]
    faults, counted = account(place, broker)
    if status != 0 or verdict != "Verdict: PASS":
        faults.append(f"the last run ended with status {status}\n{sender.log()}")
    told = ", ".join(f"{count} {what}" for what, count in sorted(chaos.done.items()))
    print(f"protocol {options.protocol}: {told}; {counted}; {verdict}; {len(faults)} faults")
    for fault in faults[:20]:
        print("  " + fault)
    return 1 if faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--rate", type=int, default=200, help="events/s")
    parser.add_argument("--seed", type=int, default=int(os.environ.get("TIDEMILL_SEED") or time.time()))
    parser.add_argument("--protocol", choices=["classic", "consumer"])
    options = parser.parse_args()
    options.serve, options.environment = TOPIC, None
    if missing():
        print("skipped: " + missing())
        return SKIPPED
    if options.protocol is None:
        options.protocol = ("classic", "consumer")[options.seed % 2]
    print(f"seed {options.seed}; to replay: {sys.argv[0]} --program {options.program} --minutes {options.minutes:g} "
          f"--workers {options.workers} --rate {options.rate} --seed {options.seed} --protocol {options.protocol}", flush=True)
    place = Place("tidemill-chaos-")
    networks = Networks(options.workers)
    if networks.why:
        print(f"nobody is cut off from the brokers: {networks.why}", flush=True)
    broker = None
    try:
        broker = Broker(place, "--brokers", "3", "--host", networks.host)
        return run(options, place, broker, networks)
    finally:
        for process in place.started:
            if process.poll() is None:
                process.kill()
                process.wait()
        if broker:
            broker.down()
        networks.close()
        place.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
