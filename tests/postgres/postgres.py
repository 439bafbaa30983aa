#!/usr/bin/env python3
"""The program on a real PostgreSQL.

  postgres.py contracts --contracts BINARY    the contract of the sink

Starts a server of its own (tools/postgres) and stops it.
"""
import argparse
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from program import Place  # noqa: E402

SKIPPED = 77


class Server:
    """A server in the place, its user's password in the environment of whoever asks for it."""

    def __init__(self, place):
        self.directory = os.path.join(place.path, "postgres")
        os.chmod(place.path, 0o711)  # the server's user must come through
        up = self.tool("up")
        self.missing = up.returncode == SKIPPED
        if self.missing:
            return
        if up.returncode != 0:
            raise AssertionError("tools/postgres up: " + up.stderr)
        self.url = up.stdout.split()[-1]
        self.environment = {**os.environ, "PGPASSFILE": os.path.join(self.directory, "pgpass"), "TIDEMILL_POSTGRES": self.url}

    def tool(self, *arguments):
        return subprocess.run([ROOT / "tools" / "postgres", *arguments, "--dir", self.directory], capture_output=True, text=True)


def contracts(options, place, server):
    return subprocess.run([options.contracts], env=server.environment).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["contracts"])
    parser.add_argument("--contracts", help="the test program postgres_contracts_test")
    options = parser.parse_args()
    place = Place("tidemill-postgres-")
    server = None
    try:
        server = Server(place)
        if server.missing:
            print("no PostgreSQL server on this machine; install Debian's package postgresql")
            return SKIPPED
        return contracts(options, place, server)
    finally:
        if server:
            server.tool("down")
        place.close()


if __name__ == "__main__":
    sys.exit(main())
