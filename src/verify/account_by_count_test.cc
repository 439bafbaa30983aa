#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "verify/testing/planted_run.h"
#include "verify/verify.h"

namespace tidemill::verify {
namespace {

using ::testing::HasSubstr;

// The simulator was killed: its manifest is behind the last three events of every device.
TEST(AccountByCount, RowsMayCountEventsInDoubt) {
  PlantedRun run(planted_manifest(), false);
  constexpr size_t kBehind = 3;
  run.finished = false;
  run.ranges = [](int64_t, DeviceRange* range) {
    range->acknowledged -= kBehind;
    range->not_sent = kBehind;
  };
  std::set<EventName> doubtful;
  std::map<std::string, std::vector<EventName>> of_device;  // in send order, each once
  for (const PlantedEvent& event : run.events) {
    auto& names = of_device[event.key];
    if (std::find(names.begin(), names.end(), event.name) == names.end()) names.push_back(event.name);
  }
  for (const auto& [device, names] : of_device) doubtful.insert(names.end() - kBehind, names.end());
  run.acknowledged = [&](const PlantedEvent& event) { return !doubtful.contains(event.name); };
  PlantedRow row = run.rows.front();
  row.json = R"({"c":)" + std::to_string(run.rows.size()) + "}";
  run.rows = {row};
  run.with_counters = run.with_positions = false;
  auto judge_counts = [&] {
    VerifyRequest asked = run.with_topic_store();
    asked.topology.counts = Counts{"c", true};
    return verify(asked);
  };
  Verdict verdict = judge_counts();
  EXPECT_TRUE(verdict.pass) << to_table(verdict);

  auto event = std::find_if(run.events.begin(), run.events.end(), [&](const PlantedEvent& each) {
    return doubtful.contains(each.name) && !each.malformed;
  });
  event->value[event->value.find("\"value\":") + 9] ^= 1;
  verdict = judge_counts();
  EXPECT_FALSE(verdict.pass);
  EXPECT_EQ(verdict.lost + verdict.duplicated + verdict.unexpected, 0u) << to_table(verdict);
  EXPECT_THAT(verdict.why.front(), HasSubstr("without the records in doubt"));
}

}  // namespace
}  // namespace tidemill::verify
