#!/usr/bin/env python3
"""What a PostgreSQL server may do to a run: TLS with the wrong certificate, a password that expires, a full disk; be slow.

  trouble.py --program TIDEMILL

Starts a server of its own. Each trouble gets its message, and a run that it stopped goes on to PASS once it is over.
"""
import argparse
import os
import shutil
import subprocess
import sys

from postgres import SKIPPED, ROOT, Server
sys.path.insert(0, str(ROOT / "tests"))
from program import Place, wait_for  # noqa: E402
from slow_proxy import SlowProxy, peak_mb  # noqa: E402

SOLUTION = """
name: {name}
event: telemetry
simulate: {{rate: 4000, {more}}}
serve: {{postgres: {{connection: "{url}", table: {name}}}}}
"""

# 60 MB of events, more than there is room for in memory.
SLOW_EVENTS, SLOW_BYTES_PER_S, SLOW_MB = 60000, 6_000_000, 64
SLOW = """
name: slow
event: telemetry
simulate: {{rate: max, count: {events}, duplicate_every: 1000}}
ingest: {{log: {{partitions: 4}}}}
process: [{{dedup: {{id: eventId, key: deviceId, last: 100}}}}]
serve: {{postgres: {{connection: "{url}", table: slow}}}}
pipeline: {{tasks: 2, memory: 16MiB}}
"""

# What PostgreSQL prints in another way than the events have it.
VALUES = """
name: printed
event: {{id: id, fields: {{id: text required, doc: json, in.x: double, in.d: json}}}}
query: {{timeout: 1s}}
serve: {{postgres: {{connection: "{url}", table: printed, types: {{id: uuid}}}}}}
"""
PRINTED = ['{"id":"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11","doc":{"b":1,"a":2,"b":3.0,"c":[1e2,-0.0,1.5e300]},"in":{"x":-0.0,"d":{"z":1,"y":null}}}',
           '{"id":"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A12","doc":null,"in":{"x":1.5e300,"d":"text"}}',
           '{"id":"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A13","doc":7,"in":{"x":12}}']


class Trouble:
    def __init__(self, program, place):
        self.place = place
        self.program = [program, "--data-dir", os.path.join(place.path, "data")]
        self.certificates = os.path.join(place.path, "tls")
        os.mkdir(self.certificates, 0o755)
        self.make_certificates()
        self.server = Server(place, "--set", "ssl=on", *(f for name in ("cert", "key") for f in (
            "--set", f"ssl_{name}_file={self.certificates}/server.{name}")))

    def make_certificates(self):
        """A CA, a server's certificate by it, and another CA."""
        def openssl(*arguments):
            subprocess.run(["openssl", *arguments], cwd=self.certificates, check=True, capture_output=True)
        for name in ("ca", "other"):
            openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                    "-out", f"{name}.cert")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "server.key", "-out", "server.request")
        with open(os.path.join(self.certificates, "names"), "w") as names:
            names.write("subjectAltName=IP:127.0.0.1")
        openssl("x509", "-req", "-in", "server.request", "-CA", "ca.cert", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "names", "-out", "server.cert")
        for name in ("server.key", "server.cert"):
            if os.geteuid() == 0:
                shutil.chown(os.path.join(self.certificates, name), "postgres")
        os.chmod(os.path.join(self.certificates, "server.key"), 0o600)

    def solution(self, name, url, more):
        return self.place.write(name + ".yaml", SOLUTION.format(name=name, url=url, more=more))

    def run(self, *arguments, environment=None):
        done = subprocess.run([*self.program, "run", *arguments], capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                              env=environment or self.server.environment)
        return done.returncode, done.stdout + done.stderr

    def begin(self, file, environment=None, *arguments):
        log = open(os.path.join(self.place.path, "run.log"), "w")
        process = subprocess.Popen([*self.program, "run", file, *arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   env=environment or self.server.environment)
        self.place.started.append(process)
        return process

    def said(self):
        with open(os.path.join(self.place.path, "run.log")) as log:
            return log.read()

    def rows(self, table):
        return int(self.server.psql(f"SELECT count(*) FROM {table}")[0])

    def there(self, table):
        return self.server.psql(f"SELECT to_regclass('{table}') IS NOT NULL")[0] == "t" and self.rows(table) > 0


def expect(what, condition, said):
    if not condition:
        raise AssertionError(f"{what}:\n{said[-3000:]}")


def tls(trouble):
    for name, ca, status, says in (("good", "ca", 0, "Verdict: PASS"), ("wrong", "other", 2, "certificate verify failed; check sslmode, sslrootcert")):
        url = f"{trouble.server.url}?sslmode=verify-full&sslrootcert={trouble.certificates}/{ca}.cert"
        got, said = trouble.run(trouble.solution(name, url, "count: 3000"))
        expect(f"TLS, {name}: exit status {status}, {says}", got == status and says in said, said)


def password_expires(trouble):
    trouble.server.psql("CREATE ROLE app LOGIN PASSWORD 'good-for-a-while'; GRANT ALL ON SCHEMA public TO app")
    url = trouble.server.url.replace("tidemill@", "app@")
    environment = {**trouble.server.environment, "PGPASSWORD": "good-for-a-while"}
    file = trouble.solution("expires", url, "count: 20000")
    process = trouble.begin(file, environment)
    wait_for("rows", lambda: trouble.there("expires"))
    trouble.server.psql("ALTER ROLE app VALID UNTIL '2020-01-01'; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    status = process.wait(timeout=60)
    expect("a password that expired ends the run and is named", status == 2 and "password authentication failed for user \"app\"" in trouble.said() and
           "PGPASSWORD" in trouble.said() and "good-for-a-while" not in trouble.said(), trouble.said())
    trouble.server.psql("ALTER ROLE app VALID UNTIL 'infinity'")
    status, said = trouble.run(file, environment=environment)
    expect("with a new one it goes on to PASS", status == 0 and "Verdict: PASS" in said, said)


def values_are_printed_otherwise(trouble):
    file = trouble.place.write("printed.yaml", VALUES.format(url=trouble.server.url))
    subprocess.run([*trouble.program, "log", "produce", file], input="\n".join(PRINTED) + "\n", text=True, check=True, capture_output=True)
    status, said = trouble.run(file, "--until-end")
    expect("what jsonb and uuid keep is not altered", status == 0 and "Verdict: PASS" in said, said)
    trouble.server.psql("""UPDATE printed SET doc = '{"a": 2, "b": 1, "c": [100, 0.0, 15]}' WHERE doc ? 'a'""")
    done = subprocess.run([*trouble.program, "verify", "printed"], capture_output=True, text=True, env=trouble.server.environment)
    expect("other values are", done.returncode == 1 and "1 altered" in done.stdout, done.stdout)


def server_is_slow(trouble):
    proxy = SlowProxy(int(trouble.server.url.split(":")[-1].split("/")[0]), SLOW_BYTES_PER_S, 0.002)
    url = trouble.server.url.replace(f":{proxy.target}/", f":{proxy.port}/") + "?sslmode=disable"
    file = trouble.place.write("slow.yaml", SLOW.format(url=url, events=SLOW_EVENTS))
    status, said = trouble.run(file, "--steps", "CIDT")
    expect("events are simulated", status == 0, said)
    process = trouble.begin(file, None, "--steps", "P", "--until-end")
    most = peak_mb(process)
    expect("a slow server is written to the end", process.returncode == 0, trouble.said())
    expect(f"in at most {SLOW_MB} MB of memory, not {most:.0f}", most <= SLOW_MB, trouble.said())
    expect("through the proxy", proxy.passed > 500 * SLOW_EVENTS, f"{proxy.passed} bytes")
    proxy.bytes_per_s, proxy.delay_s = 1e9, 0
    done = subprocess.run([*trouble.program, "verify", "slow"], capture_output=True, text=True, env=trouble.server.environment)
    expect("nothing is lost or there twice", done.returncode == 0 and "Verdict: PASS" in done.stdout, done.stdout + done.stderr)
    counted = trouble.server.psql('SELECT count(*), count(DISTINCT "eventId") FROM slow')[0]
    expect(f"each of {SLOW_EVENTS} events is there once", counted == f"{SLOW_EVENTS}|{SLOW_EVENTS}", counted)
    proxy.close()
    return most


def queries_end_in_their_own_time(trouble):
    """Of the run before. The user's own limit is far shorter."""
    trouble.server.psql("ALTER ROLE tidemill SET statement_timeout = '100ms'")
    def ask(seconds):
        done = subprocess.run([*trouble.program, "query", "printed", f"SELECT pg_sleep({seconds})"], capture_output=True, text=True,
                              env=trouble.server.environment, timeout=20)
        return done.returncode, done.stdout + done.stderr
    status, said = ask(0.4)
    expect("a query may take longer than its user's statement_timeout", status == 0, said)
    status, said = ask(30)
    expect("a query ends after query.timeout", status != 0 and "took longer than 1 s (query.timeout)" in said, said)
    trouble.server.psql("ALTER ROLE tidemill RESET statement_timeout")


def disk_is_full(trouble):
    small = os.path.join(trouble.place.path, "small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small], check=True)
    try:
        shutil.chown(small, "postgres")
        trouble.server.psql(f"CREATE TABLESPACE small LOCATION '{small}'")
        file = trouble.solution("full_disk", trouble.server.url + "?options=-cdefault_tablespace%3Dsmall", "count: 40000")
        process = trouble.begin(file)
        wait_for("a full disk", lambda: "No space left on device" in trouble.said(), 60)
        subprocess.run(["mount", "-o", "remount,size=400m", small], check=True)
        status = process.wait(timeout=120)
        expect("it waits for room, and goes on to PASS", status == 0 and "Verdict: PASS" in trouble.said(), trouble.said())
        expect("40,000 events", trouble.server.psql('SELECT count(DISTINCT "eventId") FROM full_disk')[0] == "40000", trouble.said())
    finally:
        trouble.server.tool("down")
        subprocess.run(["umount", "-l", small], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    options = parser.parse_args()
    place = Place("tidemill-postgres-")
    trouble = None
    try:
        trouble = Trouble(os.path.abspath(options.program), place)
        if trouble.server.missing:
            print("no PostgreSQL server on this machine; install Debian's package postgresql")
            return SKIPPED
        password_expires(trouble)  # first, so that its user makes the tables that are for all
        tls(trouble)
        values_are_printed_otherwise(trouble)
        queries_end_in_their_own_time(trouble)
        most = server_is_slow(trouble)
        if os.geteuid() != 0:
            print("TLS, an expired password and a slow server; a full disk needs root, who may mount a small one")
            return SKIPPED
        disk_is_full(trouble)
        print(f"TLS, an expired password and a full disk are told and survived, a slow server with {most:.0f} MB at most")
        return 0
    finally:
        if trouble:
            trouble.server.tool("down")
        place.close()


if __name__ == "__main__":
    sys.exit(main())
