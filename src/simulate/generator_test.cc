#include "simulate/generator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <map>
#include <set>

#include "event/partitioner.h"
#include "simulate/testing/plans.h"

namespace tidemill::simulate {
namespace {

// What tests/golden/simulated_events.py made of the same plan, from the page alone.
struct Golden {
  std::string run;
  std::string line;
};
const Golden kGolden[] = {
#include "simulate/golden_events.inc"
};

Plan golden_plan(const std::string& run) {
  Plan plan = quiet_plan();
  if (run == "faults") {
    plan.seed = 42;
    plan.partitions = 4;
    plan.instance = 1;
    plan.instances = 2;
    plan.devices = 5;
    plan.rate_milli = 3000;
    plan.count = 41;
    plan.complex_first = 1;
    plan.duplicate_every = 3;
    plan.malformed_ppm = 250'000;
    plan.late_ppm = 200'000;
    plan.late_by_us = 1'500'000;
    plan.out_of_order_ppm = 300'000;
  } else if (run == "poisson") {
    plan.seed = static_cast<uint64_t>(-3);
    plan.partitions = 3;
    plan.devices = 7;
    plan.pacing = Pacing::kPoisson;
    plan.rate_milli = 900'000'000;
    plan.count = 1030;
    plan.values = Values::k0To1;
    plan.created_digits = 7;
    plan.device_id_format = "contoso://device-id-%d";
  } else if (run == "maximum") {
    plan.seed = 7;
    plan.partitions = 2;
    plan.instance = 2;
    plan.instances = 3;
    plan.devices = 4;
    plan.shared_devices = true;
    plan.rate_milli = 0;
    plan.duration_us = 20;
    plan.complex_count = 0;
    plan.created_digits = 3;
  } else {
    plan.profile = Profile::kSensor;
    plan.seed = 38;
    plan.partitions = 3;
    plan.pacing = Pacing::kPoisson;
    plan.rate_milli = 50'000;
    plan.count = 520;
    plan.duplicate_every = 4;
    plan.malformed_ppm = 10'000;
  }
  return plan;
}

std::string printed(const SentEvent& sent) {
  std::string value;
  for (char c : sent.value) {
    if (c == '\xff')
      value += "\\xff";
    else
      value += c;
  }
  return std::to_string(sent.event.send_us) + ' ' + std::to_string(sent.partition) + ' ' +
         std::to_string(sent.event.copies) + ' ' + std::to_string(sent.timestamp_ms) + ' ' +
         (sent.has_key ? sent.key : "-") + ' ' + value;
}

TEST(EventGenerator, MakesWhatAnIndependentProgramMakesOfThePage) {
  std::map<std::string, std::vector<std::string>> runs;
  for (const Golden& golden : kGolden) runs[golden.run].push_back(golden.line);
  ASSERT_EQ(runs.size(), 4u);
  for (const auto& [run, lines] : runs) {
    std::vector<std::string> made;
    for (const SentEvent& sent : generate(golden_plan(run))) made.push_back(printed(sent));
    size_t at = 0;  // the golden lines are a part, in order
    for (const std::string& line : lines) {
      while (at < made.size() && made[at] != line) ++at;
      ASSERT_LT(at, made.size()) << run << ": not made, or not in this order: " << line;
      ++at;
    }
  }
}

TEST(EventGenerator, SeedAndStartReproduceEveryByte) {
  Plan plan = golden_plan("faults");
  plan.count = 2000;
  const auto first = generate(plan);
  const auto second = generate(plan);
  ASSERT_EQ(first.size(), 1000u);
  for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(printed(first[i]), printed(second[i]));
  plan.seed = 43;
  const auto other = generate(plan);
  EXPECT_NE(printed(first[0]), printed(other[0]));
}

TEST(EventGenerator, TelemetryIsTheDocumentedEvent) {
  Plan plan = quiet_plan();
  plan.complex_count = 23;
  plan.devices = 10;
  plan.partitions = 4;
  plan.count = 1000;
  simdjson::dom::parser parser;
  std::set<std::string> ids;
  int temperatures = 0;
  for (const SentEvent& sent : generate(plan)) {
    simdjson::dom::object event;
    ASSERT_EQ(parser.parse(sent.value).get(event), simdjson::SUCCESS) << sent.value;
    std::vector<std::string> names;
    for (auto member : event) names.emplace_back(member.key);
    EXPECT_THAT(names, testing::ElementsAre("eventId", "complexData", "value", "deviceId",
                                            "deviceSequenceNumber", "type", "createdAt"));
    ids.emplace(std::string_view(event["eventId"]));
    int more = 0;
    for (auto member : simdjson::dom::object(event["complexData"])) {
      EXPECT_EQ(member.key, "moreData" + std::to_string(more++));
      EXPECT_GE(double(member.value), 10);
      EXPECT_LT(double(member.value), 100);
    }
    EXPECT_EQ(more, 23);
    EXPECT_EQ(std::string_view(event["deviceId"]), sent.key);
    EXPECT_EQ(uint64_t(event["deviceSequenceNumber"]), sent.event.index / 10);
    EXPECT_EQ(sent.partition, partition_for_key(sent.key, 4).value());
    temperatures += std::string_view(event["type"]) == "TEMP";
    EXPECT_NEAR(static_cast<double>(sent.value.size()), 930, 30);
  }
  EXPECT_EQ(ids.size(), 1000u);
  EXPECT_NEAR(temperatures, 500, 100);
}

TEST(EventGenerator, EveryDeviceOfEveryInstanceTakesItsTurn) {
  Plan plan = quiet_plan();
  plan.devices = 10;
  plan.instances = 3;
  plan.count = 300;
  std::map<std::string, int> turns;
  for (plan.instance = 0; plan.instance < 3; ++plan.instance) {
    for (const SentEvent& sent : generate(plan)) ++turns[sent.key];
  }
  EXPECT_EQ(turns.size(), 10u);
  EXPECT_EQ(turns["contoso-device-id-000000"], 25);  // instance 0 has 4 devices, the others 3
  EXPECT_EQ(turns["contoso-device-id-000001"], 34);
}

TEST(EventGenerator, SpoiltEventsAreWrongInFourWaysAndKeepTheirKey) {
  Plan plan = quiet_plan();
  plan.malformed_ppm = 1'000'000;
  plan.devices = 3;
  plan.count = 400;
  std::map<int, int> ways;
  simdjson::dom::parser parser;
  for (const SentEvent& sent : generate(plan)) {
    EXPECT_EQ(sent.event.fault, Fault::kMalformed);
    EXPECT_TRUE(sent.key.starts_with("contoso-device-id-00000"));
    ++ways[sent.event.spoil];
    const bool json = parser.parse(sent.value).error() == simdjson::SUCCESS;
    EXPECT_EQ(json, sent.event.spoil == 1) << sent.value;
  }
  ASSERT_EQ(ways.size(), 4u);
  for (auto [way, count] : ways) EXPECT_NEAR(count, 100, 40) << way;
}

TEST(EventGenerator, RecordsWithoutKeyGoRoundThePartitionsInTurnsOf64) {
  Plan plan = quiet_plan();
  plan.profile = Profile::kSensor;
  plan.partitions = 3;
  plan.duplicate_every = 2;
  plan.count = 500;
  auto generator = EventGenerator::create(plan, 500).value();
  int32_t record = 0;
  while (generator->next(INT64_MAX) == Schedule::Next::kEvent) {
    EXPECT_FALSE(generator->text().key.has_value());
    for (uint32_t copy = 0; copy < generator->event().copies; ++copy, ++record) {
      EXPECT_EQ(generator->partition(copy), record / 64 % 3);
    }
  }
  EXPECT_NEAR(record, 1000, 150);
}

TEST(EventGenerator, FillsTemplatesInAndKeysThem) {
  Plan plan = quiet_plan();
  plan.profile = Profile::kTemplate;
  plan.template_text = R"({"n":${counter},"d":"${device}","s":${device_counter(100)},"t":${time(unix_ms)}})";
  plan.key = "site-${int(1,2)}";
  plan.devices = 2;
  plan.instances = 2;
  plan.instance = 1;
  plan.partitions = 5;
  plan.count = 100;
  const auto events = generate(plan);
  ASSERT_EQ(events.size(), 50u);
  EXPECT_EQ(events[0].value, R"({"n":1,"d":"contoso-device-id-000001","s":100,"t":1767323045679})");
  EXPECT_EQ(events[1].value, R"({"n":3,"d":"contoso-device-id-000001","s":101,"t":1767323045681})");
  std::set<std::string> keys;
  for (const SentEvent& sent : events) {
    keys.insert(sent.key);
    EXPECT_EQ(sent.partition, partition_for_key(sent.key, 5).value());
  }
  EXPECT_THAT(keys, testing::ElementsAre("site-1", "site-2"));
}

}  // namespace
}  // namespace tidemill::simulate
