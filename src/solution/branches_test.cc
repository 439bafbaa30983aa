#include "solution/branches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "solution/load.h"
#include "solution/wire.h"

namespace tidemill::solution {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kWhole = R"(
name: fan
event: telemetry
simulate: {rate: 1000}
pipeline: {tasks: 3}
serve: {log: {topic: clean}}
sizes:
  10: {simulate.rate: 10000, pipeline.tasks: 2}
branches:
)";

LoadRequest request_of(const std::string& branches, const std::vector<std::string>& sets = {}) {
  LoadRequest request{"fan.yaml", kWhole + branches, {}, {}, [](const std::string&) { return std::nullopt; }};
  for (const std::string& set : sets) request.overrides.push_back(*parse_set(set));
  return request;
}

std::string error_of(const LoadRequest& request) {
  auto loaded = load_solution(request);
  return loaded.ok() ? "no error" : loaded.error().message;
}

TEST(Branches, HaveWhatTheyDoNotSayFromTheFile) {
  LoadRequest request = request_of(R"(
  late: {from: clean, serve: files}
  very-hot: {process: [filter: value > 90], serve: {duckdb: {table: hot}}, pipeline: {memory: 64MiB}}
variants:
  small: {branches.late.serve.files.roll_bytes: 1MiB, branches.very-hot.pipeline.memory: 32MiB}
)");
  request.size = "10";
  request.variant = "small";
  Solution whole = load_solution(request).value().solution;
  ASSERT_EQ(whole.branches.size(), 2U);
  const Solution& late = whole.branches[0];
  EXPECT_EQ(late.name, "fan-late");
  EXPECT_EQ(input_topic(late), "clean");
  EXPECT_EQ(late.event.schema.fields.size(), whole.event.schema.fields.size());
  EXPECT_FALSE(late.simulate.enabled);
  EXPECT_EQ(late.pipeline.tasks, 2);
  EXPECT_EQ(late.serve.files.roll_bytes, 1 << 20);
  EXPECT_EQ(late.dead_letters.name, "late-dead-letters");
  const Solution& hot = whole.branches[1];
  EXPECT_EQ(hot.dead_letters.name, "dead_letters_very_hot");
  EXPECT_EQ(input_topic(hot), "fan");
  EXPECT_EQ(hot.pipeline.tasks, 0) << "the file's pipeline section is not the branch's";
  EXPECT_EQ(hot.pipeline.memory_bytes, 32 << 20);
  EXPECT_TRUE(shares_input(whole));
  EXPECT_THAT(input_topics(whole), ElementsAre("fan", "clean", "fan"));
}

TEST(Branches, OptionsNameThem) {
  Solution whole = load_solution(request_of("  hot: {serve: {duckdb: {table: hot}}}\n",
                                            {"branches.hot.serve.duckdb.table=warm", "pipeline.tasks=1"}))
                       .value()
                       .solution;
  EXPECT_EQ(whole.branches[0].serve.duckdb.table, "warm");
  EXPECT_EQ(whole.branches[0].pipeline.tasks, 1);
  EXPECT_THAT(error_of(request_of("  hot: {serve: {duckdb: {table: hot}}}\n", {"branches.cold.serve=files"})),
              HasSubstr("--set branches.cold.serve=files: branches.cold.serve: no such branch"));
  EXPECT_THAT(
      error_of(request_of("  hot: {serve: {duckdb: {table: hot}}}\n", {"branches.hot.serve.tabel=x"})),
      HasSubstr("--set branches.hot.serve.tabel=x: branches.hot.serve.tabel: no such setting"));
}

// Whatever their order in the file, each comes behind what it reads.
TEST(Branches, ComeBehindWhatTheyRead) {
  Solution whole = load_solution(request_of(R"(
  c: {from: second, serve: duckdb}
  b: {from: first, serve: {log: {topic: second}}}
  a: {serve: {log: {topic: first, partitions: 7}}}
)"))
                       .value()
                       .solution;
  std::vector<std::string> names;
  for (const Solution& branch : whole.branches) names.push_back(branch.branch);
  EXPECT_THAT(names, ElementsAre("a", "b", "c"));
  EXPECT_EQ(input_partitions(whole.branches[1]), 7);
  EXPECT_EQ(input_partitions(whole.branches[2]), 7);
}

TEST(Branches, SayWhatIsWrongWithThem) {
  EXPECT_THAT(error_of(request_of("  a: {from: nowhere, serve: duckdb}\n")),
              HasSubstr("branches.a.from: no sink of this file writes the topic nowhere"));
  EXPECT_THAT(error_of(request_of("  a: {from: tb, serve: {log: {topic: ta}}}\n"
                                  "  b: {from: ta, serve: {log: {topic: tb}}}\n")),
              HasSubstr("or it would go in a circle"));
  EXPECT_THAT(error_of(request_of("  a: {serve: {log: {topic: clean}}}\n")),
              HasSubstr("branches.a: writes topic clean, as the solution itself does"));
  EXPECT_THAT(error_of(request_of("  a: {serve: duckdb}\n  b: {serve: duckdb}\n")),
              HasSubstr("branches.b: writes table rawdata of store.duckdb, as branch a does"));
  EXPECT_THAT(error_of(request_of("  a: {serve: {log: {topic: fan}}}\n")),
              HasSubstr("branches.a: writes topic fan, which the solution reads"));
  EXPECT_THAT(
      error_of(request_of("  a: {serve: {delta: {table: t}}}\n  b: {serve: {delta: {table: ./t/}}}\n")),
      HasSubstr("branches.b: writes folder t, as branch a does"));
  EXPECT_THAT(
      error_of(request_of("  a: {serve: {delta: {table: 'abfss://data@acme.dfs.core.windows.net/t'}}}\n"
                          "  b: {serve: {delta: {table: 'https://acme.blob.core.windows.net/data/t/'}}}\n")),
      HasSubstr("branches.b: writes folder abfss://data@acme.dfs.core.windows.net/t, as branch a does"));
  EXPECT_THAT(error_of(request_of("  a: {serve: {files: {directory: t}}}\n"
                                  "  b: {serve: {parquet: {directory: t/sub}}}\n")),
              HasSubstr("branches.b: writes folder t, as branch a does"));
  EXPECT_THAT(error_of(request_of("  to-intervals: {serve: files}\n")),
              HasSubstr("branches.to-intervals: is the name of a pipeline of the solution's own"));
  EXPECT_THAT(error_of(request_of("  a: {serve: files}\n", {"branches.a.log.durability=none"})),
              HasSubstr("branches.a.log.durability: is no setting of a branch that can be changed here"));
  EXPECT_THAT(error_of(request_of("  a: {simulate: {rate: 1}, serve: duckdb}\n")),
              HasSubstr("branches.a.simulate: is no setting of a branch; there are from, event,"));
  EXPECT_THAT(error_of(request_of("  a: {process: [filter: tpye = 1], serve: duckdb}\n")),
              HasSubstr("fan.yaml:10: branches.a.process.1.filter.where: "));
  EXPECT_THAT(error_of(request_of("  a: files\n")), HasSubstr("branches.a: give a map with serve"));
  EXPECT_THAT(error_of(request_of("  a b: {serve: files}\n")), HasSubstr("branches.a b: is not a name"));
  EXPECT_THAT(error_of(request_of("  a: {}\n")), HasSubstr("branches.a.serve: is missing"));
  EXPECT_THAT(error_of(request_of("  a: {serve: files}\nvariants: {x: {branches.b.serve: files}}\n")),
              HasSubstr("variants.x.branches.b.serve: no such branch"));
  EXPECT_THAT(error_of(request_of("  [a, b]\n")), HasSubstr("branches: give a map of branches"));
}

}  // namespace
}  // namespace tidemill::solution
