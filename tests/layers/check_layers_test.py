#!/usr/bin/env python3
"""Plants one breach of each kind in a small tree and expects that check_layers finds it: and only it."""
import pathlib
import tempfile
import unittest

from check_layers import Tree

CLEAN = {
    "src/base/CMakeLists.txt": "tidemill_module(base LIBS fmt::fmt)\n",
    "src/base/result.h": "#pragma once\n#include <string>\n",
    "src/event/CMakeLists.txt": "tidemill_module(event DEPS base)\n",
    "src/event/batch.h": '#pragma once\n#include "base/result.h"\n',
    "src/event/batch.cc": '#include "event/batch.h"\n#include <fmt/format.h>\n',
    "src/log/CMakeLists.txt": "tidemill_module(log DEPS base event TEST_DEPS simulate)\n",
    "src/log/log.h": '#pragma once\n#include "event/batch.h"\n',
    "src/log/log_test.cc": '#include "log/log.h"\n#include <unistd.h>\n#include "simulate/simulate.h"\n',
    "src/simulate/CMakeLists.txt": "tidemill_module(simulate DEPS base)\n",
    "src/simulate/simulate.h": "#pragma once\n",
    "src/verify/CMakeLists.txt": "tidemill_module(verify DEPS base duck)\n",
    "src/verify/verify.cc": '#include "duck/duck.h"\n',
    "src/duck/CMakeLists.txt": "tidemill_module(duck DEPS base)\n",
    "src/duck/duck.h": "#pragma once\n",
    "docs/architecture.md": "`src/base` `src/event` `src/log/` `src/simulate` `src/verify` `src/duck`\n",
}


class LayersTest(unittest.TestCase):
    def breaches(self, changes):
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**CLEAN, **changes}.items():
                path = pathlib.Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(text if isinstance(text, bytes) else text.encode())
            return Tree(root).check()

    def finds(self, name, text, expected):
        found = self.breaches({name: text})
        self.assertEqual(len(found), 1, found)
        self.assertIn(expected, found[0])

    def test_a_clean_tree_has_no_breach(self):
        self.assertEqual(self.breaches({}), [])

    def test_an_include_that_points_upward(self):
        self.finds("src/event/batch.cc", '#include "event/batch.h"\n#include "log/log.h"\n',
                   "src/event/batch.cc:2: event includes log/log.h")

    def test_deps_beyond_what_the_design_allows(self):
        self.finds("src/verify/CMakeLists.txt", "tidemill_module(verify DEPS base duck event)\n",
                   "verify may not use event")

    def test_verify_including_what_it_verifies(self):
        self.finds("src/verify/verify.cc", '#include "event/batch.h"\n', "verify includes event/batch.h")

    def test_test_deps_are_for_tests_only(self):
        self.finds("src/log/log.cc", '#include "simulate/simulate.h"\n', "simulate is not in its DEPS")

    def test_harnesses_stay_out_of_the_program(self):
        found = self.breaches({"src/log/log.cc": '#include "base/testing/x.h"\n',
                               "src/base/testing/x.h": "#pragma once\n"})
        self.assertEqual(len(found), 1, found)
        self.assertIn("stays out of the program", found[0])

    def test_an_include_of_nothing(self):
        self.finds("src/log/log.cc", '#include "event/nothing.h"\n', "does not exist")

    def test_a_folder_that_the_design_does_not_know(self):
        page = CLEAN["docs/architecture.md"] + "`src/util`\n"
        found = self.breaches({"docs/architecture.md": page, "src/util/CMakeLists.txt": "tidemill_module(util)\n"})
        self.assertEqual(len(found), 1, found)
        self.assertIn("src/util: not a folder of the design", found[0])

    def test_the_system_behind_the_simulations_back(self):
        self.finds("src/log/log.cc", "#include <unistd.h>\n", "come through src/base")
        self.finds("src/log/log.cc", "auto now = std::chrono::steady_clock::now();\n", "come through src/base")

    def test_a_third_party_header_that_another_module_gets_to_see(self):
        self.finds("src/event/batch.h", "#pragma once\n#include <fmt/format.h>\n", "exposes a third-party header")

    def test_unfinished_work_and_switched_off_checks(self):
        for mark in ("TO" + "DO: later", "NO" + "LINT", "TEST(A, DIS" + "ABLED_b) {}"):
            self.finds("src/log/log.cc", f"// {mark}\n", "finish it")

    def test_a_test_that_sleeps(self):
        self.finds("src/event/batch_test.cc", "std::this_thread::sleep_for(1ms);\n", "a test sleeps")

    def test_the_form_of_a_source_file(self):
        self.finds("src/log/log.cc", "\tint a;\n", "tab")
        self.finds("src/log/log.cc", b"// \xff\n", "not UTF-8")
        self.finds("src/log/log.cc", "int a;", "no newline")
        self.finds("src/log/x.h", "int a;\n", "no #pragma once")
        self.finds("src/log/log.cc", "//\n" * 801, "801 lines")

    def test_a_map_of_folders_that_rotted(self):
        page = CLEAN["docs/architecture.md"]
        self.finds("docs/architecture.md", page + "`src/gone`\n", "names src/gone")
        self.finds("docs/architecture.md", page.replace("`src/duck`", ""), "does not name src/duck")


if __name__ == "__main__":
    unittest.main()
