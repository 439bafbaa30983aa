#!/usr/bin/env python3
"""What a person sees first: help, versions, the catalogue, and what is said about mistakes."""
import json
import re
import subprocess

from user import PROGRAM, SOURCES, UserTest, main


class Help(UserTest):
    def test_nothing_at_all_shows_the_way(self):
        for words in ([], ["log"]):
            page = self.do(*words, status=2)
            self.assertIn("Commands:", page.out)
            self.assertEqual(page.err, "")

    def test_every_command_has_a_page_that_fits_a_terminal(self):
        commands = re.findall(r"^  (\w+)  ", self.do("--help").out.split("Commands:")[1].split("First steps")[0], re.M)
        self.assertIn("query", commands)
        inner = [["log", name] for name in ("topics", "read", "follow", "produce", "repair")]
        for words in [[name] for name in commands] + inner:
            page = self.do(*words, "--help").out
            self.assertIn("Usage: tidemill " + " ".join(words), page)
            for line in page.splitlines():
                self.assertLessEqual(len(line), 110, line)

    def test_version(self):
        self.assertRegex(self.do("--version").out, r"^tidemill \d+\.\d+\.\d+\n$")

    def test_what_cannot_be_understood_gets_the_nearest(self):
        self.refused("runn", says="there is no command runn; did you mean run?")
        self.refused("log", "raed", says="log: there is no command raed; did you mean read?")
        self.refused("run", "telemetry", "--szie", "4", says="run: there is no option --szie; did you mean --size?")
        self.refused("query", "telemetry", "SELECT", "1", says="'1' is one argument too many")
        self.refused("run", says="solution is required")
        self.refused("query", "x", "SELECT 1", "--format", "xml", says="'xml'; give one of table, csv, json")
        self.refused("run", "telemetry", "--fresh", "--resume", says="--fresh")


class Catalogue(UserTest):
    def test_lists_and_prints_solutions(self):
        table = self.do("solutions").out
        for name in ("relay", "sensor", "telemetry"):
            self.assertRegex(table, rf"(?m)^{name} .*exactly-once")
        self.assertIn("deviceId", self.do("solutions", "relay", "--file").out)
        self.assertRegex(self.do("solutions", "relay").out, r"\n  10 +simulate.rate 10000")
        names = {"archive", "eventhubs-databricks-azuresql", "eventhubs-databricks-delta", "eventhubskafka-flink-eventhubskafka",
                 "hdinsightkafka-flink-hdinsightkafka", "kafka-duckdb", "relay", "relay-kafka", "sensor", "sql-server-bdc-sensor", "telemetry", "telemetry-postgres"}
        listed = json.loads(self.do("solutions", "--format", "json").out)
        self.assertEqual(names, {s["name"] for s in listed if s["available"]})
        missing = {s["name"] for s in listed if not s["available"]}
        self.assertIn("eventhubs-functions-cosmosdb", missing)
        for name in missing:
            self.assertRegex(table, rf"(?m)^{name} ")

    def test_is_inside_of_the_program(self):
        self.assertIn("telemetry", self.do("solutions", cwd=self.place).out)
        self.assertIn("exactly-once", self.do("check", "telemetry", cwd=self.place).out)

    def test_an_unknown_one_gets_the_nearest(self):
        self.refused("run", "telemtry", says="no solution is called telemtry; did you mean telemetry?")
        self.refused("run", "orders.yaml", says="orders.yaml: no such file")
        for command in ("run", "check", "show", "solutions"):
            self.refused(command, "eventhubs-functions-cosmosdb",
                         says=["needs a Cosmos DB sink, which Tidemill does not have yet", "closest today: tidemill run kafka-duckdb"])

    def test_check_explains_the_guarantee_and_leaves_nothing(self):
        before = set(subprocess.run(["ls", self.place], capture_output=True, text=True).stdout.split())
        self.assertIn("guarantee: exactly-once\n", self.do("check", "relay").out)
        self.assertIn(f"-> DuckDB table rawdata in {self.root}/telemetry/<number>/store.duckdb\n", self.do("check", "telemetry").out)
        weaker = self.do("check", "relay", "--set", "log.durability=none").out
        self.assertIn("guarantee: exactly-once, within the limits below", weaker)
        self.assertEqual(len(re.findall("  ! durability: none: a power cut may lose", weaker)), 1, weaker)
        after = set(subprocess.run(["ls", self.place], capture_output=True, text=True).stdout.split())
        self.assertEqual(before, after)

    def test_check_says_when_rows_are_visible(self):
        text = "event: sensor\nsimulate: {rate: 10, count: 10}\nprocess: [%s]\nserve: {parquet: {directory: t, roll_interval: 2s}}\n"
        for steps, delay in (("", "2s"), ("{sql: {every: 500ms, query: 'SELECT count(*) AS n FROM input', count: n}}", "500ms")):
            self.assertIn(f" visible to readers after up to {delay}\n", self.do("check", self.write("t.yaml", text % steps)).out)

    def test_check_says_which_server_does_not_answer(self):
        nowhere = {"POSTGRES_URL": "postgresql://me:hush_hush@127.0.0.1:1/mine", "KAFKA_BROKERS": "127.0.0.1:1"}
        said = self.do("check", "telemetry-postgres", env=nowhere).out
        self.assertIn("  ! the store could not be asked: ", said)
        self.assertNotIn("hush_hush", said)
        self.assertIn("  ! the cluster could not be asked: ", self.do("check", "kafka-duckdb", env=nowhere).out)

    def test_a_target_is_checked_kept_and_not_changed_on_the_way(self):
        name = "hdinsightkafka-flink-hdinsightkafka"
        self.assertIn("log in in place of Kafka on HDInsight", self.do("check", name).out)
        self.assertIn("Kafka in in place of Kafka on HDInsight", self.do("check", name, "--target", "local", env={"KAFKA_BROKERS": "127.0.0.1:1"}).out)
        self.refused("check", name, "--target", "lokal", says="--target lokal: targets: no such target; give one of embedded, local")
        self.do("run", name, "--count", "10", "--rate", "max", "-q", "--steps", "T")
        self.refused("run", name, "--target", "local", says="was begun with --target embedded")
        self.do("run", name, "-q")

    def test_schema_prints_the_tables_of_the_store(self):
        own = self.do("schema", "telemetry").out
        for text in ('CREATE TABLE "rawdata" (\n  "eventId" VARCHAR NOT NULL,', '-- what each pipeline has committed\n', "tidemill_positions"):
            self.assertIn(text, own)
        self.assertIn("PARTITION BY HASH", self.do("schema", "eventhubs-databricks-azuresql", "--target", "local").out)
        self.assertIn("`complexData` STRUCT<`moreData0`: DOUBLE,", self.do("schema", "relay-kafka", "--dialect", "spark").out)
        self.assertIn('"createdAt" timestamp with time zone', self.do("schema", "relay", "--dialect", "postgres").out)
        table = self.do("schema", "eventhubs-databricks-delta").out
        self.assertIn("\n)\nUSING DELTA\nPARTITIONED BY (`type`)\nLOCATION '/", table)
        self.assertIn("/eventhubs-databricks-delta/<number>/rawdata';", table)
        files = self.do("schema", "sql-server-bdc-sensor", "--dialect", "spark").out
        self.assertRegex(files, r"\n\)\nUSING PARQUET\nLOCATION '/.*/sql-server-bdc-sensor/<number>/sensor_data';")
        self.refused("schema", "relay", says="which has no tables; --dialect duckdb, postgres or spark")

    def test_connect_names_the_store_of_a_run(self):
        self.do("run", "telemetry", "--count", "10", "--rate", "max", "-q")
        self.assertEqual(self.do("connect", "telemetry").out, f"duckdb -readonly {self.root}/telemetry/1/store.duckdb\n")
        self.refused("connect", "nothing", says="no run of 'nothing'")

    def test_show_says_where_each_value_comes_from(self):
        shown = json.loads(self.do("show", "telemetry", "--size", "10", "--set", "pipeline.tasks=1", "--format", "json").out)
        origin = {s["path"]: (s["value"], s["origin"]) for s in shown["settings"]}
        self.assertEqual(str(origin["simulate.rate"][0]), "10000")
        self.assertIn("size 10", origin["simulate.rate"][1])
        self.assertIn("--set", origin["pipeline.tasks"][1])
        self.assertEqual(origin["pipeline.retry.first"][1], "default")


class Settings(UserTest):
    def test_wrong_values_are_refused_with_what_would_be_right(self):
        for arguments, says in [
            (["--size", "7"], "--size 7: sizes: no such size; give one of 1, 5, 10, max"),
            (["--count", "-5"], '--count -5: simulate.count: "-5" is too small'),
            (["--count", "99999999999999999999"], "is not a whole number"),
            (["--rate", "-1"], "is not events per second"),
            (["--rate", "fast"], "is not events per second"),
            (["--duration", "0"], '--duration 0: duration: "0" is too small'),
            (["--duration", "10"], '"10" has no unit'),
            (["--partitions", "0"], "give 1 to 1024"),
            (["--tasks", "1000"], "give 1 to 256"),
            (["--instances", "100000"], "simulate.instances"),
            (["--steps", "XYZ"], "--steps: 'XYZ'"),
            (["--steps", ""], "--steps"),
            (["--name", "../x"], "is not a name for a run"),
            (["--name", "a b"], "is not a name for a run"),
            (["--set", "nothing"], "--set nothing: give a setting and its value"),
            (["--set", "pipeline.taks=3"], "did you mean pipeline.tasks?"),
            (["--set", "taks=3"], "did you mean pipeline.tasks?"),
            (["--set", "simulate.duplicate_every=1"], "simulate.duplicate_every"),
            (["--set", "process.dedup.last=many"], "process.2.dedup.last"),
            (["--set", "pipeline.validate=perhaps"], "pipeline.validate"),
            (["--set", "log.segment_bytes=9EB"], "log.segment_bytes"),
            (["--set", "observe.prometheus=70000"], "observe.prometheus"),
            (["--set", "serve.duckdb.table=x"], "serves to log"),
            (["--from", "earliest"], "--from and --into go together"),
        ]:
            with self.subTest(arguments=arguments):
                self.refused("run", "relay", *arguments, says=says)
        self.assertEqual(self.runs(), {})

    def test_all_wrong_options_are_said_at_once(self):
        self.refused("check", "relay", "--set", "simulate.rate=fast", "--set", "pipeline.tasks=no",
                     says=["simulate.rate: ", "pipeline.tasks: "])


class BadFiles(UserTest):
    def test_all_mistakes_at_once_each_with_line_path_and_remedy(self):
        path = self.write("bad.yaml", "event: telemetri\n"
                                      "simulate:\n"
                                      "  rate: quick\n"
                                      "  devises: 5\n"
                                      "serve:\n"
                                      "  duckdb: {tabel: x}\n"
                                      "pipeline: {tasks: 0.5}\n")
        answer = self.refused("check", path, says=[])
        for line, words in [(1, ["event", "did you mean telemetry?"]), (3, ["simulate.rate", "give a number"]),
                            (4, ["simulate.devises", "did you mean devices?"]), (6, ["tabel", "did you mean table?"]),
                            (7, ["pipeline.tasks"])]:
            said = [entry for entry in answer.err.splitlines() if f"bad.yaml:{line}: " in entry]
            self.assertEqual(len(said), 1, answer.err)
            for word in words:
                self.assertIn(word, said[0])

    def test_fields_inside_of_objects_are_named_by_their_paths(self):
        path = self.write("wind.yaml", "event:\n  fields:\n    wind: {speed: double, from: integer}\nserve: duckdb\n")
        self.refused("check", path, says="wind.yaml:3: event.fields.wind: a field inside of an object is named by its path; give wind.speed:")

    def test_a_solution_that_simulates_nothing_says_so(self):
        path = self.write("mine.yaml", "event: {fields: {temp: double}}\nserve: duckdb\n")
        self.refused("simulate", path, says="mine simulates nothing; add a section simulate")

    def test_files_that_are_no_solution_are_refused(self):
        for name, text, says in [("empty.yaml", "", "empty.yaml"), ("list.yaml", "- a\n- b\n", "list.yaml:1"),
                                 ("tab.yaml", "event:\n\tfields: {}\n", "tab.yaml:2"),
                                 ("twice.yaml", "event: telemetry\nevent: sensor\n", "twice.yaml:2"),
                                 ("open.yaml", "event: {fields: {a: text\n", "open.yaml:")]:
            with self.subTest(name=name):
                self.refused("check", self.write(name, text), says=says)
        self.refused("check", self.place + "/nowhere.yaml", says="no such file")

    def test_values_come_from_the_environment(self):
        path = self.write("env.yaml", "event: sensor\nserve: {duckdb: {table: \"${TABLE}\"}}\nsimulate: {rate: \"${RATE:-250}\"}\n")
        self.refused("check", path, says=["env.yaml:2", "TABLE"])
        shown = json.loads(self.do("show", path, "--format", "json", env={"TABLE": "mine"}).out)
        values = {s["path"]: str(s["value"]) for s in shown["settings"]}
        self.assertEqual((values["serve.duckdb.table"], values["simulate.rate"]), ("mine", "250"))
        secret = self.write("secret.yaml", "event: sensor\nserve: {duckdb: {table: \"${MY_TOKEN}\"}}\n")
        self.assertNotIn("hush_hush", self.do("show", secret, env={"MY_TOKEN": "hush_hush"}).out)


class References(UserTest):
    def test_the_schema_for_editors_is_the_programs_own(self):
        schema = self.do("docs", "schema").out
        self.assertEqual(schema, (SOURCES / "solutions/solution.schema.json").read_text())
        self.assertIn("$schema", json.loads(schema))

    def test_the_page_of_settings_is_the_programs_own(self):
        self.assertIn(self.do("docs", "settings").out.strip(), (SOURCES / "docs/solution-file.md").read_text())


class Completion(UserTest):
    def complete(self, *words):
        """What bash offers for the last word."""
        script = self.write("completion", self.do("completion", "bash").out)
        bash = f"""PATH={PROGRAM.rsplit('/', 1)[0]}:$PATH; source {script}
COMP_WORDS=({' '.join(f"'{w}'" for w in ('tidemill',) + words)}); COMP_CWORD={len(words)}
_tidemill; printf '%s\\n' "${{COMPREPLY[@]}}\""""
        done = subprocess.run(["bash", "-c", bash], capture_output=True, text=True, env=self.environment(), cwd=self.place)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_bash_completes_commands_options_and_names(self):
        self.assertEqual(self.complete("sol"), ["solutions"])
        self.assertIn("--size", self.complete("run", "--si"))
        self.assertEqual(self.complete("run", "tele"), ["telemetry", "telemetry-postgres"])
        self.assertEqual(self.complete("log", "fol"), ["follow"])
        self.assertIn("--partition", self.complete("log", "read", "--par"))
        self.do("run", "relay", "--name", "mine", "--count", "10", "-q")
        self.assertEqual(self.complete("query", "mi"), ["mine"])
        self.assertEqual(self.complete("log", "topics", "mi"), ["mine"])

    def test_zsh_has_its_script(self):
        self.assertTrue(self.do("completion", "zsh").out.startswith("#compdef tidemill\n"))


if __name__ == "__main__":
    main()
