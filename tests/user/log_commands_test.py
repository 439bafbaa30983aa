#!/usr/bin/env python3
"""tidemill log: what comes in from standard input, what can be seen, damage and its repair."""
import json
import pathlib
import subprocess

from user import PROGRAM, SOURCES, UserTest, main, wait_for

ORDERS = ("event: {fields: {id: text required, customer: text, amount: double}, id: id, key: customer}\n"
          "ingest: {log: {partitions: 3}}\nprocess:\n  - enrich: [partition, offset]\nserve: {duckdb: {table: orders}}\n")


class Produce(UserTest):
    def setUp(self):
        super().setUp()
        self.orders = self.write("orders.yaml", ORDERS)

    def produce(self, lines, *more, **options):
        return self.do("log", "produce", self.orders, *more, stdin=lines, **options)

    def test_lines_become_rows_and_bad_ones_dead_letters(self):
        good = [json.dumps({"id": f"o{i}", "customer": f"c{i % 5}", "amount": i / 4}) for i in range(500)]
        bad = ["not json", '{"id": 5, "customer": "c1"}', '{"customer": "c1"}', '{"id": "x", "amount": "much"}', '{"id": "cut', "[1]"]
        answer = self.produce("\n".join(good + bad) + "\r\n\n")
        self.assertIn("506 events into orders of run orders/1", answer.out)
        self.assertIn("have no customer", answer.out)
        self.do("run", self.orders, "--until-end")
        self.assertEqual(self.rows("orders", "orders"), 500)
        letters = self.do("query", "orders", "SELECT reason, decode(value) AS value FROM dead_letters", "--format", "json").json()
        self.assertEqual(sorted(letter["value"] for letter in letters), sorted(bad))
        self.assertTrue(all(letter["reason"] for letter in letters))
        self.do("verify", "orders")

    def test_what_no_step_reads_is_kept_and_verified(self):
        lines = ['{"id": "a", "customer": "c", "amount": 1, "note": [1.0, null]}', '{"id": "b", "amount": "much"}',
                 '{"id": "c", "id": "d", "partition": "its own"}']
        for name, serve in (("kept", "log: {topic: out}"), ("files", "files: {directory: out}")):
            solution = self.write(name + ".yaml", ORDERS[:ORDERS.index("process")] + "serve: {" + serve + "}\n")
            self.do("log", "produce", solution, stdin="\n".join(lines))
            self.do("run", solution, "--until-end", "--steps", "CIDP")
            self.assertIn("Verdict: PASS", self.do("verify", solution).out)
        stored = self.do("log", "read", "kept", "out", "--format", "json").json()
        self.assertCountEqual([event["value"] for event in stored], lines)

    def test_the_key_chooses_the_partition_and_keeps_the_order(self):
        self.produce("".join(json.dumps({"id": str(i), "customer": f"c{i % 5}"}) + "\n" for i in range(1000)))
        events = self.do("log", "read", "orders", "orders", "--format", "json").json()
        places, last = {}, {}
        for event in events:
            value = json.loads(event["value"])
            self.assertEqual(event["key"], value["customer"])
            self.assertEqual(places.setdefault(event["key"], event["partition"]), event["partition"])
            self.assertGreater(int(value["id"]), last.get(event["key"], -1))
            last[event["key"]] = int(value["id"])
        self.produce('{"id": "a"}\n', "--key", "id")
        self.produce('{"id": "b"}\n', "--key", "none")
        self.assertCountEqual([e["key"] for e in self.do("log", "read", "orders", "orders", "--format", "json").json()
                               if json.loads(e["value"])["id"] in ("a", "b")], ["a", None])

    def test_what_else_an_event_holds_is_no_matter_to_its_key(self):
        odd = ['{"id": "%s", "n": 123456789012345678901234567890, "customer": "c1"}', '{"id": "%s", "n": 1e400, "customer" : "c1" }',
               '{"id": "%s", "\\u0063ustomer": "\\u0063\\u0031", "customer": "c2"}', '{"n": [{"customer": -1e-999}], "id": "%s", "customer": "c1"}']
        solution = self.write("deduped.yaml", ORDERS.replace("[partition, offset]", "[partition, offset]\n  - dedup"))
        lines = ['{"id": "first", "customer": "c1"}', *(text % f"o{i}" for i, text in enumerate(odd)), '{"id": "last", "customer": "c1"}']
        self.assertNotIn("no customer", self.do("log", "produce", solution, stdin="\n".join(lines + lines)).out)
        self.do("run", solution, "--until-end", "--steps", "P")
        rows = self.do("query", "deduped", "SELECT id, customer FROM orders ORDER BY \"offset\"", "--format", "json").json()
        self.assertEqual([row["id"] for row in rows], ["first", "o0", "o1", "o2", "o3", "last"])
        self.assertEqual({row["customer"] for row in rows}, {"c1"})

    def test_a_record_under_another_key_is_a_dead_letter_of_dedup(self):
        for fields in ("partition, offset", "enqueuedAt"):
            solution = self.write("deduped.yaml", ORDERS.replace("[partition, offset]", f"[{fields}]\n  - dedup"))
            self.do("log", "produce", solution, "--key", "none", stdin='{"id": "keyless", "customer": "c1"}\n')
            self.do("log", "produce", solution, "--key", "id", stdin='{"id": "c2", "customer": "c1"}\n')
            self.do("log", "produce", solution, stdin='{"id": "o1", "customer": "c1"}\n{"id": "o1", "customer": "c1"}\n')
            self.do("run", solution, "--until-end")
            letters = self.do("query", "deduped", "SELECT reason FROM dead_letters ORDER BY reason", "--format", "json").json()
            self.assertEqual([letter["reason"].split(",")[0] for letter in letters], ['the record has no key', 'the record has the key "c2"'])
            verdict = self.verdict(self.do("verify", "deduped", "--format", "json"))
            self.assertEqual((verdict["stored"], verdict["dead_letters"], verdict["dropped"]), (1, 2, 1))
            self.do("clean", "deduped", "--yes")

    def test_lines_of_a_slow_writer_are_not_kept_back(self):
        writer = self.start("log", "produce", self.orders, stdin=subprocess.PIPE)
        writer.stdin.write('{"id": "first"}\n')
        writer.stdin.flush()
        wait_for("the first line", lambda: "first" in self.ask("log", "read", "orders", "orders").out)
        writer.stdin.write('{"id": "last, without a line end"}')
        output, _ = writer.communicate(timeout=60)
        self.assertIn("2 events", output)

    def test_events_beyond_a_mebibyte(self):
        def line(size):
            return json.dumps({"id": "x" * size, "customer": "c"}) + "\n"
        self.produce(line(900_000) + line(1_100_000) + line(5_000_000) + line(10))
        self.do("run", self.orders, "--until-end")
        self.assertEqual(self.rows("orders", "orders"), 2)
        reasons = self.do("query", "orders", "SELECT reason FROM dead_letters", "--format", "json").json()
        self.assertEqual(len(reasons), 2)
        self.assertIn("1048576", reasons[0]["reason"].replace(",", ""))
        self.do("verify", "orders")
        # Of a store without positions the contents are compared.
        plain = self.write("plain.yaml", ORDERS.replace("partition, offset", "enqueuedAt"))
        self.do("log", "produce", plain, stdin=line(900_000) + line(1_100_000) + line(10))
        self.do("run", plain, "--until-end")
        verdict = self.verdict(self.do("verify", "plain", "--format", "json"))
        self.assertEqual((verdict["expected"], verdict["stored"], verdict["dead_letters"]), (2, 2, 1))
        # What does not even fit into a batch is refused, and what came before it is in the log.
        answer = self.refused("log", "produce", self.orders, says=["line 3 is longer", "2 events before it are in the log"],
                              stdin='{"id": "a"}\n{"id": "b"}\n' + "y" * 9_000_000 + "\n")
        self.assertEqual(len(self.do("log", "read", "orders", "orders").out.splitlines()), 6, str(answer)[:500])

    def test_an_unknown_topic_gets_those_that_there_are(self):
        self.refused("log", "produce", self.orders, "--topic", "ordres", stdin="{}\n", says=["no topic ordres", "orders"])
        self.refused("log", "read", "orders", "nothing", says=["no topic nothing", "orders"])

    def test_nothing_at_all(self):
        self.assertIn("0 events", self.produce("").out)


class Read(UserTest):
    def setUp(self):
        super().setUp()
        self.do("run", "relay", "--count", "1000", "--rate", "max", "-q")

    def test_topics_offsets_and_sizes(self):
        topics = self.do("log", "topics", "relay", "--format", "json").json()
        self.assertEqual({t["topic"] for t in topics}, {"relay-in", "relay-out", "relay-dead-letters"})
        self.assertEqual(sum(t["last_stable"] for t in topics if t["topic"] == "relay-in") >= 1000, True)
        self.assertIn("__transactions", self.do("log", "topics", "relay", "--all").out)

    def test_from_an_offset_a_time_or_an_end(self):
        def read(*more):
            return self.do("log", "read", "relay", "relay-in", "--format", "json", *more).json()
        everything = read()
        self.assertEqual(read("--from", "earliest"), everything)
        self.assertEqual(read("--from", "latest"), [])
        self.assertEqual(read("--partition", "1", "--from", "10", "--max", "1")[0]["offset"], 10)
        later = read("--from", everything[-1]["timestamp"])
        self.assertTrue(later and all(e["timestamp"] >= everything[-1]["timestamp"] for e in later))
        self.assertEqual(read("--from", "2999-01-01T00:00:00Z"), [])
        self.refused("log", "read", "relay", "relay-in", "--from", "noon", says="'noon' is neither an offset")
        self.refused("log", "read", "relay", "relay-in", "--partition", "9", says="has no partition 9; give one from 0 to 1")
        self.assertIn("count", self.do("log", "read", "relay", "relay-out", "--format", "batches").out)

    def test_output_to_a_pipe_that_closes_ends_quietly(self):
        for command in ("log read relay relay-out", "log follow relay relay-out --from earliest"):
            piped = subprocess.run(["bash", "-c", f"set -o pipefail; {PROGRAM} {command} | head -n 2"], capture_output=True,
                                   text=True, env=self.environment(), timeout=60)
            self.assertEqual(len(piped.stdout.splitlines()), 2)
            self.assertIn(piped.returncode, (0, 141))
            self.assertEqual(piped.stderr, "")

    def test_a_run_whose_output_is_closed_ends_gracefully(self):
        piped = subprocess.run(["bash", "-c", f"{PROGRAM} run relay --name piped --rate 500 --duration forever "
                                "--set observe.report_interval=1s | head -n 1"], capture_output=True, text=True,
                               env=self.environment(), timeout=60)
        self.assertEqual(piped.stderr, "")
        self.assertEqual(self.runs()["piped/1"]["state"], "stopped")

    def test_follow_shows_what_comes(self):
        follower = self.start("log", "follow", "relay", "relay-in", "--max", "3")
        self.wait_running("relay/1")
        self.do("log", "produce", "relay", stdin='{"a":1}\n{"a":2}\n{"a":3}\n')
        self.assertEqual(len(self.end(follower).splitlines()), 3)


class Repair(UserTest):
    def test_damage_is_shown_and_cut_on_request(self):
        self.do("run", "relay", "--steps", "T", "--count", "3000", "--rate", "max", "--set", "simulate.max_batch_bytes=64KiB", "-q")
        self.assertIn("no damage found", self.do("log", "repair", "relay").out)
        segment = next(pathlib.Path(self.root, "relay/1/log/relay-in-0").glob("*.log"))
        damaged = bytearray(segment.read_bytes())
        damaged[len(damaged) // 2] ^= 0x40
        segment.write_bytes(damaged)
        answer = self.ask("log", "read", "relay", "relay-in")
        self.assertNotEqual(answer.status, 0)
        self.assertIn(segment.name, answer.err)
        self.assertIn("tidemill log repair", answer.err)
        self.assertNotIn("bug in tidemill", answer.err)

        shown = self.do("log", "repair", "relay", status=1)
        self.assertIn(segment.name, shown.out)
        self.assertIn("a cut loses offsets", shown.out)
        self.assertEqual(segment.read_bytes(), bytes(damaged))
        self.do("log", "repair", "relay", "--cut")
        self.assertIn("no damage found", self.do("log", "repair", "relay").out)
        left = len(self.do("log", "read", "relay", "relay-in").out.splitlines())
        self.assertGreater(left, 1000)
        self.assertLess(left, 3000)
        # The loss is not hidden by the repair.
        self.do("run", "relay", "--steps", "P", "--until-end")
        self.do("verify", "relay", status=1)


if __name__ == "__main__":
    main()
