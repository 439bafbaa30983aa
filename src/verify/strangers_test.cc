// A stranger's data in stores of JSON: what the pipeline keeps of it is what it must be.
#include <gtest/gtest.h>

#include <algorithm>

#include "verify/testing/planted_run.h"
#include "verify/verify.h"

namespace tidemill::verify {
namespace {

struct Sent {
  std::string value;
  std::string stored = {};  // empty: as it was sent
  std::string key = "d0";
  bool has_key = true;
};

// {id: text, dev: text, n: bigint}, of which a pipeline without steps reads the id.
class Strangers : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  Strangers() : run_(planted_manifest(), false) {
    run_.events.clear();
    run_.rows.clear();
    run_.dead.clear();
    run_.with_positions = std::get<1>(GetParam());
    run_.base.partitions = 1;
  }
  void add(const Sent& sent) {
    const auto offset = static_cast<int64_t>(run_.events.size());
    const int64_t at_ms = run_.base.start_us / 1000 + offset;
    run_.events.push_back({{}, 0, offset, at_ms, sent.key, sent.has_key, sent.value, false});
    run_.rows.push_back({{},
                         sent.stored.empty() ? sent.value : sent.stored,
                         0,
                         offset,
                         at_ms * 1000,
                         at_ms * 1000 + 5000,
                         sent.key,
                         sent.has_key});
  }
  VerifyRequest request() {
    VerifyRequest asked = std::get<0>(GetParam()) ? run_.with_files_store() : run_.with_topic_store();
    asked.manifests.clear();
    asked.fields = {{"id", {"id"}, FieldType::kText, false},
                    {"dev", {"dev"}, FieldType::kText, true},
                    {"n", {"n"}, FieldType::kBigint, true},
                    {"a.b", {"a", "b"}, FieldType::kBigint, true}};
    asked.decoded = {{"id"}};
    return asked;
  }
  bool has_keys() const { return !std::get<0>(GetParam()); }

  PlantedRun run_;
};

INSTANTIATE_TEST_SUITE_P(Stores, Strangers, ::testing::Combine(::testing::Bool(), ::testing::Bool()),
                         [](const auto& each) {
                           return std::string(std::get<0>(each.param) ? "Files" : "Topic") +
                                  (std::get<1>(each.param) ? "WithPositions" : "");
                         });

TEST_P(Strangers, WhatThePipelineDoesNotReadMustBeKept) {
  for (const char* event :
       {R"({"id":"a1","dev":"d0","n":1,"extra":5})", R"({"id":"a2","dev":"d0","n":"five"})",
        R"({"id":"a3","id":"a4","dev":"d0","n":1})", R"({"id":"a5","a":{},"n":[1,{"x":null}]})",
        R"({"id":"a6","a":7})", R"({"id":"a7","a":{"b":1,"c":2}})",
        R"({"id":"a8","x":123456789012345678901234567890,"y":[-1e400,{"z":99999999999999999999}]})",
        R"({"id":"a9","n":18446744073709551616,"say \"-1e999\"":1e999})"}) {
    add({event});
  }
  const Verdict verdict = verify(request());
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.expected, 8u);
}

TEST_P(Strangers, WhatIsChangedOrAddedIsFound) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"id":"a","n":1,"extra":5})", R"({"id":"a","n":1,"extra":6})"},
      {R"({"id":"a","n":1,"extra":5})", R"({"id":"a","n":1})"},
      {R"({"id":"a","n":1})", R"({"id":"a","n":1,"extra":5})"},
      {R"({"id":"a","n":"five"})", R"({"id":"a","n":"six"})"},
      {R"({"id":"a","id":"b"})", R"({"id":"a"})"},
      {R"({"id":"a","id":"b"})", R"({"id":"a","id":"c"})"},
      {R"({"id":"a","a":7})", R"({"id":"a","a":8})"},
      {R"({"id":"a","n":123456789012345678901234567890})",
       R"({"id":"a","n":123456789012345678901234567891})"},
      {R"({"id":"a","x":1e400})", R"({"id":"a","x":-1e400})"},
      {R"({"id":"a","x":1e400})", R"({"id":"a","x":"1e400"})"},
      {R"({"id":"a"})", R"({"id":"a","enqueuedAt":"2026-01-01T00:00:00Z"})"},
  };
  for (const auto& [sent, stored] : cases) {
    run_.events.clear(), run_.rows.clear();
    add({sent, stored});
    const Verdict verdict = verify(request());
    EXPECT_EQ(verdict.altered, 1u) << stored << '\n' << to_table(verdict);
    EXPECT_FALSE(verdict.pass);
  }
}

// Where they are written anew there is nothing else.
TEST_P(Strangers, ProjectedEventsHaveNoFurtherMembers) {
  add({R"({"id":"a1","n":1,"extra":5})", R"({"id":"a1","n":1})"});
  VerifyRequest asked = request();
  asked.decoded.reset();
  asked.projected = {"id", "n"};
  const Verdict right = verify(asked);
  EXPECT_TRUE(right.pass) << to_table(right);
  run_.rows[0].json = run_.events[0].value;
  asked = request();
  asked.decoded.reset();
  asked.projected = {"id", "n"};
  EXPECT_EQ(verify(asked).altered, 1u);
}

TEST_P(Strangers, KeysAreThoseOfTheInput) {
  add({R"({"id":"a1","dev":"d0"})"});
  add({R"({"id":"a2","dev":"d0"})", {}, "", false});
  EXPECT_TRUE(verify(request()).pass);
  for (size_t n : {0, 1}) {
    const PlantedRow kept = run_.rows[n];
    run_.rows[n].key = "X", run_.rows[n].has_key = true;
    const Verdict verdict = verify(request());
    EXPECT_EQ(verdict.altered, has_keys() ? 1u : 0u) << to_table(verdict);
    run_.rows[n] = kept;
  }
}

TEST_P(Strangers, EnqueuedAtIsTheAppendTime) {
  add({R"({"id":"a1","dev":"d0"})"});
  add({R"({"id":"a2","dev":"d0"})"});
  run_.rows[1].enqueued_us += 1;
  const Verdict verdict = verify(request());
  EXPECT_EQ(verdict.altered, 1u) << to_table(verdict);
}

TEST_P(Strangers, IdsThatAreTimesAreComparedAsTimes) {
  for (const char* id : {"2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00+01:00"})
    add({std::string(R"({"id":")") + id + R"(","dev":"d0"})"});
  run_.rows.resize(1);
  VerifyRequest asked = request();
  asked.fields[0].type = FieldType::kTimestamp;
  asked.decoded = {{"id", "dev"}};
  asked.topology.dedup.kind = DedupKind::kLastN;
  asked.topology.dedup.id_path = {"id"};
  asked.topology.dedup.key_path = {"dev"};
  const Verdict verdict = verify(asked);
  EXPECT_TRUE(verdict.pass) << to_table(verdict);
  EXPECT_EQ(verdict.dropped, 2u);
}

TEST(SimulatedEvents, KeysAndTimesOfAWrongSinkAreFound) {
  for (const bool positions : {true, false}) {
    for (const bool dedup : {true, false}) {
      PlantedRun run(planted_manifest(), dedup);
      run.with_positions = positions;
      for (PlantedRow& row : run.rows) row.key = "X" + row.key;
      Verdict keys = verify(run.with_topic_store());
      EXPECT_EQ(keys.altered, run.rows.size()) << to_table(keys);
      for (PlantedRow& row : run.rows) row.key.erase(0, 1), row.enqueued_us -= 1'000'000;
      Verdict times = verify(run.with_topic_store());
      EXPECT_GE(times.altered, 350u) << to_table(times);
      EXPECT_FALSE(times.pass);
    }
  }
}

TEST(SimulatedEvents, MayHaveAnObjectWithoutMembers) {
  Manifest manifest = planted_manifest();
  manifest.complex_count = 0;
  PlantedRun run(manifest, true);
  Verdict right = verify(run.with_topic_store());
  EXPECT_TRUE(right.pass) << to_table(right);
  right = verify(run.with_files_store());
  EXPECT_TRUE(right.pass) << to_table(right);
  std::string& json = run.rows[3].json;
  const std::string empty = R"("complexData":{},)";
  ASSERT_NE(json.find(empty), std::string::npos);
  json.erase(json.find(empty), empty.size());
  EXPECT_EQ(verify(run.with_topic_store()).altered, 1u);
}

}  // namespace
}  // namespace tidemill::verify
