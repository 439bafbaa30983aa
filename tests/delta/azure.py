#!/usr/bin/env python3
"""Delta tables in Azure storage, on an Azurite of the test's own (tools/azurite).

  azure.py contracts --contracts BINARY    the contract of the sink, and its client
  azure.py trouble --program TIDEMILL      what is wrong with an account, and what is said of it; a run by a signature

trouble: a wrong key, a container that is not there, a host that is not there, a server whose clock is another, a signature
(SAS) without the right to write; by one that has all rights a run that ends with PASS, whose rows delta-rs counts, and which
is queried, replayed, vacuumed and removed; a slow server, to which a run writes in bounded memory. No output and no file
of the run has the key or the signature.
"""
import argparse
import http.server
import os
import pathlib
import re
import subprocess
import sys
import threading
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
sys.path.insert(0, str(ROOT / "build" / "deps" / "python-delta"))
from azurite import CONTAINER, Server  # noqa: E402
from program import Place, verdict_of  # noqa: E402
from slow_proxy import SlowProxy, peak_mb  # noqa: E402

try:
    from deltalake import DeltaTable, QueryBuilder
except ImportError:
    DeltaTable = None

SKIPPED = 77
EVENTS = 3000
SOLUTION = """
name: trouble
event: telemetry
simulate: {{rate: max, instances: 1, count: {events}, malformed: 0.01}}
ingest: {{log: {{partitions: 2}}}}
serve:
  delta: {{table: "{table}", partition_by: [type], azure.create: {create}}}
pipeline: {{tasks: 2, epoch.interval: 100ms, retry.give_up: 2s}}
"""


SLOW_EVENTS, SLOW_MB = 20000, 120
SLOW = """
name: slow
event: telemetry
simulate: {{rate: max, count: {events}, duplicate_every: 1000}}
ingest: {{log: {{partitions: 4}}}}
process: [{{dedup: {{id: eventId, key: deviceId, last: 100}}}}]
serve: {{delta: {{table: "{table}", azure: {{create: on, timeout: 2s}}}}}}
pipeline: {{tasks: 2, memory: 16MiB}}
"""


def contracts(options, place, server):
    environment = {**os.environ, "AZURE_STORAGE_CONNECTION_STRING": server.connection(),
                   "TIDEMILL_AZURE_URL": f"{server.url}/contracts"}
    return subprocess.run([options.contracts], env=environment).returncode


class Fast(http.server.BaseHTTPRequestHandler):
    """A server an hour ahead, which refuses whoever is not."""

    def do_GET(self):
        self.send_response_only(403)
        self.send_header("Date", self.date_time_string(self.server.now + 3600))
        self.send_header("x-ms-error-code", "AuthenticationFailed")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_GET

    def log_message(self, *arguments):
        pass


class Trouble:
    def __init__(self, options, place, server):
        self.place, self.server, self.faults = place, server, []
        self.base = [options.program, "--data-dir", os.path.join(place.path, "data")]
        self.secrets = []

    def solution(self, table, create="off"):
        return self.place.write("trouble.yaml", SOLUTION.format(events=EVENTS, table=table, create=create))

    def call(self, *arguments, env, timeout=120):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
        done = subprocess.run([*self.base, *arguments], capture_output=True, text=True, env={**clean, **env}, timeout=timeout,
                              stdin=subprocess.DEVNULL)
        for secret in self.secrets:
            if secret in done.stdout + done.stderr:
                self.faults.append(f"{arguments} prints a secret")
        return done

    def refused(self, what, env, *says, table=None, offline=False):
        solution = self.solution(table or self.table("t"))
        self.expect_refusal(what, self.call("run", solution, "--fresh", env=env), says)
        # What shows without asking is a fault for check, too; the rest it notes.
        if offline:
            self.expect_refusal("check: " + what, self.call("check", solution, env=env), says)
        elif (status := self.call("check", solution, env=env).returncode) != 0:
            self.faults.append(f"check: {what}: status {status}")

    def expect_refusal(self, what, done, says):
        missing = [text for text in says if text not in done.stderr]
        if done.returncode == 0 or missing:
            self.faults.append(f"{what}: status {done.returncode}, without {missing}: {done.stderr[-1500:]}")

    def table(self, name):
        return f"abfss://{CONTAINER}@{self.server.account}.dfs.core.windows.net/{name}/rawdata"

    def refusals(self):
        server = self.server
        good = {"AZURE_STORAGE_CONNECTION_STRING": server.connection()}
        self.refused("no credentials", {}, "there are no credentials for account", "AZURE_STORAGE_KEY", offline=True)
        self.refused("no container", good, f"container {CONTAINER} of Azure storage account {server.account} does not exist",
                     "az storage container create", "serve.delta.azure.create: on")
        server.ask("PUT", CONTAINER, {"restype": "container"})
        wrong = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk="
        self.secrets.append(wrong)
        self.refused("a wrong key", {"AZURE_STORAGE_CONNECTION_STRING": server.connection(key=wrong)},
                     f"the key is not that of account {server.account}", "403")
        self.refused("a key that is none", {"AZURE_STORAGE_KEY": "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXkr!"}, "not Base64", offline=True)
        self.refused("a signature that is none", {"AZURE_STORAGE_SAS_TOKEN": "sv=1&sp=rwcdl"}, "no shared access signature", offline=True)
        self.refused("another account", good, "but the credentials are those of account",
                     table=f"abfss://{CONTAINER}@other.dfs.core.windows.net/t", offline=True)
        self.refused("no host", {"AZURE_STORAGE_KEY": server.key}, "nowhere.invalid", "resolve", "is the account's name right",
                     table=f"https://nowhere.invalid/account/{CONTAINER}/t")
        self.refused("nobody there", {"AZURE_STORAGE_KEY": server.key}, "Connection refused",
                     table=f"http://127.0.0.1:1/{server.account}/{CONTAINER}/t")
        signature = server.sas("rwdl")
        pasted = f"{server.url}/{CONTAINER}/t?{signature}"
        self.refused("a signature in the URL", {}, "serve.delta.azure.sas", table=pasted, offline=True)
        plain = f"{server.url}/{CONTAINER}/t"
        self.refused("a signature that may only read", {"AZURE_STORAGE_SAS_TOKEN": server.sas("rl")},
                     "the shared access signature does not permit it", "rwcdl", table=plain)
        self.refused("a signature that is over", {"AZURE_STORAGE_SAS_TOKEN": server.sas("rwcdl", hours=-1)},
                     "the shared access signature is expired", table=plain)
        fast = http.server.HTTPServer(("127.0.0.1", 0), Fast)
        fast.now = time.time()
        threading.Thread(target=fast.serve_forever, daemon=True).start()
        self.refused("another clock", {"AZURE_STORAGE_KEY": server.key}, "clock is", "minutes behind Azure's",
                     table=f"http://127.0.0.1:{fast.server_port}/{server.account}/{CONTAINER}/t")
        fast.shutdown()

    def expect(self, what, done, *says):
        missing = [text for text in says if not re.search(text, done.stdout)]
        if done.returncode != 0 or missing:
            self.faults.append(f"{what}: status {done.returncode}, without {missing}: {done.stdout[-1500:]}{done.stderr[-1500:]}")

    def rows(self, path):
        table = DeltaTable(f"az://{CONTAINER}/{path}", storage_options=self.server.storage_options())
        return QueryBuilder().register("t", table).execute("SELECT count(*) FROM t").read_all()[0][0].as_py()

    def whole(self, name, env):
        """A run with these rights, and all that one does with it."""
        solution = self.solution(self.table(name), create="on")  # a signature of the container alone may not, and need not
        check = self.call("check", solution, env=env)
        self.expect("check", check, "guarantee: exactly-once")
        if "could not be asked" in check.stdout:
            self.faults.append("check: " + check.stdout[-600:])
        self.expect("show", self.call("show", solution, env=env), re.escape(self.table(name)))
        run = self.call("run", solution, "--format", "json", "--fresh", env=env)
        verdict = verdict_of(run.stdout) if '"verdict"' in run.stdout else {}
        if verdict.get("verdict") != "PASS" or not 0 < verdict["stored"] <= EVENTS:
            self.faults.append(f"{name}: {run.stdout[-1500:]}{run.stderr[-1500:]}")
            return
        counted = self.rows(f"{name}/rawdata")
        if counted != verdict["stored"]:
            self.faults.append(f"{name}: delta-rs counts {counted} rows, the verifier {verdict['stored']}")
        count = "SELECT count(*) AS n FROM rawdata"
        for arguments, says in ((("query", "trouble", count), str(counted)), (("query", "trouble", "--version", "0", count), r"\n0\n|  0|^0"),
                                (("query", "trouble", "SELECT count(*) FROM dead_letters"), r"\d"),
                                (("connect", "trouble"), re.escape(self.table(name))), (("schema", solution), "LOCATION 'abfss://"),
                                (("vacuum", "trouble", "--retention", "0s", "--no-retention-check"), "rawdata: "),
                                (("verify", "trouble"), "Verdict: PASS"),
                                (("run", solution, "--from", "earliest", "--into", "again"), "")):
            self.expect(" ".join(arguments), self.call(*arguments, env=env), says)
        if self.rows(f"{name}/again") != counted:
            self.faults.append(f"{name}: the replay has {self.rows(f'{name}/again')} rows of {counted}")
        data = pathlib.Path(self.place.path, "data")
        left = [str(path) for path in data.rglob("*") if path.is_file() and "delta.tmp" in str(path)]
        if left:
            self.faults.append(f"copies are left: {left}")
        for path in data.rglob("*"):
            if path.is_file() and any(secret.encode() in path.read_bytes() for secret in self.secrets):
                self.faults.append(f"{path} has a secret")
        self.expect("clean", self.call("clean", "trouble", "--yes", env=env), "removed")
        if list(data.glob("trouble/*")) or self.rows(f"{name}/rawdata") != counted:
            self.faults.append("clean left something of the run, or took from the table")


    def slow(self):
        """A server that takes some hundred KB a second of each connection, and longer than `timeout` for a file."""
        proxy = SlowProxy(self.server.port, 600_000, 0.01)
        environment = {**os.environ, "AZURE_STORAGE_CONNECTION_STRING": self.server.connection(proxy.port)}
        solution = self.place.write("slow.yaml", SLOW.format(events=SLOW_EVENTS, table=self.table("slow")))
        self.expect("events are simulated", self.call("run", solution, "--steps", "CIDT", env=environment))
        with open(os.path.join(self.place.path, "slow.log"), "w+") as log:
            process = subprocess.Popen([*self.base, "run", solution, "--steps", "P", "--until-end"], stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=log, env=environment)
            self.place.started.append(process)
            most = peak_mb(process)
            log.seek(0)
            if process.returncode != 0 or most > SLOW_MB:
                self.faults.append(f"slow: status {process.returncode}, {most:.0f} MB: {log.read()[-1500:]}")
        proxy.bytes_per_s, proxy.delay_s = 1e9, 0
        self.expect("nothing is lost or there twice", self.call("verify", "slow", env=environment), "Verdict: PASS")
        counted = self.rows("slow/rawdata")
        if counted != SLOW_EVENTS:
            self.faults.append(f"slow: delta-rs counts {counted} rows")
        passed = proxy.passed
        proxy.close()
        return f"a slow server took {passed / 1e6:.1f} MB with {most:.0f} MB of memory at most"


def trouble(options, place, server):
    tests = Trouble(options, place, server)
    signature = server.sas("rwcdl")
    tests.secrets += [server.key, urllib.parse.unquote(signature.split("sig=")[1]), signature.split("sig=")[1]]
    tests.refusals()
    tests.whole("by-signature", {"AZURE_STORAGE_CONNECTION_STRING": f"BlobEndpoint={server.url};SharedAccessSignature={signature}"})
    tests.whole("by-key", {"AZURE_STORAGE_CONNECTION_STRING": server.connection()})
    slow = tests.slow()
    print(f"{slow}; {len(tests.faults)} faults")
    for fault in tests.faults:
        print("  " + fault)
    return 1 if tests.faults else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["contracts", "trouble"])
    parser.add_argument("--contracts", help="the test program azure_contracts_test")
    parser.add_argument("--program")
    options = parser.parse_args()
    if DeltaTable is None and options.what == "trouble":
        print("skipped: needs delta-rs (tools/fetch-deltalake)")
        return SKIPPED
    place = Place("tidemill-azure-")
    server = None
    try:
        server = Server(place)
        if server.missing:
            print("skipped: needs Azurite (tools/fetch-azurite)")
            return SKIPPED
        return (contracts if options.what == "contracts" else trouble)(options, place, server)
    finally:
        if server:
            server.tool("down")
        place.close()


if __name__ == "__main__":
    sys.exit(main())
