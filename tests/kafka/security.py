#!/usr/bin/env python3
"""The program on brokers that want to know who it is.

  security.py --program TIDEMILL

Starts a broker with every kind of listener (tools/kafka up --security all) and stops it. Relays of some thousand
events, verified, with each mechanism and with certificates; one whose user is deleted and comes back while it runs;
and everything that can be wrong about a connection: each ends within a bound, and says what is wrong and what would
be right. No secret is in an output or in a file of the data directory.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from kafka import ROOT, SKIPPED, Broker, missing
from program import Place, verdict_of, wait_for

EVENTS = 3000
RUN_SECONDS = 120  # of a run that ends by itself, on a loaded machine
FAIL_SECONDS = 60
WRONG = "not-the-password"
REAUTHENTICATION_MS = 2000

SOLUTION = """
name: {name}
event: telemetry
simulate: {{rate: {rate}, count: {events}, duplicate_every: 50}}
ingest: {{kafka: {{{connection}, topic: {name}, partitions: 2, create: {create}}}}}
process:
  - enrich: [enqueuedAt, processedAt]
  - dedup: {{id: eventId, key: deviceId, last: 100}}
serve: {{kafka: {{topic: {name}-out}}}}
pipeline: {{tasks: 1, snapshot_min: 64KiB}}
"""


class Site:
    """The broker, and how each of its listeners is reached."""

    def __init__(self, place, broker, program):
        self.place, self.program = place, program
        self.directory = pathlib.Path(broker.directory)
        self.ports = json.loads((self.directory / "cluster.json").read_text())["brokers"][0]["ports"]
        self.password = (self.directory / "password").read_text()
        ca = f"tls: true, tls_ca: {self.directory}/ca.pem"
        client = f"tls_certificate: {self.directory}/client.pem, tls_key: {self.directory}/client.key"
        self.plain, self.sasl, self.tls = (self.at(name) for name in ("plain", "sasl", "tls"))
        self.working = {
            "plain": f"{self.sasl}, {ca}, {self.user('plain')}",
            "scram-256": f"{self.sasl}, {ca}, {self.user('scram-sha-256')}",
            "scram-512": f"{self.sasl}, {ca}, {self.user('scram-sha-512')}",
            # Tokens of three seconds, so that they are renewed while it runs.
            "oauthbearer": f"{self.sasl}, {ca}, sasl: oauthbearer, properties: {{enable.sasl.oauthbearer.unsecure.jwt: 'true', "
                           "sasl.oauthbearer.config: principal=tidemill lifeSeconds=3}",
            "certificate": f"{self.tls}, {ca}, {client}",
        }
        user = r"SASL authentication error: .*; check user and password"
        self.failing = {  # what is said, after the address; those that take longest first
            "no-broker": ('brokers: "127.0.0.1:1"', r"Connection refused; check the port, and that the broker runs"),
            "no-such-host": ('brokers: "broker.invalid:9092"', r"Failed to resolve 'broker.invalid:9092'.*; check the name"),
            "elsewhere": (self.at("elsewhere"), r"the cluster advertises broker 1 at broker.invalid:\d+, which cannot be reached from here"),
            "no-tls": (self.tls, r"the listener may want TLS: check tls, and the port"),
            "no-tls-no-user": (f"{self.sasl}, {self.user('plain')}", r"the listener may want TLS: check tls, and the port"),
            "tls-to-plain": (f"{self.plain}, {ca}", r"the listener seems to know no TLS: remove tls, or give another port"),
            "no-user": (f"{self.sasl}, {ca}", r"the listener seems to want a user: give sasl, user and password"),
            "user-to-plain": (f"{self.plain}, {self.user('plain')}", r"the listener knows no users: remove sasl"),
            "wrong-password": (f"{self.sasl}, {ca}, {self.user('plain', password=WRONG)}", user),
            "wrong-scram": (f"{self.sasl}, {ca}, {self.user('scram-sha-256', password=WRONG)}", user),
            "unknown-user": (f"{self.sasl}, {ca}, {self.user('scram-sha-512', name='nobody')}", user),
            "no-tokens": (f"{self.sasl}, {ca}, sasl: oauthbearer", r"oauthbearer needs tokens; give properties sasl.oauthbearer.method: oidc"),
            "wrong-ca": (f"{self.tls}, tls: true, tls_ca: {self.directory}/other-ca.pem, {client}",
                         r"the broker's certificate \(.*\) was signed by a CA that is not trusted here; check tls_ca"),
            "no-ca": (f"{self.tls}, tls: true, {client}", r"was signed by a CA that is not trusted here; check tls_ca"),
            "other-name": (f"{self.at('other_name')}, {ca}, {client}", r"is for another host name or address; give brokers by a name"),
            "no-certificate": (f"{self.tls}, {ca}", r"the broker wants a client's certificate that it trusts; check tls_certificate"),
            "strange-certificate": (f"{self.tls}, {ca}, tls_certificate: {self.directory}/other-ca.pem, tls_key: {self.directory}/other-ca.key",
                                    r"the broker wants a client's certificate that it trusts"),
            "ca-missing": (f"{self.tls}, tls: true, tls_ca: {self.directory}/none.pem, {client}", r"tls_ca: .*/none.pem: open: No such file"),
            "ca-no-pem": (f"{self.tls}, tls: true, tls_ca: {self.directory}/user, {client}", r"tls_ca: .*/user cannot be used; give a PEM file"),
            "key-without-certificate": (f"{self.tls}, {ca}, tls_key: {self.directory}/client.key", r"certificate and its key go together"),
            "password-not-set": (f"{self.sasl}, {ca}, {self.user('plain', password='${NOT_SET}')}",
                                 r"the environment variable NOT_SET is not set; set it"),
            "no-connection-string": (f"event_hubs: 'Endpoint=sb://ns/;SharedAccessKeyName={WRONG}'",
                                     r"event_hubs: is not a connection string; give the namespace's, as Endpoint=sb://"),
            "no-topic": (self.plain, r"there is no topic no-topic; create it, or let the solution create it \(create: true\)"),
            "refused-property": (f"{self.plain}, properties: {{allow.auto.create.topics: 'true'}}",
                                 r"properties.allow.auto.create.topics: cannot be set: topics are created with what the solution says"),
        }

    def at(self, listener):
        host = "127.0.0.2" if listener == "other_name" else "127.0.0.1"
        return f'brokers: "{host}:{self.ports[listener]}"'

    @staticmethod
    def user(mechanism, name="tidemill", password="${KAFKA_PASSWORD}"):
        return f'sasl: {mechanism}, user: {name}, password: "{password}"'

    def command(self, name, connection, rate="max", events=EVENTS):
        create = "false" if name == "no-topic" else "true"
        solution = self.place.write(name + ".yaml", SOLUTION.format(name=name, connection=connection, rate=rate, events=events, create=create))
        return [self.program, "--data-dir", os.path.join(self.place.path, "data-" + name), "run", solution]

    def start(self, command):
        return self.place.start(command, stdin=subprocess.DEVNULL, env={**os.environ, "KAFKA_PASSWORD": self.password})

    def configure_user(self, name, *change):
        """By Kafka's own tool."""
        done = subprocess.run(["java", "-XX:TieredStopAtLevel=1", "-cp", f"{ROOT}/build/deps/kafka/*", "kafka.admin.ConfigCommand",
                               "--bootstrap-server", f"127.0.0.1:{self.ports['plain']}", "--alter", "--entity-type", "users",
                               "--entity-name", name, *change], capture_output=True, text=True)
        if done.returncode != 0:
            raise AssertionError(f"ConfigCommand: {done.stdout}{done.stderr}")

    def create_user(self, name):
        """The broker knows it a moment later."""
        self.configure_user(name, "--add-config", f"SCRAM-SHA-256=[password={self.password}]")

    def delete_user(self, name):
        self.configure_user(name, "--delete-config", "SCRAM-SHA-256")

    def check_silent(self, name, output):
        """No secret in what it said, nor in what it wrote."""
        for secret in (self.password, WRONG):
            if secret in output:
                raise AssertionError(f"{name}: a secret is in the output:\n{output}")
            for path in pathlib.Path(self.place.path, "data-" + name).rglob("*"):
                if path.is_file() and secret.encode() in path.read_bytes():
                    raise AssertionError(f"{name}: a secret is in {path}")


def passes(site, name, connection):
    began = time.monotonic()
    # Slow enough that tokens have to be renewed.
    process = site.start([*site.command(name, connection, rate="500" if name == "oauthbearer" else "max"), "--format", "json"])
    output = process.communicate(timeout=RUN_SECONDS)[0]
    site.check_silent(name, output)
    verdict = verdict_of(output) if process.returncode == 0 else {}
    if (verdict.get("verdict"), verdict.get("stored")) != ("PASS", EVENTS):
        raise AssertionError(f"{name}: status {process.returncode}\n{output[-3000:]}")
    return f"{name}: {EVENTS} events, PASS, in {time.monotonic() - began:.1f} s"


def fails(site, name, connection, expected):
    began = time.monotonic()
    process = site.start(site.command(name, connection))
    try:
        output = process.communicate(timeout=FAIL_SECONDS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"{name}: it does not end\n{process.communicate()[0][-3000:]}") from None
    site.check_silent(name, output)
    if process.returncode not in (1, 2) or not re.search(expected, output):
        raise AssertionError(f"{name}: status {process.returncode}, and not {expected}:\n{output[-3000:]}")
    return f"{name}: {time.monotonic() - began:.1f} s; {output.strip().splitlines()[-1]}"


def expires(site):
    """A user that is deleted while the relay runs, and then created again: the relay says why, waits, and goes on."""
    name = "expiring"
    site.create_user(name)
    connection = f"{site.sasl}, tls: true, tls_ca: {site.directory}/ca.pem, {site.user('scram-sha-256', name=name)}"
    command = site.command(name, connection, rate="300", events=10**6)  # without an end that comes before the user goes
    log = os.path.join(site.place.path, "expiring.log")
    environment = {**os.environ, "KAFKA_PASSWORD": site.password}

    def said(since=0):
        with open(log) as text:
            return text.read()[since:]

    def start(*arguments):
        with open(log, "a") as out:
            process = subprocess.Popen([*command, *arguments], stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment)
        site.place.started.append(process)
        return process

    def waits(what, condition):
        wait_for(what, lambda: condition() or process.poll() is not None, seconds=RUN_SECONDS)
        if process.poll() is not None:
            raise AssertionError(f"expiring: it ended with status {process.returncode}\n{said()[-3000:]}")

    check = [site.program, "check", command[-1]]
    wait_for("the user being known", lambda: "SASL" not in subprocess.run(check, capture_output=True, text=True, env=environment).stdout)
    process = start("--duration", "forever")
    waits("the first events", lambda: re.search(r"stored +[1-9]", said()))
    site.delete_user(name)
    waits("the refusal being said", lambda: "check user and password, and that they have not expired" in said())
    site.create_user(name)
    back = len(said())
    waits("events being stored again", lambda: re.search(r"stored +[1-9]", said(back)))
    process.terminate()
    for process, expected in ((process, 130), (start("--steps", "PV", "--until-end"), 0)):
        status = process.wait(timeout=RUN_SECONDS)
        if status != expected:
            raise AssertionError(f"expiring: status {status}\n{said()[-3000:]}")
    site.check_silent(name, said())
    if "Verdict: PASS" not in said():
        raise AssertionError(f"expiring: {said()[-3000:]}")
    return "expiring: went on when the user was back, PASS"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", help="a case by its name")
    options = parser.parse_args()
    if missing():
        print("skipped: " + missing())
        return SKIPPED
    place = Place("tidemill-security-")
    broker = None
    try:
        reauthentication = [f"listener.name.sasl.{mechanism}.connections.max.reauth.ms={REAUTHENTICATION_MS}"
                            for mechanism in ("scram-sha-256", "oauthbearer")]
        broker = Broker(place, "--security", "all", *(word for one in reauthentication for word in ("--set", one)))
        site = Site(place, broker, options.program)
        if options.only is None:
            passes(site, "warm-up", site.working["scram-256"])  # a broker that has just started is slow at TLS
        wanted = lambda name: options.only in (None, name)  # noqa: E731
        with concurrent.futures.ThreadPoolExecutor(4) as many, concurrent.futures.ThreadPoolExecutor(2) as few:
            jobs = [few.submit(expires, site)] if wanted("expiring") else []
            jobs += [few.submit(passes, site, *case) for case in site.working.items() if wanted(case[0])]
            jobs += [many.submit(fails, site, name, *case) for name, case in site.failing.items() if wanted(name)]
            faults = []
            for job in concurrent.futures.as_completed(jobs):
                try:
                    print(job.result(), flush=True)
                except Exception as fault:  # each case is to be heard
                    faults.append(f"{type(fault).__name__}: {fault}")
                    print(faults[-1], flush=True)
        print(f"{len(jobs)} cases, {len(faults)} faults")
        return 1 if faults else 0
    finally:
        if broker:
            broker.down()
        place.close()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main())
