#!/usr/bin/env python3
"""`make install PREFIX=…`: what it installs works from there, alone."""
import os
import pathlib
import subprocess

from user import SOURCES, UserTest, main

BUILD = os.environ.get("TIDEMILL_BUILD", str(SOURCES / "build/test"))


class Install(UserTest):
    def test_the_installed_program_stands_alone(self):
        prefix = os.path.join(self.place, "a prefix")
        subprocess.run(["cmake", "--install", BUILD, "--prefix", prefix], check=True, capture_output=True)
        files = {str(p.relative_to(prefix)) for p in pathlib.Path(prefix).rglob("*") if p.is_file()}
        for name in ("bin/tidemill", "share/tidemill/solutions/telemetry.yaml", "share/tidemill/solutions/solution.schema.json",
                     "share/bash-completion/completions/tidemill", "share/zsh/site-functions/_tidemill"):
            self.assertIn(name, files)
        # No way back to the build: neither its path in the program nor its DuckDB.
        program = os.path.join(prefix, "bin/tidemill")

        def call(*arguments):
            done = subprocess.run([program, *arguments], capture_output=True, text=True, env=self.environment(), cwd="/", timeout=60)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return done.stdout
        self.assertIn("tidemill", call("--version"))
        self.assertIn("telemetry", call("solutions"))
        self.assertIn(f"{prefix}/bin/../share/tidemill/solutions/telemetry.yaml", call("solutions", "--format", "json"))
        maps = "Verdict: PASS"
        self.assertIn(maps, call("run", "telemetry", "--count", "500", "--rate", "max"))
        self.assertIn("500", call("query", "telemetry", "SELECT count(*) FROM rawdata"))
        if "lib/tidemill/libduckdb.so" in files:
            os.rename(os.path.join(prefix, "lib/tidemill/libduckdb.so"), os.path.join(prefix, "lib/tidemill/gone"))
            done = subprocess.run([program, "query", "telemetry", "SELECT 1"], capture_output=True, text=True, env=self.environment(), cwd="/")
            # Without it there is a message, or DuckDB of the system.
            self.assertTrue(done.returncode == 0 or "libduckdb.so" in done.stderr, done.stderr)


if __name__ == "__main__":
    main()
