#!/usr/bin/env python3
"""What the pages say is true: their commands run, their SQL answers, their settings, options and links exist."""
import os
import pathlib
import re
import shlex

from user import SOURCES, UserTest, main, wait_for

PAGES = [SOURCES / "README.md", SOURCES / "CONTRIBUTING.md", *sorted((SOURCES / "docs").rglob("*.md"))]
SMALL = ["--count", "400", "--rate", "max"]
# Words that stand for the reader's own.
STAND_FOR = {"SOLUTION": "telemetry", "RUN": "telemetry", "FILE": "solutions/telemetry.yaml", "NAME": "telemetry", "SELECT …": "SELECT 1"}


def commands(text):
    """Every `tidemill …` of a page: lines of code, and code in a sentence."""
    found = []
    for line in text.splitlines():
        if match := re.match(r"^(?:#? +|)tidemill ([a-z-].*)$", line):
            if not re.search(r" {4}", match[1].split("#")[0].strip()):  # not a drawing
                found.append(match[1])
        found += re.findall(r"`tidemill ([^`]+)`", line)
    return found


def settings(markdown):
    """The paths of all settings, from their reference."""
    paths, section = set(), ""
    for line in markdown.splitlines():
        if match := re.match(r"### (.*)", line):
            section = "" if match[1] == "At the top" else match[1] + "."
        elif match := re.match(r"\| `([a-z_]+)` \|", line):
            paths.add(section + match[1])
    return paths


class Documented(UserTest):
    def run_command(self, command):
        input_file = None
        if match := re.match(r"(.*) < (\S+)$", command):
            command, input_file = match.groups()
        words = [STAND_FOR.get(word, word) for word in shlex.split(command, comments=True)]
        if words[-1] == "i/n":
            words = ["simulate", "telemetry", "--instance", "1/2", "--fresh"]
        if len(words) == 1 and words[0] in ("run", "simulate", "query", "report", "verify", "check", "schema", "connect", "stop", "clean", "show", "log", "vacuum"):
            words.append("--help")  # named, not called
        if words == ["log", "repair"]:
            words.append("--help")
        if "--steps" in words and "forever" in words:  # in a terminal of its own, until the page stops the run
            self.start(*words)
            self.wait_running(f"{words[1]}/{len([r for r in self.runs() if r.startswith(words[1] + '/')])}")
            return None
        if "--instance" in words:
            words += ["--name", "parts"]
        if words[0] in ("run", "simulate") and not {"--until-end", "--help", "--into", "forever"} & set(words):
            for option in ("--duration", "--count", "--rate"):
                if option in words:
                    del words[words.index(option):words.index(option) + 2]
            words += SMALL
        words = [{"10s": "100ms", "observe.prometheus=9400": "observe.prometheus=0"}.get(word, word) for word in words]
        data = (SOURCES / input_file).read_bytes() if input_file else None
        if words[0] == "query" and self.started:  # the pipeline in another terminal may still be creating the table
            return wait_for(command, lambda: (answer := self.ask(*words)).status == 0 and answer)
        return self.do(*words, stdin=data)

    def test_commands_of_the_pages_run(self):
        for page in PAGES + sorted((SOURCES / "solutions").glob("*.yaml")):
            self.root = f"{self.place}/{page.stem}"
            text = page.read_text()
            found = commands(text)
            if any(" query telemetry" in " " + c or "RUN" in c for c in found) and not any(c.startswith("run telemetry") for c in found):
                self.do("run", "telemetry", *SMALL, "-q")
            for command in found:
                with self.subTest(page=page.name, command=command):
                    self.run_command(command)
                if command.startswith("clean "):  # what comes next on the page is about a run that there is
                    self.do("run", "telemetry", *SMALL, "-q")
            for process in self.started:
                process.kill()
                process.communicate()
            self.started = []

    def test_the_commands_of_help_pages_run(self):
        pages = [[]] + [[name] for name in re.findall(r"^  (\w+)  ", self.do("--help").out.split("Commands:")[1].split("First")[0], re.M)]
        (pathlib.Path(self.place) / "weather.yaml").write_text((SOURCES / "examples/weather/weather.yaml").read_text())
        (pathlib.Path(self.place) / "my.yaml").write_text("event: sensor\nserve: duckdb\n")
        lines = (SOURCES / "examples/weather/weather.jsonl").read_bytes()
        for words in pages + [["log", name] for name in ("topics", "read", "follow", "produce", "repair")]:
            alone = words[:1] in ([], ["run"], ["simulate"], ["clean"])  # begins runs, or removes them
            self.root = "-".join([f"{self.place}/page", *words]) if alone else f"{self.place}/pages"
            if not alone and not os.path.exists(self.root):
                for name in ("telemetry", "relay"):
                    self.do("run", name, *SMALL, "-q")
            if words == ["vacuum"]:
                self.do("run", "eventhubs-databricks-delta", *SMALL, "-q")
            if words == ["clean"]:
                self.do("run", "telemetry", *SMALL, "-q", "--steps", "IT")
            for line in self.do(*words, "--help").out.splitlines():
                if match := re.match(r"^  tidemill ([^#<>]*?)(?: {3,}.*| *#.*| *[<>].*)?$", line):
                    command = shlex.split(match[1])
                    if command[0] == "COMMAND":
                        continue
                    if command[0] in ("run", "simulate") and "--into" not in command:
                        command = [w if w != "1000000" else "400" for w in command if w not in ("--duration", "60s")]
                        if "--steps" in command:
                            command += ["--duration", "50ms"]
                        elif "--count" not in command:
                            command += SMALL
                        if "--instance" in command:
                            command += ["--name", "parts"]
                    if command[0] == "report":
                        command = ["100ms" if w == "10s" else w for w in command] + ["--rows", "1"]
                    with self.subTest(command=" ".join(command)):
                        self.do(*command, cwd=self.place, stdin=lines)

    def test_the_sql_of_the_pages_answers(self):
        for name in ("telemetry", "relay"):
            self.do("run", name, *SMALL, "-q")
        asked = 0
        for block in re.findall(r"```sql\n(.*?)```", (SOURCES / "docs/query.md").read_text(), re.S):
            name = "relay" if "tidemill query relay" in block else "telemetry"
            for sql in block.splitlines():
                if not sql.startswith("--"):
                    with self.subTest(sql=sql):
                        self.do("query", name, sql)
                        asked += 1
        self.assertGreater(asked, 8)

    def test_whole_solutions_in_the_pages_are_right(self):
        checked = 0
        for page in PAGES:
            for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.S):
                if re.search(r"^event:", block, re.M) and re.search(r"^serve:", block, re.M):
                    with self.subTest(page=page.name, block=block):
                        self.do("check", self.write("page.yaml", block))
                        checked += 1
        self.assertGreaterEqual(checked, 2)
        for file in sorted((SOURCES / "solutions").glob("*.yaml")) + sorted((SOURCES / "examples").rglob("*.yaml")):
            self.do("check", str(file))

    def test_the_stranger_s_page_shows_its_files_and_what_comes_of_them(self):
        page = (SOURCES / "docs/your-own-data.md").read_text()
        self.assertIn((SOURCES / "examples/weather/weather.yaml").read_text(), page)
        produce, run, query, letters = [c for c in commands(page) if c.startswith(("log produce", "run", "query"))][:4]
        self.run_command(produce)
        self.run_command(run)
        stations = self.run_command(query + " --format json").json()
        self.assertEqual(sum(row["count_star()"] for row in stations), 8)
        self.assertEqual(len(self.run_command(letters + " --format json").json()), 1)
        self.do("verify", "weather")

    def test_settings_and_options_that_the_pages_name_exist(self):
        known = settings(self.do("docs", "settings").out)
        self.assertIn("ingest.log.partitions", known)
        sections = {path.rsplit(".", 1)[0] for path in known if "." in path}
        options = set(re.findall(r"--[a-z-]+", "".join(self.do(*c, "--help").out for c in (
            ["run"], ["simulate"], ["query"], ["verify"], ["report"], ["clean"], ["schema"], ["log", "read"], ["log", "produce"], ["log", "repair"], []))))
        for page in [SOURCES / "README.md", *sorted((SOURCES / "docs").glob("*.md")), *sorted((SOURCES / "docs/connectors").glob("*.md"))]:
            text = page.read_text()
            for path in re.findall(r"`((?:event|log|simulate|ingest|serve|pipeline|verify|observe|query)(?:\.[a-z_]+)+)", text):
                with self.subTest(page=page.name, setting=path):
                    topic_request = page.name == "socket.md"
                    self.assertTrue(path in known or path in sections or topic_request or re.search(r"\.(md|h|cc|json|duckdb)$", path), path)
            if page.name in ("coming-from-streaming-at-scale.md", "your-own-data.md", "query.md", "solution-file.md"):
                for option in re.findall(r"`(--[a-z-]+)", text):
                    with self.subTest(page=page.name, option=option):
                        self.assertIn(option, options)

    def test_links_lead_somewhere(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
                if "://" not in target:
                    with self.subTest(page=page.name, target=target):
                        self.assertTrue((page.parent / target).exists())


if __name__ == "__main__":
    main()
