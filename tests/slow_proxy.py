"""A store that is slow: a proxy before a port of this machine."""
import socket
import threading
import time

CHUNK = 16384


class SlowProxy:
    """Of each connection it passes at most `bytes_per_s` in each direction, and every piece `delay_s` late. It holds a few
    dozen KB itself, so that who sends has to wait. Both may be set while it runs."""

    def __init__(self, port, bytes_per_s, delay_s=0.0):
        self.target, self.bytes_per_s, self.delay_s = port, bytes_per_s, delay_s
        self.passed = 0
        self.lock, self.open = threading.Lock(), set()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, CHUNK)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                return
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.open |= {client, server}
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self.forward, args=(one, other), daemon=True).start()

    def forward(self, one, other):
        try:
            while data := one.recv(CHUNK):
                time.sleep(self.delay_s + len(data) / self.bytes_per_s)
                other.sendall(data)
                with self.lock:
                    self.passed += len(data)
        except OSError:
            pass
        self.end(one, other)

    def end(self, *connections):
        with self.lock:
            self.open -= set(connections)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            connection.close()

    def close(self):
        self.listener.close()
        with self.lock:
            connections = list(self.open)
        self.end(*connections)


def peak_mb(process):
    """The most that the process had resident, in MB, once it has ended; polled, so to some milliseconds before."""
    most = 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                most = max(most, *(int(line.split()[1]) for line in status if line.startswith("VmHWM")))
        except (FileNotFoundError, ProcessLookupError, TypeError):
            pass
        time.sleep(0.02)
    return most / 1024
