"""Azurite for tests: the server (tools/azurite), its blobs by a client of the tests' own, signatures, and a proxy before
it that cuts connections, loses answers and says that it is busy."""
import base64
import datetime
import hashlib
import hmac
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CONTAINER = "kills"
SAVED_SECONDS = 6  # Azurite writes its index down every 5 s, if there is anything new


class Server:
    """missing: there is no Azurite on this machine."""

    def __init__(self, place):
        self.directory = os.path.join(place.path, "azurite")
        self.missing = self.tool("up").returncode == 77
        if self.missing:
            return
        text = pathlib.Path(self.directory, "connection-string").read_text().strip()
        self.parts = dict(part.split("=", 1) for part in text.split(";"))
        self.url = self.parts["BlobEndpoint"]
        self.account, self.key = self.parts["AccountName"], self.parts["AccountKey"]
        self.port = urllib.parse.urlsplit(self.url).port

    def tool(self, *arguments):
        return subprocess.run([ROOT / "tools" / "azurite", *arguments, "--dir", self.directory], stdout=subprocess.PIPE, text=True)

    def restart(self):
        if self.tool("stop").returncode != 0 or self.tool("start").returncode != 0:
            raise AssertionError("Azurite did not come back")

    def crash(self, writers):
        """SIGKILL of the server in the middle of what the processes `writers` write. They stand still until it has written
        down what it has acknowledged: of that it keeps an index in memory, for some seconds."""
        for process in writers:
            process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)  # until it has answered what is on its way, and a save that had begun is over
        indexes = [pathlib.Path(self.directory, "data", f"__azurite_db_{name}__.json") for name in ("blob", "blob_extent")]
        before, deadline = [one.stat().st_mtime for one in indexes], time.monotonic() + SAVED_SECONDS
        while any(one.stat().st_mtime == at for one, at in zip(indexes, before)) and time.monotonic() < deadline:
            time.sleep(0.05)
        crashed = self.tool("stop", "--kill").returncode == 0 and self.tool("start").returncode == 0
        for process in writers:
            process.send_signal(signal.SIGCONT)
        if not crashed:
            raise AssertionError("Azurite did not come back from a crash")

    def connection(self, port=None, key=None):
        endpoint = self.url.replace(f":{self.port}/", f":{port or self.port}/")
        return f"AccountName={self.account};AccountKey={key or self.key};BlobEndpoint={endpoint}"

    def storage_options(self):
        """As delta-rs takes them; the address by a variable alone."""
        os.environ["AZURITE_BLOB_STORAGE_URL"] = f"http://127.0.0.1:{self.port}"
        return {"azure_storage_account_name": self.account, "azure_storage_account_key": self.key, "azure_storage_use_emulator": "true"}

    def ask(self, verb, path, query):
        """The body of a request's answer, signed as Azure's documentation says."""
        date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        path = f"/{self.account}/{urllib.parse.quote(path)}"
        text = f"{verb}\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:{date}\nx-ms-version:2021-08-06\n/{self.account}{path}"
        text += "".join(f"\n{name}:{value}" for name, value in sorted(query.items()))
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}", method=verb)
        request.add_header("x-ms-date", date)
        request.add_header("x-ms-version", "2021-08-06")
        request.add_header("Authorization", f"SharedKey {self.account}:{self.sign(text)}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def sign(self, text):
        return base64.b64encode(hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256).digest()).decode()

    def names(self, prefix):
        found, marker = [], ""
        while True:
            text = self.ask("GET", CONTAINER, {"restype": "container", "comp": "list", "prefix": prefix, "marker": marker}).decode()
            found += re.findall(r"<Blob><Name>(.*?)</Name>", text)
            marker = next(iter(re.findall(r"<NextMarker>(.+?)</NextMarker>", text)), "")
            if not marker:
                return found

    def get(self, name):
        return self.ask("GET", f"{CONTAINER}/{name}", {}).decode()

    def sas(self, permissions, hours=1):
        """A shared access signature of the container."""
        expiry = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = [permissions, "", expiry, f"/blob/{self.account}/{CONTAINER}", "", "", "", "2021-08-06", "c", "", "", "", "", "", "", ""]
        return urllib.parse.urlencode({"sv": "2021-08-06", "se": expiry, "sr": "c", "sp": permissions, "sig": self.sign("\n".join(fields))})


class Proxy:
    """Before a port of this machine. `lose`, `busy`: the share of requests whose answers are lost after they were carried out,
    or which are refused. At any time cut() ends all connections."""

    def __init__(self, port, seed):
        self.target, self.chance = port, random.Random(seed)
        self.lose = self.busy = 0.0
        self.lost = self.refused = self.cuts = 0
        self.lock, self.open = threading.Lock(), set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def drawn(self, share):
        with self.lock:
            return self.chance.random() < share

    def serve(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        with self.lock:
            self.open |= {client, server}
        threading.Thread(target=self.answers, args=(server, client), daemon=True).start()
        begins = re.compile(rb"(GET|PUT|DELETE) /")
        while data := self.take(client):
            if begins.match(data) and self.drawn(self.busy):
                self.refused += 1
                self.give(client, b"HTTP/1.1 503 Server Busy\r\nx-ms-error-code: ServerBusy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                break
            if not self.give(server, data):
                break
        self.end(client, server)

    def answers(self, server, client):
        while data := self.take(server):
            if data.startswith(b"HTTP/1.1 ") and self.drawn(self.lose):
                self.lost += 1
                break
            if not self.give(client, data):
                break
        self.end(client, server)

    @staticmethod
    def take(connection):
        try:
            return connection.recv(65536)
        except OSError:
            return b""

    @staticmethod
    def give(connection, data):
        try:
            connection.sendall(data)
            return True
        except OSError:
            return False

    def end(self, *connections):
        with self.lock:
            self.open -= set(connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()

    def cut(self):
        self.cuts += 1
        with self.lock:
            connections = list(self.open)
        self.end(*connections)

    def close(self):
        self.listener.close()
        self.cut()
