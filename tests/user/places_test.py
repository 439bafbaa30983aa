#!/usr/bin/env python3
"""Places that are hard on a program: full disks, read-only or forbidden directories, odd paths, no terminal."""
import json
import os
import pathlib
import pty
import random
import re
import shutil
import socket
import subprocess
import urllib.request

from user import PROGRAM, UserTest, main, wait_for

SMALL = ("--count", "1000", "--rate", "max")


class Paths(UserTest):
    def test_paths_with_spaces_quotes_and_other_letters(self):
        self.root = os.path.join(self.place, "it's a \"place\" für $HOME [x]*")
        self.assert_pass(self.do("run", "telemetry", *SMALL, "--format", "json"), 1000)
        self.assertEqual(self.rows("telemetry"), 1000)
        path = self.write("my file.yaml", "name: mine\nevent: sensor\nsimulate: {count: 100, rate: max, duplicate_every: never}\nserve: files\n")
        self.do("run", path, "--duration", "forever", "--steps", "CIDPTM", "-q")
        self.assertEqual(self.rows("mine", "files"), 100)
        self.do("clean", "--all", "--yes")

    def test_a_path_longer_than_a_socket_address(self):
        self.root = os.path.join(self.place, *["a-rather-long-name-of-a-directory"] * 20)
        process = self.start("run", "telemetry", "--rate", "500", "--duration", "forever")
        self.wait_rows("telemetry", 1)
        self.do("stop", "telemetry")
        self.end(process, status=130)

    def test_a_data_directory_given_in_every_way(self):
        self.do("--data-dir", self.place + "/one", "run", "relay", *SMALL, "-q")
        self.do("run", "relay", *SMALL, "-q", "--data-dir", self.place + "/two")
        self.do("run", "relay", *SMALL, "-q", env={"TIDEMILL_DATA_DIR": self.place + "/three"})
        self.do("run", "relay", *SMALL, "-q", env={"TIDEMILL_DATA_DIR": "four"}, cwd=self.place)
        self.do("run", "relay", *SMALL, "-q", env={"TIDEMILL_DATA_DIR": ""}, cwd=self.place)
        for name in ("one", "two", "three", "four", "tidemill-data"):
            self.assertTrue(os.path.exists(f"{self.place}/{name}/relay/1/run.json"), name)


class Forbidden(UserTest):
    def as_nobody(self, *arguments):
        """Where root runs the tests: permissions do not hold for it."""
        user = {"user": 65534, "group": 65534} if os.geteuid() == 0 else {}
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, env=self.environment(), cwd="/", timeout=60,
                              stdin=subprocess.DEVNULL, **user)
        return done

    def test_a_directory_that_must_not_be_written(self):
        os.chmod(self.place, 0o755)
        os.mkdir(self.root, 0o755)
        done = self.as_nobody("run", "relay", *SMALL) if os.geteuid() == 0 else None
        if done is None:
            os.chmod(self.root, 0o555)
            done = self.as_nobody("run", "relay", *SMALL)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(self.root, done.stderr)
        self.assertIn("Permission denied", done.stderr)

    def test_a_run_of_somebody_else(self):
        if os.geteuid() != 0:
            self.skipTest("needs root, to have two users")
        os.chmod(self.place, 0o755)
        self.do("run", "relay", *SMALL, "-q")
        for command in (["log", "topics", "relay"], ["run", "relay"], ["verify", "relay"], ["clean", "relay", "--yes"]):
            done = self.as_nobody(*command)
            self.assertEqual(done.returncode, 1, f"{command}: {done.stdout}{done.stderr}")
            self.assertIn("Permission denied", done.stderr)
            self.assertIn(self.root, done.stderr)
        self.assertEqual(self.as_nobody("status").returncode, 0)

    def test_a_data_directory_that_is_a_file(self):
        self.root = self.write("file", "")
        answer = self.ask("run", "relay", *SMALL)
        self.assertEqual(answer.status, 1, str(answer))
        self.assertIn(self.root, answer.err)


class Mounted(UserTest):
    """A small disk of its own, in a mount namespace of its own."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.root)
        probe = self.in_small_disk("true", size="1m")
        if probe.wait() != 0:
            self.skipTest("no mount namespaces here")

    def in_small_disk(self, command, size, **options):
        script = f'mount -t tmpfs -o size={size} none "{self.root}" && exec {command}' if "ro" not in options else \
            f'mount --bind "{self.root}" "{self.root}" && mount -o remount,ro,bind "{self.root}" && exec {command}'
        process = subprocess.Popen(["unshare", "-rm", "bash", "-c", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, env=self.environment(), text=True)
        self.started.append(process)
        return process

    def inside(self, process):
        return pathlib.Path(f"/proc/{process.pid}/root{self.root}")

    def test_a_read_only_data_directory(self):
        self.do("run", "relay", *SMALL, "-q")
        for command in (f"{PROGRAM} run relay --name new", f"{PROGRAM} run relay", f"{PROGRAM} log topics relay"):
            process = self.in_small_disk(command, size="", ro=True)
            output, _ = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 1, output)
            self.assertIn("Read-only file system", output)
            self.assertIn(self.root, output)

    def full_disk(self, solution, rate):
        """Fills the disk under a live run, sees it said, makes room, and expects the run to be whole."""
        command = f"exec {PROGRAM} run {solution} --count 20000 --rate {rate} --set log.segment_bytes=1MiB --set log.max_batch_bytes=1MiB " \
                  "--set event.max_bytes=256KiB --set simulate.max_batch_bytes=256KiB"
        process = self.in_small_disk(f"bash -c 'head -c 56M /dev/zero > \"{self.root}/filler\"; {command}'", size="72m")
        seen = ""
        while "No space left" not in seen and "disk" not in seen.lower():
            line = process.stdout.readline()
            self.assertTrue(line, seen)
            seen += line
        self.assertIn(self.root, seen)
        self.assertIsNone(process.poll())
        os.truncate(self.inside(process) / "filler", 0)
        output, _ = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 0, seen + output)
        self.assertIn("Verdict: PASS", output)

    def test_relay_waits_for_room_and_is_whole(self):
        self.full_disk("relay", 10000)

    def test_telemetry_waits_for_room_and_is_whole(self):
        self.full_disk("telemetry", 10000)

    def test_a_store_that_found_no_room_for_its_checkpoint_is_opened_again(self):
        # Events that do not compress; the store's own log is full at 64 MiB, and the disk then.
        lines = self.write("lines", "".join(json.dumps({"id": str(i), "blob": random.randbytes(300_000).hex()}) + "\n" for i in range(130)))
        wide = self.write("wide.yaml", "event: {fields: {id: text required, blob: text}, id: id}\ningest: {log: {partitions: 1}}\n"
                                       "process:\n  - enrich: [partition, offset]\nserve: duckdb\n")
        process = self.in_small_disk(f"bash -c 'head -c 80M /dev/zero > \"{self.root}/filler\"; {PROGRAM} log produce {wide} < {lines} && "
                                     f"exec {PROGRAM} run {wide} --until-end --set pipeline.epoch.max_events=20'", size="280m")
        seen = ""
        while "the store is opened again" not in seen:
            line = process.stdout.readline()
            self.assertTrue(line, seen)
            seen += line
        self.assertIn("No space left", seen)
        os.truncate(self.inside(process) / "filler", 0)
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, seen + output)
        self.assertIn("Verdict: PASS", output)

    def test_a_killed_run_opens_its_log_on_a_disk_that_is_full(self):
        """The room behind its segments is left, and enough to go on from."""
        run = f"{PROGRAM} run relay --count 100000 --rate 20000 --set ingest.log.partitions=1"
        process = self.in_small_disk(
            f"bash -c '{run} & while [ $(cat \"{self.root}\"/relay/1/log/*/*.log 2>/dev/null | wc -c) -lt 6000000 ]; do sleep .05; done; "
            f"kill -9 $!; wait; cat /dev/zero > \"{self.root}/filler\"; {PROGRAM} log topics relay'", size="64m")
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, output)
        self.assertNotIn("relay/1/log/topics.tmp", output)

    def test_a_disk_that_is_full_from_the_beginning(self):
        process = self.in_small_disk(f"bash -c 'head -c 2M /dev/zero > \"{self.root}/filler\"; exec {PROGRAM} run relay --count 10'", size="1m")
        output, _ = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 1, output)
        self.assertIn("No space left on device", output)
        self.assertIn(self.root, output)


class Silence(UserTest):
    def test_scrapes_and_probes_are_answered_while_a_store_does_not(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            solution = self.write("silent.yaml", "event: telemetry\ningest: {log: {partitions: 1}}\nprocess: [enrich]\nserve: {postgres: "
                                  f"{{connection: 'postgresql://u@127.0.0.1:{silent.getsockname()[1]}/x', table: t}}}}\n")
            process = self.start("run", solution, "--set", "observe.prometheus=0")
            line = ""
            while "metrics at" not in line:
                line = process.stdout.readline()
                self.assertTrue(line)
            url = line.split()[-1]
            waiting, _ = silent.accept()
            for path in ("/metrics", "/metrics", "/healthz"):
                with urllib.request.urlopen(url.replace("/metrics", path), timeout=5) as answer:
                    self.assertEqual(answer.status, 200)
            process.kill()
            process.communicate()
            waiting.close()


class Terminals(UserTest):
    def in_terminal(self, *arguments, **environment):
        """What the program writes to a terminal."""
        main_end, other_end = pty.openpty()
        process = subprocess.Popen([PROGRAM, *arguments], stdin=other_end, stdout=other_end, stderr=other_end,
                                   env=self.environment(**{"TERM": "xterm", **environment}))
        self.started.append(process)
        os.close(other_end)
        seen = b""
        while True:
            try:
                some = os.read(main_end, 65536)
            except OSError:
                break
            if not some:
                break
            seen += some
        os.close(main_end)
        process.wait(60)
        return process.returncode, seen.decode(errors="replace")

    def test_a_terminal_has_a_line_of_progress_that_is_overwritten(self):
        status, seen = self.in_terminal("run", "relay", "--count", "3000", "--rate", "2000")
        self.assertEqual(status, 0, seen)
        self.assertIn("\r\x1b[K", seen)
        self.assertIn("Verdict: PASS", seen)

    def test_no_control_characters_without_a_terminal_or_for_a_dumb_one(self):
        self.assertNotIn("\x1b", self.do("run", "relay", "--count", "3000", "--rate", "2000").out)
        _, seen = self.in_terminal("run", "relay", "--count", "3000", "--rate", "2000", TERM="dumb")
        self.assertNotIn("\x1b", seen)

    def test_no_colours_where_NO_COLOR_asks_for_none(self):
        # Dead letters are warnings, which a terminal shows in colour.
        command = ("run", "relay", "--count", "1000", "--rate", "max", "--set", "simulate.malformed=0.1")
        colour = re.compile(r"\x1b\[[0-9;]*m")
        self.assertRegex(self.in_terminal(*command)[1], colour)
        self.assertNotRegex(self.in_terminal(*command, NO_COLOR="1")[1], colour)

    def test_clean_asks_before_it_removes(self):
        self.do("run", "relay", *SMALL, "-q")
        main_end, other_end = pty.openpty()
        for answer, left in ((b"n\n", True), (b"y\n", False)):
            process = subprocess.Popen([PROGRAM, "clean", "relay"], stdin=other_end, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       env=self.environment())
            os.write(main_end, answer)
            output, _ = process.communicate(timeout=60)
            self.assertIn(b"remove? [y/N]", output)
            self.assertEqual(os.path.exists(os.path.join(self.root, "relay/1/run.json")), left)
        os.close(main_end)
        os.close(other_end)


if __name__ == "__main__":
    main()
