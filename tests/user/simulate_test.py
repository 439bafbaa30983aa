#!/usr/bin/env python3
"""The simulator as a user drives it: several processes, schedules, resumption, repetition byte for byte."""
import json
import pathlib

from user import UserTest, main, wait_for


class Simulate(UserTest):
    def values(self, run, topic):
        return sorted(self.do("log", "read", run, topic).out.splitlines())

    def manifests(self, run):
        folder = pathlib.Path(self.root, run, "simulate")
        return [json.loads(path.read_text()) for path in sorted(folder.glob("manifest-*.json"))]

    def test_several_processes_are_one_run(self):
        command = ("simulate", "telemetry", "--count", "6000", "--rate", "6000")
        processes = [self.start(*command, "--instance", f"{i}/3") for i in (1, 2, 3)]
        for process in processes:
            self.assertIn("simulated 2,000 events", self.end(process))
        self.assertEqual(list(self.runs()), ["telemetry/1"])
        manifests = self.manifests("telemetry/1")
        self.assertEqual([m["instance"] for m in manifests], [0, 1, 2])
        for shared in ("seed", "start_us", "start_offsets"):
            self.assertEqual(len({json.dumps(m[shared]) for m in manifests}), 1, shared)
        self.refused(*command, "--instance", "4/3", says="i/n with i from 1 to n")
        self.refused(*command, "--instance", "1/2", says="begun with other simulate options")
        self.do("run", "telemetry", "--steps", "P", "--until-end")
        self.assert_pass(self.do("verify", "telemetry", "--format", "json"), 6000)

    def test_a_killed_process_of_several_goes_on(self):
        def command(i):
            return ("simulate", "telemetry", "--count", "8000", "--rate", "4000", "--instance", f"{i}/2")
        first, second = self.start(*command(1)), self.start(*command(2))
        wait_for("both to have sent", lambda: len(self.manifests("telemetry/1")) == 2 and
                 all(m["records_sent"] for m in self.manifests("telemetry/1")))
        first.kill()
        first.communicate()
        self.end(second)
        self.do(*command(1))
        self.do("run", "telemetry", "--steps", "P", "--until-end")
        self.assert_pass(self.do("verify", "telemetry", "--format", "json"), 8000)

    def test_seed_and_start_repeat_a_run_byte_for_byte(self):
        fixed = ("--set", "simulate.seed=7", "--set", "simulate.start=2026-01-01T00:00:00Z", "--count", "3000", "--rate", "max",
                 "--set", "simulate.malformed=0.01", "--set", "simulate.pacing=poisson")
        for name in ("one", "two"):
            self.do("simulate", "telemetry", "--name", name, *fixed)
        self.do("simulate", "telemetry", "--name", "other", *fixed, "--set", "simulate.seed=8")
        one, two, other = (self.values(name, "telemetry") for name in ("one", "two", "other"))
        self.assertGreaterEqual(len(one), 3000)
        self.assertEqual(one, two)
        self.assertNotEqual(one, other)

    def test_rate_max_ends_with_its_duration_by_the_clock(self):
        self.assertIn("simulated", self.do("simulate", "relay", "--rate", "max", "--duration", "300ms").out)

    def test_what_was_behind_its_schedule_is_said(self):
        # A start in the past: everything is overdue at once.
        answer = self.do("simulate", "relay", "--count", "3000", "--rate", "1000", "--set", "simulate.start=2026-01-01T00:00:00Z")
        self.assertRegex(answer.out, r"simulated 3,000 events .*behind")
        self.assertGreater(self.manifests("relay/1")[0]["shortfall_us"], 0)

    def test_what_is_stored_reads_in_json_as_it_was_sent(self):
        self.do("run", "telemetry", "--count", "300", "--rate", "max", "-q")
        sent = {event["eventId"]: event for event in map(json.loads, self.values("telemetry", "telemetry"))}
        stored = self.do("query", "telemetry", "SELECT eventId, value, complexData, deviceSequenceNumber FROM rawdata", "--format", "json").json()
        self.assertEqual(len(stored), 300)
        for row in stored:
            self.assertEqual(row, {name: sent[row["eventId"]][name] for name in row})

    def test_a_finished_simulation_has_nothing_left_to_send(self):
        command = ("simulate", "relay", "--count", "1000", "--rate", "max")
        self.do(*command)
        before = self.values("relay", "relay-in")
        self.assertIn("everything was sent before", self.do(*command).out)
        self.assertEqual(before, self.values("relay", "relay-in"))

    def test_a_template_of_ones_own_devices(self):
        path = self.write("pumps.yaml", "event:\n  fields: {id: text required, pump: text required, bar: double, at: timestamp}\n"
                                        "  id: id\n  key: pump\n  time: at\n"
                                        "simulate:\n  profile: template\n  devices: 5\n  duplicate_every: never\n  device_id_format: pump-%d\n"
                                        "  template: '{\"id\":\"${guid}\",\"pump\":\"${device}\",\"bar\":${gaussian(4.2,0.3,2)},\"at\":\"${time}\"}'\n"
                                        "  key: '${device}'\nserve: {duckdb: {table: pumps}}\n")
        self.assert_pass(self.do("run", path, "--count", "1000", "--rate", "max", "--format", "json"), 1000)
        row = self.do("query", "pumps", "SELECT count(DISTINCT pump) AS pumps, avg(bar) AS bar FROM pumps", "--format", "json").json()[0]
        self.assertEqual(row["pumps"], 5)
        self.assertAlmostEqual(row["bar"], 4.2, delta=0.2)
        self.write("wrong.yaml", pathlib.Path(path).read_text().replace("${device}\"", "${devcie}\""))
        self.refused("check", self.place + "/wrong.yaml", says=["there is no variable `devcie`"])


if __name__ == "__main__":
    main()
