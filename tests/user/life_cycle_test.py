#!/usr/bin/env python3
"""Runs from their beginning to their removal: detach, status, stop, signals, replay, rekey, clean."""
import json
import os
import pathlib
import shutil
import signal
import subprocess

from user import PROGRAM, UserTest, main, wait_for

SMALL = ("--count", "2000", "--rate", "max")


class Runs(UserTest):
    def assert_whole(self, run):
        """Of a run that was stopped: the rest is processed, and everything that was sent is there once."""
        self.do("run", run, "--steps", "P", "--until-end")
        verdict = self.verdict(self.do("verify", run, "--format", "json"))
        self.assertEqual(verdict["stored"], verdict["expected"])
        self.assertGreater(verdict["stored"], 0)

    def test_a_finished_run_is_followed_by_a_new_one_verified_by_itself(self):
        for number, count in ((1, 2000), (2, 1500)):
            answer = self.do("run", "telemetry", "--count", str(count), "--rate", "max", "--format", "json")
            self.assert_pass(answer, count)
            self.assertEqual(self.rows(f"telemetry/{number}"), count)
        self.assertEqual(self.rows("telemetry/1"), 2000)
        self.refused("run", "telemetry", "--resume", says="nothing to resume")
        runs = self.runs()
        self.assertEqual({(r, s["state"], s["verdict"]) for r, s in runs.items()},
                         {("telemetry/1", "finished", "PASS"), ("telemetry/2", "finished", "PASS")})
        self.assert_pass(self.do("run", "telemetry", *SMALL, "--fresh", "--format", "json"), 2000)
        self.assertEqual(list(self.runs()), ["telemetry/1"])

    def test_a_killed_run_goes_on_with_the_same_command(self):
        command = ("run", "telemetry", "--count", "12000", "--rate", "4000", "--format", "json")
        process = self.start(*command)
        self.wait_rows("telemetry", 1)
        process.kill()
        process.communicate()
        self.ask("verify", "telemetry")  # which looks, and finishes nothing
        self.assertEqual(self.runs()["telemetry/1"]["state"], "stopped")
        self.refused("run", "telemetry", "--count", "7000", "--rate", "4000", says="begun with other simulate options")
        self.assert_pass(self.do(*command), 12000)
        self.assertEqual(list(self.runs()), ["telemetry/1"])

    def test_two_commands_of_one_name_do_not_disturb_each_other(self):
        command = ("run", "telemetry", "--rate", "2000", "--duration", "forever")
        process = self.start(*command)
        self.wait_rows("telemetry", 1)
        self.refused(*command, says="another process simulates instance 1 of 1")
        self.refused("clean", "telemetry", "--yes", says="is running; stop it first: tidemill stop")
        self.refused("run", "telemetry", "--fresh", says="is running")
        self.do("stop", "telemetry")
        self.end(process, status=130)
        self.assert_whole("telemetry")

    def test_vacuum_removes_what_merges_have_replaced_and_nothing_a_run_needs(self):
        name = "eventhubs-databricks-delta"
        process = self.start("run", name, "--rate", "3000", "--duration", "forever", "--set", "pipeline.epoch.interval=50ms")
        table = pathlib.Path(self.root, name, "1", "rawdata")
        merged = lambda: any("OPTIMIZE" in one.read_text() for one in table.glob("_delta_log/*.json"))  # noqa: E731
        wait_for("a merge", merged)
        self.refused("vacuum", name, "--retention", "1h", says=("--retention 1h is shorter than 7d", "--no-retention-check"))
        kept = self.do("vacuum", name)
        self.assertIn("versions of the last 7d need every file", kept.out)
        now = ("--retention", "0s", "--no-retention-check")
        there = set(table.glob("**/part-*.parquet"))
        would = self.do("vacuum", name, "--dry-run", *now)
        self.assertRegex(would.out, r"would remove files: \d+, \d+ bytes")
        self.assertLessEqual(there, set(table.glob("**/part-*.parquet")))
        gone = self.do("vacuum", name, *now)
        self.assertRegex(gone.out, r"removed files: \d+, \d+ bytes")
        named = [table / line.split()[1] for line in gone.out.splitlines() if line.startswith("  ")]
        self.assertTrue(named and not any(path.exists() for path in named), gone.out)
        self.refused("vacuum", name, "--merge", "--dry-run", says="--dry-run")
        self.do("stop", name)
        self.end(process, status=130)
        self.assertRegex(self.do("vacuum", name, "--merge").out, r"merged \d+ files into 2\n")
        self.assertIn("no small files to merge", self.do("vacuum", name, "--merge").out)
        self.assert_whole(name)
        self.refused("vacuum", "telemetry", says="no run of 'telemetry'")
        self.do("run", "telemetry", *SMALL, "-q")
        self.refused("vacuum", "telemetry", says="vacuum is for Delta tables")

    def test_steps_run_one_after_another(self):
        self.do("run", "telemetry", "--steps", "T", *SMALL)
        self.assertEqual(self.rows("telemetry"), 0)
        self.do("run", "telemetry", "--steps", "P", "--until-end")
        self.assertEqual(self.rows("telemetry"), 2000)
        self.assert_pass(self.do("verify", "telemetry", "--format", "json"), 2000)
        self.assertIn("Verification by the reference's rules", self.ask("verify", "telemetry", "--rules", "reference").out)

    def test_later_commands_of_a_run_are_as_it_was_begun(self):
        self.do("run", "telemetry", "--size", "10", "--set", "serve.duckdb.table=mine", "--steps", "T", *SMALL)
        self.do("run", "telemetry", "--steps", "P", "--until-end")
        self.assertEqual(self.rows("telemetry", "mine"), 2000)
        topics = self.do("log", "topics", "telemetry", "--format", "json").json()
        self.assertEqual(len(topics), 4)  # partitions of size 10
        self.do("log", "produce", "telemetry", stdin='{"eventId": "x"}\n')
        self.refused("run", "telemetry", "--steps", "P", "--partitions", "3", says=["telemetry/1", "begun with other settings"])

    def test_a_detached_run_is_started_watched_and_stopped(self):
        answer = self.do("run", "telemetry", "--rate", "500", "--duration", "forever", "--detach")
        self.assertIn("run telemetry/1 goes on as process", answer.out)
        self.assertTrue(self.running("telemetry/1"))  # it has started when the prompt returns
        self.wait_rows("telemetry", 1)
        report = self.do("report", "telemetry", "--every", "500ms", "--rows", "2", "--format", "json")
        self.assertEqual(len(report.json()), 2)
        self.do("stop", "telemetry")
        self.assertEqual(self.runs()["telemetry/1"]["state"], "stopped")
        self.assertIn("not running", self.do("stop", "telemetry").out)
        output = pathlib.Path(self.root, "telemetry/1/output.txt").read_text()
        self.assertIn("the same command goes on where it stopped", output)
        self.assertNotIn("\x1b", output)

    def test_a_detached_run_that_cannot_start_says_so_at_the_prompt(self):
        self.do("run", "telemetry", "--steps", "I", "--duration", "1ms")
        store = pathlib.Path(self.root, "telemetry/1/store.duckdb")
        store.write_text("this is no database")
        answer = self.do("run", "telemetry", "--detach", status=1)
        self.assertIn("did not start", answer.err)
        self.assertIn("store.duckdb", answer.err)

    def test_ctrl_c_while_it_runs_ends_gracefully_and_loses_nothing(self):
        command = ("run", "telemetry", "--rate", "2000", "--duration", "forever")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process = self.start(*command)
            before = self.rows("telemetry") if self.runs() else 0
            self.wait_rows("telemetry", before + 1)
            self.interrupt(process, number)
            self.assertIn("the same command goes on where it stopped", self.end(process, status=130))
        self.assert_whole("telemetry")

    def test_ctrl_c_at_any_moment_of_a_start_leaves_a_run_that_goes_on(self):
        command = ("run", "telemetry", "--count", "3000", "--rate", "max", "--format", "json")
        for milliseconds in (1, 5, 10, 20, 40, 80, 160):
            process = self.start(*command)
            try:
                process.wait(milliseconds / 1000)
            except subprocess.TimeoutExpired:
                self.interrupt(process)
            process.communicate(timeout=60)
            self.assertIn(process.returncode, (0, 130, -signal.SIGINT))
            if process.returncode == 0:
                break
        self.do("run", "telemetry", "--fresh", *SMALL)

    def test_ctrl_c_while_it_verifies_ends_at_once_and_the_same_command_verifies(self):
        command = ("run", "telemetry", "--count", "60000", "--rate", "max")
        for number in (signal.SIGTERM, signal.SIGINT):
            process = self.start(*command)
            said = "".join(iter(process.stdout.readline, "verifying: every event is accounted for\n"))
            self.interrupt(process, number)
            said += self.end(process, status=130, seconds=20)
            self.assertIn("stopped before the verdict; the same command verifies again", said)
            self.assertEqual((self.runs()["telemetry/1"]["state"], self.runs()["telemetry/1"]["verdict"]), ("stopped", ""))
        self.assert_pass(self.do(*command, "--format", "json"), 60000)
        self.assertEqual(list(self.runs()), ["telemetry/1"])

    def test_a_second_signal_ends_at_once(self):
        process = self.start("run", "relay", "--rate", "1000", "--duration", "forever")
        self.wait_running("relay/1")
        self.interrupt(process)
        self.interrupt(process)
        process.communicate(timeout=30)
        self.assertIn(process.returncode, (130, 128 + signal.SIGINT))

    def test_steps_in_several_terminals_end_together_with_stop(self):
        processing = self.start("run", "relay", "--steps", "P", "--duration", "forever")
        self.wait_running("relay/1")
        simulator = self.start("run", "relay", "--steps", "T", "--duration", "forever")
        metrics = self.start("report", "relay", "--every", "200ms", "--format", "json")
        self.assertTrue(json.loads(metrics.stdout.readline()))
        self.do("stop", "relay")
        self.end(processing, status=130)
        self.assertIn("the same command goes on where it stopped", self.end(simulator, status=130))
        self.assertIn("run relay/1 has ended", self.end(metrics))

    def test_a_report_ends_with_its_run_and_not_with_its_first_owner(self):
        first = self.start("run", "relay", "--steps", "P", "--duration", "forever")
        self.wait_running("relay/1")
        other = self.start("run", "relay", "--steps", "P", "--duration", "forever")
        report = self.start("report", "relay", "--every", "100ms")
        self.assertIn("IncomingMessages", report.stdout.readline())
        self.interrupt(first)
        self.end(first, status=130)
        # The other takes the run over, and the report goes on with it.
        self.wait_running("relay/1")
        for _ in range(10):
            self.assertTrue(report.stdout.readline())
        self.assertIsNone(report.poll())
        self.interrupt(other)
        self.end(other, status=130)
        self.assertIn("run relay/1 has ended", self.end(report))

    def test_solutions_of_a_file_are_found_by_the_file_too(self):
        path = self.write("mine.yaml", "event: sensor\nsimulate: {count: 100, duplicate_every: never}\nserve: duckdb\n")
        self.do("run", path, "--duration", "forever", "-q")
        self.assertEqual(self.rows("mine"), 100)
        self.assertEqual(self.rows(path), 100)
        os.remove(path)
        gone = self.refused("query", "mine", "SELECT 1", says=["mine/1", "no such file"])
        self.assertIn(path, gone.err)
        self.do("status")
        self.do("clean", "mine", "--yes")


class Replay(UserTest):
    def test_a_replay_fills_a_new_table_beside_a_live_run(self):
        process = self.start("run", "telemetry", "--rate", "2000", "--duration", "forever")
        self.wait_rows("telemetry", 2000)
        answer = self.do("run", "telemetry", "--from", "earliest", "--into", "again")
        self.assertIn("into again", answer.out)
        replayed = self.rows("telemetry", "again")
        self.assertGreaterEqual(replayed, 2000)
        lost = "SELECT count(*) AS n FROM again WHERE eventId NOT IN (SELECT eventId FROM rawdata)"
        wait_for("all of them in the table too", lambda: self.do("query", "telemetry", lost, "--format", "json").json()[0]["n"] == 0)
        twice = "SELECT count(*) - count(DISTINCT eventId) AS n FROM again"
        self.assertEqual(self.do("query", "telemetry", twice, "--format", "json").json()[0]["n"], 0)

        # From a time on: only what the log took in since then.
        middle = self.do("query", "telemetry", "SELECT strftime(max(enqueuedAt), '%Y-%m-%dT%H:%M:%S.%fZ') AS t FROM again",
                         "--format", "json").json()[0]["t"]
        self.do("run", "telemetry", "--from", middle, "--into", "later")
        early = f"SELECT count(*) AS n FROM later WHERE enqueuedAt < date_trunc('milliseconds', TIMESTAMP '{middle[:-1]}')"
        self.assertEqual(self.do("query", "telemetry", early, "--format", "json").json()[0]["n"], 0)
        self.assertLess(self.rows("telemetry", "later"), self.rows("telemetry"))
        self.do("stop", "telemetry")
        self.end(process, status=130)

        # The live run noticed nothing: it goes on and is whole. A second replay finds its table filled.
        self.refused("run", "telemetry", "--from", "latest", "--into", "x", says="--from latest would replay nothing")
        self.refused("run", "telemetry", "--from", "noon", "--into", "x", says="neither earliest nor a time")
        self.refused("run", "telemetry", "--from", "earliest", "--into", "no good", says="no good")
        self.refused("run", "telemetry", "--from", "earliest", "--into", "rawdata", says="rawdata")
        # What it had still to process when it was stopped is not lost.
        self.assertEqual(self.verdict(self.ask("verify", "telemetry", "--format", "json"))["lost"], 0)
        self.do("run", "telemetry", "--steps", "P", "--until-end")
        self.do("verify", "telemetry")

    def test_a_replay_into_a_topic(self):
        self.do("run", "relay", *SMALL)
        self.do("run", "relay", "--from", "earliest", "--into", "relay-again")
        self.assertEqual(len(self.do("log", "read", "relay", "relay-again").out.splitlines()), 2000)
        self.refused("run", "relay", "--from", "earliest", "--into", "relay-in", says="relay-in")


class Unverified(UserTest):
    def test_a_run_that_nothing_can_account_for_says_so_and_is_done(self):
        counted = self.write("counted.yaml", "event: telemetry\nsimulate: {count: 500}\nprocess:\n  - sql:\n      every: 500ms\n"
                             "      query: SELECT type, count(*) AS n FROM input GROUP BY type\nserve: {duckdb: {table: stats}}\n")
        self.assertIn("verify has nothing to go by", self.do("check", counted).out)
        self.assertIn("is not verified: the rows of process.sql are no events", self.do("run", counted).out)
        self.assertGreater(self.rows("counted", "stats"), 0)
        self.assertEqual(self.runs()["counted/1"]["state"], "finished")
        self.refused("verify", "counted", says="process.sql.count")


class Lake(UserTest):
    def counted(self, table, verb="count(*)"):
        return int(self.do("query", "lake", f"SELECT {verb} AS n FROM {table}", "--format", "json").json()[0]["n"])

    def served(self, kind, options):
        self.lake = self.write("lake.yaml", "event: telemetry\nsimulate: {count: 2000, rate: max, duplicate_every: never}\n"
                               f"serve: {{{kind}: {options}}}\n")
        self.do("run", self.lake)
        return pathlib.Path(self.root, "lake/1/facts")

    def test_replays_are_tables_of_queries(self):
        for kind, options in (("parquet", "{directory: facts, roll_interval: 200ms}"), ("delta", "{table: facts}")):
            with self.subTest(kind):
                self.served(kind, options)
                self.do("run", self.lake, "--from", "earliest", "--into", "again")
                self.assertEqual((self.counted("facts"), self.counted("again")), (2000, 2000))
                self.refused("run", self.lake, "--from", "earliest", "--into", "facts/x", says=["is a path", "beside facts"])
                self.do("clean", "lake", "--yes")
                self.assertFalse(pathlib.Path(self.root, "lake/1").exists())

    def test_files_of_strangers_and_files_that_are_gone(self):
        folder = self.served("parquet", "{directory: facts, roll_interval: 200ms}")
        (folder / "part-0.parquet").write_text("a stranger's")
        asked = self.do("query", "lake", "SELECT count(*) AS n FROM facts", "--format", "json")
        self.assertEqual(asked.json()[0]["n"], 2000)
        self.assertIn("part-0.parquet", asked.err)
        answer = self.ask("verify", "lake", "--format", "json")
        verdict = self.verdict(answer)
        self.assertEqual((answer.status, verdict["stored"], verdict["lost"]), (1, 2000, 0), str(answer))
        self.assertIn("part-0.parquet", str(verdict["why"]))
        (folder / "part-0.parquet").unlink()
        # Of each partition the newest.
        newest = sorted(folder.glob("*.parquet"))[-1]
        newest.unlink()
        gone = 2000 - self.counted("facts")
        answer = self.ask("verify", "lake", "--format", "json")
        verdict = self.verdict(answer)
        self.assertEqual((answer.status, verdict["lost"], verdict["stored"]), (1, gone, 2000 - gone), str(answer))
        self.assertIn(newest.name, str(verdict["why"]))
        self.assertGreater(gone, 0)


class LongQuery(UserTest):
    def test_a_stop_ends_a_query_and_its_interval_is_done_again(self):
        text = ("event: telemetry\nsimulate: {count: 500, rate: max, duplicate_every: never}\nprocess:\n  - sql:\n      every: 500ms\n      count: n\n"
                "      query: SELECT count(*) AS n FROM input WHERE 0 < (SELECT sum(range %% 7) FROM range(%d))\nserve: {duckdb: {table: counts}}\n")
        sums = self.write("sums.yaml", text % 10**15)
        process = self.start("run", sums)
        stat = pathlib.Path(f"/proc/{process.pid}/stat")
        wait_for("the query to run", lambda: sum(int(one) for one in stat.read_text().split()[13:15]) > 2 * os.sysconf("SC_CLK_TCK"))
        self.interrupt(process)
        self.end(process, status=130, seconds=20)
        self.do("run", self.write("sums.yaml", text % 10))
        self.assertEqual(int(self.do("query", "sums", "SELECT sum(n) AS n FROM counts", "--format", "json").json()[0]["n"]), 500)


class TablesOfQueries(UserTest):
    def test_rows_go_to_a_table_with_a_key_and_verify_needs_no_reference_table(self):
        self.write("types.csv", "type,unit\nTEMP,C\n")
        text = ("event: telemetry\nsimulate: {count: 1000, rate: max, duplicate_every: never}\nprocess:\n  - sql:\n      every: 500ms\n      count: n\n"
                "      tables: {types: %s/types.csv}\n      query: |\n"
                "        SELECT unit, interval_time() AS ts, count(*) AS n FROM input LEFT JOIN types USING (type) GROUP BY ALL\n"
                "serve: {duckdb: {table: units, key: [unit, ts]}}\n")
        keyed = self.write("keyed.yaml", text % self.place)
        self.do("run", keyed)
        rows = self.do("query", "keyed", "SELECT sum(n) AS n FROM units", "--format", "json").json()[0]["n"]
        # What no table knows is NULL.
        letters = self.do("query", "keyed", "SELECT reason, decode(value) AS value FROM dead_letters", "--format", "json").json()
        self.assertEqual({one["reason"] for one in letters}, {"process.sql: unit is NULL, and the table's key has it"})
        self.assertEqual(int(rows) + sum(json.loads(one["value"])["n"] for one in letters), 1000)
        os.remove(os.path.join(self.place, "types.csv"))
        self.do("verify", "keyed")
        self.assertIn("types.csv", self.do("run", keyed, status=1).err)


class Rekey(UserTest):
    def test_copies_without_keys_are_stored_once_after_a_rekey(self):
        text = ("event: {fields: {id: text required, customer: text required, n: bigint}, id: id}\n"
                "ingest: {log: {partitions: 4}}\nprocess:\n%s  - dedup: {id: id, key: customer}\nserve: {duckdb: {table: orders}}\n")
        lines = "".join(json.dumps({"id": f"o{i % 1000}", "customer": f"c{i % 20}", "n": i}) + "\n" for i in range(4000))
        # Without it the copies are in different partitions, which the pipeline says and stops at.
        bare = self.write("bare.yaml", text % "")
        self.do("log", "produce", bare, "--key", "none", stdin=lines)
        answer = self.ask("run", bare, "--until-end")
        self.assertEqual(answer.status, 2, str(answer))
        self.assertIn("rekey", answer.err)
        keyed = self.write("keyed.yaml", text % "  - rekey: customer\n")
        for _ in range(4):
            self.do("log", "produce", keyed, "--key", "none", stdin=lines)
        self.do("run", keyed, "--until-end")
        self.assertEqual(self.rows("keyed", "orders"), 1000)


class Clean(UserTest):
    def test_removes_what_runs_made_and_nothing_else(self):
        path = self.write("files.yaml", "event: sensor\nsimulate: {count: 500, rate: max, duplicate_every: never}\nserve: {files: {directory: out}}\n"
                                        "dead_letters: {name: bad}\n")
        self.do("run", path, "--steps", "CIDPTM", "--duration", "forever", "-q")
        self.do("run", "relay", "--name", "other", *SMALL, "-q")
        own = self.write("own.yaml", "event: sensor\nsimulate: {count: 500, rate: max, duplicate_every: never}\nserve: {duckdb: {database: own.duckdb}}\n")
        self.do("run", own, "--duration", "forever", "-q")
        mine = pathlib.Path(self.root, "own/1/notes.txt")
        mine.write_text("mine")
        pathlib.Path(self.root, "readme").write_text("mine too")

        said = self.do("clean", "files", status=2)
        self.assertIn("--yes removes it", said.out)
        self.assertIn("files/1", said.out)
        self.do("clean", "files", "--yes")
        self.assertFalse(pathlib.Path(self.root, "files").exists())
        said = self.do("clean", "own/1", "--yes")
        self.assertIn("left alone: " + str(mine), said.out)
        self.assertEqual([str(p) for p in pathlib.Path(self.root, "own").rglob("*") if p.is_file()], [str(mine)])
        self.do("clean", "--all", "--yes")
        self.assertEqual(sorted(p.name for p in pathlib.Path(self.root).rglob("*") if p.is_file()), ["notes.txt", "readme"])
        self.assertIn("no runs", self.do("status").out)
        self.refused("clean", says="which run?")
        self.refused("clean", "nothing", "--yes", says="no run of 'nothing'")


class Retention(UserTest):
    def test_what_was_deleted_is_neither_lost_nor_passed_and_verify_says_what_to_do(self):
        small = {"log.segment_bytes": "1MiB", "log.max_batch_bytes": "1MiB", "event.max_bytes": "256KiB",
                 "simulate.max_batch_bytes": "256KiB", "log.retention_bytes": "2MiB"}
        self.do("run", "relay", "--steps", "CIDPT", "--count", "10000", "--rate", "8000", "-q",
                *(word for path, value in small.items() for word in ("--set", f"{path}={value}")))
        answer = self.do("verify", "relay", "--format", "json", status=1)
        verdict = self.verdict(answer)
        self.assertEqual((verdict["verdict"], verdict["lost"], verdict["unexpected"], len(verdict["why"])), ("FAIL", 0, 0, 1))
        self.assertRegex(verdict["why"][0], r"relay-in-\d: offsets 0 to \d+ were deleted by retention, .*verify earlier, or keep more \(log.retention")


class OtherVersions(UserTest):
    def test_a_run_of_another_version_or_a_damaged_one_is_named_and_left_alone(self):
        self.do("run", "relay", *SMALL, "-q")
        record = pathlib.Path(self.root, "relay/1/run.json")
        good = record.read_text()
        for text, why in ((good.replace('"format":1', '"format":9'), "another version of tidemill"), (good[:40], "not a JSON object"),
                          ("", "not a JSON object")):
            record.write_text(text)
            self.assertIn(why, self.do("status").out)
            self.assertEqual(self.runs()["relay/1"]["state"], "unusable")
            for command in (["run", "relay"], ["log", "topics", "relay"], ["verify", "relay"]):
                self.refused(*command, says=[why, "relay/1", "tidemill clean"])
        self.do("run", "relay", "--name", "new", *SMALL, "-q")
        record.write_text(good)
        self.do("verify", "relay")
        record.write_text("?")
        self.do("clean", "relay", "--yes")
        self.assertFalse(pathlib.Path(self.root, "relay").exists())

    def test_a_copied_run_is_not_taken_for_the_original(self):
        self.do("run", "relay", *SMALL, "-q")
        shutil.copytree(os.path.join(self.root, "relay"), os.path.join(self.root, "copy"))
        self.assertIn("copied or renamed", self.do("status").out)
        self.refused("log", "topics", "copy", says="move it back")

    def test_a_damaged_manifest_is_named(self):
        self.do("run", "relay", "--steps", "T", *SMALL)
        manifest = pathlib.Path(self.root, "relay/1/simulate/manifest-0.json")
        manifest.write_text(manifest.read_text()[:100])
        answer = self.ask("run", "relay", *SMALL)
        self.assertNotEqual(answer.status, 0)
        self.assertIn("manifest-0.json", answer.err)
        self.assertNotIn("bug in tidemill", answer.err)
        answer = self.ask("verify", "relay")
        self.assertNotEqual(answer.status, 0)
        self.assertIn("manifest-0.json", answer.err + answer.out)


if __name__ == "__main__":
    main()
