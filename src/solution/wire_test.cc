#include "solution/wire.h"

#include <gtest/gtest.h>

#include "solution/load.h"

namespace tidemill::solution {
namespace {

Solution load(const std::string& serve) {
  LoadRequest request{"wire.yaml",
                      "name: wire\nevent: telemetry\nprocess: [rekey: type]\nserve: " + serve + "\n",
                      {},
                      {},
                      [](const std::string&) { return std::nullopt; }};
  return load_solution(request).value().solution;
}

// What is between two pipelines is a topic, however long the last one's sink gathers for a file.
TEST(Wire, AStageBeforeFilesDoesNotWaitForThem) {
  for (const char* serve : {"{parquet: {roll_interval: 60s}}", "delta"}) {
    const Solution solution = load(serve);
    Stage rekeys, gathers, last;
    rekeys.rekeys = gathers.gathers = true;
    const auto topic = pipeline::EpochLimits{};
    for (const Stage* stage : {&rekeys, &gathers}) {
      const auto limits = pipeline_options(solution, *stage).limits;
      EXPECT_EQ(limits.interval_us, topic.interval_us) << serve;
      EXPECT_LE(limits.max_interval_us, topic.max_interval_us) << serve;
    }
    EXPECT_GT(pipeline_options(solution, last).limits.interval_us, topic.interval_us) << serve;
  }
  Solution asked = load("duckdb");
  asked.pipeline.limits.interval_us = 2'000'000;
  Stage rekeys;
  rekeys.rekeys = true;
  EXPECT_EQ(pipeline_options(asked, rekeys).limits.interval_us, 2'000'000) << "as the file says";
}

}  // namespace
}  // namespace tidemill::solution
