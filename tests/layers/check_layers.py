#!/usr/bin/env python3
"""Checks the rules of the source tree that no compiler checks. Prints each breach; exit status 1 if any.

  check_layers.py [ROOT]

Layers: a file of src/X includes only headers of X and of the modules in the DEPS line of
src/X/CMakeLists.txt (tests and fuzz targets also TEST_DEPS), and those lines stay within MAY_USE.
"""
import pathlib
import re
import sys

# What each folder of src/ may use: the table "Folders" of the design.
BELOW_PIPELINE = {"base", "event", "log", "kafka", "duck", "pg", "azure"}
CONNECTOR = BELOW_PIPELINE | {"pipeline"}
EVERYTHING_BUT_CLI = CONNECTOR | {"ingest", "process", "serve", "simulate", "observe", "verify"}
MAY_USE = {
    "base": set(),
    "event": {"base"},
    "log": {"base", "event"},
    "kafka": {"base", "event"},
    "duck": {"base", "event"},
    "pg": {"base", "event"},
    "azure": {"base"},
    "pipeline": {"base", "event", "log", "kafka"},
    "ingest": CONNECTOR,
    "process": CONNECTOR,
    "serve": CONNECTOR,
    "simulate": {"base", "event", "log", "kafka"},
    "observe": {"base", "event"},
    # Not event, log, pipeline, process, serve or simulate: verify must not share their bugs.
    "verify": {"base", "kafka", "duck", "pg", "azure"},
    "solution": EVERYTHING_BUT_CLI,
    "cli": EVERYTHING_BUT_CLI | {"solution"},
}
# In these folders everything that the OS, the clock or chance decides comes through src/base, so that
# the simulation can put its own there.
SIMULATED = {"log", "pipeline"}
SYSTEM_HEADERS = re.compile(
    r"<(fcntl\.h|unistd\.h|sys/(?!types)\w+\.h|poll\.h|fstream|filesystem|random|c?time(\.h)?)>")
SYSTEM_CALLS = re.compile(r"\b(system_clock|steady_clock|high_resolution_clock)::now\b|\bsleep_(for|until)\b|\brandom_device\b|\bfopen\b")

# Libraries whose headers stay inside the module that uses them, but for headers made to expose them.
THIRD_PARTY = re.compile(
    r"<(fmt/|spdlog/|simdjson|yaml-cpp/|absl/|duckdb|lz4|zstd|snappy|zlib|isa-l|xxhash|CLI/|librdkafka|libpq|curl/|httplib|nlohmann/)")
MADE_TO_EXPOSE = {"duck/api.h", "kafka/api.h", "pg/api.h", "azure/api.h"}

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK|NOLINT\w*|DISABLED_\w+)\b")
MAX_LINES = 800
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|(<[^>]+>))', re.MULTILINE)
# Tests and fuzz targets, which may use TEST_DEPS and the OS.
TEST = re.compile(r"_(test|fuzz)\.cc$|/testing/")


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        self.breaches = []
        self.deps = {}
        self.test_deps = {}
        self.includes = {}  # "duck/duck.h" -> list of included paths, <> kept

    def breach(self, path, text, line=None):
        place = str(path.relative_to(self.root)) if isinstance(path, pathlib.Path) else path
        self.breaches.append(f"{place}:{line}: {text}" if line else f"{place}: {text}")

    def check(self):
        for folder in sorted(p for p in (self.root / "src").iterdir() if p.is_dir()):
            self.read_deps(folder)
        sources = sorted(p for p in self.root.glob("*/**/*")
                         if p.suffix in {".cc", ".h"} and p.relative_to(self.root).parts[0] in {"src", "tests", "bench"})
        for path in sources:
            self.check_text(path)
            if path.relative_to(self.root).parts[0] == "src":
                self.check_includes(path)
        self.check_exposed()
        self.check_architecture()
        return self.breaches

    def read_deps(self, folder):
        name = folder.name
        lists = folder / "CMakeLists.txt"
        if name not in MAY_USE:
            self.breach(folder, "not a folder of the design: add it to the design, then to MAY_USE here")
            return
        if not lists.exists():
            self.breach(folder, "no CMakeLists.txt")
            return
        call = re.search(r"tidemill_module\((\w+)([^)]*)\)", lists.read_text())
        if not call or call.group(1) != name:
            self.breach(lists, f"does not call tidemill_module({name} ...)")
            return
        found = {"DEPS": set(), "TEST_DEPS": set()}
        key = None
        for word in call.group(2).split():
            if word.isupper():
                key = word
            elif key in found:
                found[key].add(word.removesuffix("_testing"))
        self.deps[name], self.test_deps[name] = found["DEPS"], found["TEST_DEPS"]
        for dep in sorted(self.deps[name] - MAY_USE[name]):
            self.breach(lists, f"{name} may not use {dep}")

    def check_text(self, path):
        data = path.read_bytes()
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            self.breach(path, f"not UTF-8: {error}")
            return
        lines = text.split("\n")
        if len(lines) - 1 > MAX_LINES:
            self.breach(path, f"{len(lines) - 1} lines; over {MAX_LINES} is a sign of two things in one file")
        if text and not text.endswith("\n"):
            self.breach(path, "no newline at the end")
        if path.suffix == ".h" and "#pragma once" not in text:
            self.breach(path, "no #pragma once")
        for number, line in enumerate(lines, 1):
            if "\t" in line or "\r" in line:
                self.breach(path, "tab or carriage return", number)
            if found := UNFINISHED.search(line):
                self.breach(path, f"{found.group(0)}: finish it, or write an issue", number)
            if path.name.endswith("_test.cc") and re.search(r"\bsleep_(for|until)\b|\bu?sleep\(", line):
                self.breach(path, "a test sleeps: wait for a condition with a bound, or drive the clock", number)

    def check_includes(self, path):
        parts = path.relative_to(self.root / "src").parts
        module, name = parts[0], "/".join(parts)
        text = path.read_text(errors="replace")
        is_test = TEST.search("/" + name) is not None
        allowed = {module} | self.deps.get(module, set()) | (self.test_deps.get(module, set()) if is_test else set())
        self.includes[name] = []
        for match in INCLUDE.finditer(text):
            line = text.count("\n", 0, match.start(1 if match.group(1) else 2)) + 1
            included = match.group(1) or match.group(2)
            self.includes[name].append(included)
            target = match.group(1)
            if target:
                other = target.split("/")[0]
                if "/" in target and other in MAY_USE and not (self.root / "src" / target).exists():
                    self.breach(path, f"includes {target}, which does not exist", line)
                elif "/" in target and other in MAY_USE and other not in allowed:
                    self.breach(path, f"{module} includes {target}, but {other} is not in its DEPS", line)
                if "/testing/" in target and not is_test:
                    self.breach(path, f"includes {target}: what is for tests stays out of the program", line)
                if module == "pipeline" and other in {"log", "kafka"} and not is_test and "changelog" not in path.name:
                    self.breach(path, f"includes {target}: pipeline reaches the log only behind its changelog", line)
            elif module in SIMULATED and not is_test and SYSTEM_HEADERS.match(included):
                self.breach(path, f"includes {included}: the OS, the clock and chance come through src/base", line)
        if module in SIMULATED and not is_test:
            for match in SYSTEM_CALLS.finditer(text):
                self.breach(path, f"{match.group(0)}: the OS, the clock and chance come through src/base",
                            text.count("\n", 0, match.start()) + 1)

    def third_party_of(self, name, seen):
        """The first third-party header that including `name` brings with it, as a chain, or None."""
        if name in seen or name in MADE_TO_EXPOSE:
            return None
        seen.add(name)
        for included in self.includes.get(name, []):
            if included.startswith("<"):
                if THIRD_PARTY.match(included):
                    return f"{name} -> {included}"
            elif chain := self.third_party_of(included, seen):
                return f"{name} -> {chain}"
        return None

    def check_exposed(self):
        reported = set()
        for name, included in sorted(self.includes.items()):
            for target in included:
                if target.startswith("<") or target.split("/")[0] in {name.split("/")[0]} or target in reported:
                    continue
                if chain := self.third_party_of(target, set()):
                    reported.add(target)
                    self.breach(f"src/{target}", f"used by {name}, but exposes a third-party header ({chain})")

    def check_architecture(self):
        page = self.root / "docs" / "architecture.md"
        if not page.exists():
            return
        text = page.read_text()
        named = set(re.findall(r"`((?:src|solutions|deploy|bench|tests|tools|docs|cmake)(?:/[\w.-]+)*)/?`", text))
        for folder in sorted(named):
            if not (self.root / folder).exists():
                self.breach(page, f"names {folder}, which does not exist")
        for folder in sorted(p for p in (self.root / "src").iterdir() if p.is_dir()):
            if f"src/{folder.name}" not in named:
                self.breach(page, f"does not name src/{folder.name}")


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]
    breaches = Tree(root).check()
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
