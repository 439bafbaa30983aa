#include "process/dedup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/testing/operator_harness.h"
#include "process/dedup_model.h"
#include "process/touch.h"

namespace tidemill::process {
namespace {

using pipeline::HarnessOutput;
using pipeline::HarnessRow;
using pipeline::OperatorCase;
using testing::HasSubstr;

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) out += c == '\0' ? std::string("\\u0000") : std::string(1, c);
  return out + "\"";
}

OperatorCase dedup_case(DedupOptions options) {
  OperatorCase test_case;
  test_case.make = [options] { return make_dedup(options); };
  test_case.schema.name = "thing";
  test_case.schema.fields = {{"id", {"id"}, Type::kVarchar, true},
                             {"key", {"key"}, Type::kVarchar, true},
                             {"number", {"number"}, Type::kBigint, true},
                             {"weight", {"weight"}, Type::kDouble, true}};
  test_case.schema.id_field = "id";
  test_case.schema.key_field = "key";
  return test_case;
}

void add_event(OperatorCase* test_case, const std::string& key, const std::string& id, int64_t time_ms) {
  test_case->events.push_back({key, "{\"id\":" + quoted(id) + ",\"key\":" + quoted(key) + "}", time_ms});
}

template <class Model>
void check_against(Model model, const DedupOptions& options, uint64_t seed) {
  SeededRandom random(seed);
  OperatorCase test_case = dedup_case(options);
  std::vector<int64_t> passed;
  int64_t now_ms = 1'700'000'000'000;
  for (int64_t i = 0; i < 120; ++i) {
    now_ms += static_cast<int64_t>(random.below(5));
    std::string key = model_key(random.below(4));
    std::string id = model_id(random.below(12));
    add_event(&test_case, key, id, now_ms);
    if (model.pass(key, id, now_ms)) passed.push_back(test_case.first_offset + i);
  }
  Status status = check_operator(test_case);
  ASSERT_TRUE(status.ok()) << "seed " << seed << ": " << status.error().message;
  auto output = run_operator(test_case, 7);
  ASSERT_TRUE(output.ok());
  std::vector<int64_t> offsets;
  for (const HarnessRow& row : output->rows) offsets.push_back(row.offset);
  EXPECT_EQ(offsets, passed) << "seed " << seed;
  EXPECT_EQ(output->dropped + offsets.size(), 120u);
}

TEST(Dedup, ByCountPassesTheHarnessAndAgreesWithTheModel) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (int64_t last : {1, 2, 3, 8, 100}) {
      DedupOptions options;
      options.last = last;
      check_against(LruModel(static_cast<size_t>(last)), options, seed);
    }
  }
}

TEST(Dedup, RemembersKeysAndIdsUpToABoundAndLongerOnesAreDeadLetters) {
  for (const bool timed : {false, true}) {
    DedupOptions options;
    if (timed) {
      options.horizon_us = 3'600'000'000;
    } else {
      options.last = 100;
    }
    OperatorCase test_case = dedup_case(options);
    const std::string longest(kMostTouchBytes - 1, 'x');
    for (int i = 0; i < 2; ++i) {
      add_event(&test_case, "k", longest, 1);
      add_event(&test_case, "k", longest + "x", 1);
      add_event(&test_case, std::string(200'000, 'k'), std::string(20'000, 'i'), 1);
    }
    auto output = run_operator(test_case, 3);
    ASSERT_TRUE(output.ok());
    EXPECT_EQ(output->rows.size(), 2u);
    EXPECT_EQ(output->dropped, 2u);
    ASSERT_EQ(output->dead.size(), 2u);
    EXPECT_THAT(output->dead.front().reason,
                HasSubstr("key and id have 262145 bytes; dedup remembers at most 262144"));
  }
}

TEST(Dedup, ByTimePassesTheHarnessAndAgreesWithTheModel) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    for (int64_t horizon_ms : {1, 10, 60, 3'600'000}) {
      DedupOptions options;
      options.horizon_us = horizon_ms * 1000 + 999;  // parts of a millisecond do not count
      check_against(HorizonModel(horizon_ms), options, seed);
    }
  }
}

TEST(Dedup, IntegersAreKeysAndIdsToo) {
  DedupOptions options;
  options.id = "number";
  options.key = "number";
  OperatorCase test_case = dedup_case(options);
  for (const char* number : {"-9223372036854775808", "5", "5", "-9223372036854775808", "55"}) {
    test_case.events.push_back({number, std::string("{\"number\":") + number + "}", 1});
  }
  Status status = check_operator(test_case);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(run_operator(test_case, 5)->rows.size(), 3u);
}

TEST(Dedup, EventsWithoutIdOrKeyGoToTheDeadLetter) {
  OperatorCase test_case = dedup_case({});
  test_case.events = {{"k", R"({"id":"a","key":"k"})", 1},
                      {"k", R"({"key":"k"})", 1},
                      {"k", R"({"id":"a","key":null})", 1},
                      {std::nullopt, R"({"id":"a"})", 1},
                      {"k", R"({"id":"a","key":"k"})", 1}};
  Status status = check_operator(test_case);
  ASSERT_TRUE(status.ok()) << status.error().message;
  auto output = run_operator(test_case, 2);
  ASSERT_TRUE(output.ok());
  ASSERT_EQ(output->dead.size(), 3u);
  EXPECT_EQ(output->dead[0].offset, 1001);
  EXPECT_EQ(output->dead[0].reason, "id: NULL, and dedup needs it");
  EXPECT_EQ(output->dead[1].reason, "key: NULL, and dedup needs it");
  EXPECT_EQ(output->rows.size(), 1u);
  EXPECT_EQ(output->dropped, 1u);
}

TEST(Dedup, ARecordUnderAnotherKeyIsADeadLetterAndNotRemembered) {
  for (bool keyless : {true, false}) {
    OperatorCase test_case = dedup_case({});
    // The first one of all, too; and one whose id comes again under the right key.
    for (const char* id : {"b", "a", "b", "a"}) add_event(&test_case, "k", id, 1);
    test_case.events[0].key = "elsewhere";
    if (keyless) test_case.events[0].key.reset();
    Status status = check_operator(test_case);
    ASSERT_TRUE(status.ok()) << status.error().message;
    auto output = run_operator(test_case, 1);
    ASSERT_TRUE(output.ok());
    ASSERT_EQ(output->dead.size(), 1u);
    EXPECT_EQ(output->dead[0].offset, 1000);
    EXPECT_THAT(output->dead[0].reason, HasSubstr(keyless ? "has no key" : "has the key \"elsewhere\""));
    EXPECT_THAT(output->dead[0].reason, HasSubstr("its key is \"k\""));
    EXPECT_EQ(output->rows.size(), 2u);
    EXPECT_EQ(output->dropped, 1u);
  }
}

TEST(Dedup, ATopicThatIsNotPartitionedByTheKeyStopsThePipeline) {
  // Half of them may be wrong, however many; and ten at most where more are.
  for (size_t right : {0u, 4u, 40u}) {
    for (bool keyless : {true, false}) {
      OperatorCase test_case = dedup_case({});
      const size_t borne = std::max<size_t>(right, 10);
      for (size_t i = 0; i < right + borne; ++i) {
        add_event(&test_case, "k", std::to_string(i), 1);
        if (i < right) continue;
        test_case.events.back().key = "elsewhere";
        if (keyless) test_case.events.back().key.reset();
      }
      auto output = run_operator(test_case, 7);
      ASSERT_TRUE(output.ok()) << output.error().message;
      EXPECT_EQ(output->dead.size(), borne);
      EXPECT_EQ(output->rows.size(), right);
      test_case.events.push_back(test_case.events.back());
      output = run_operator(test_case, 7);
      ASSERT_FALSE(output.ok());
      EXPECT_EQ(output.error().domain, Domain::kUser);
      EXPECT_THAT(output.error().message,
                  HasSubstr("topic harness, partition 3, offset " + std::to_string(1000 + right + borne)));
      EXPECT_THAT(output.error().message, HasSubstr(keyless ? "has no key" : "has the key \"elsewhere\""));
      EXPECT_THAT(output.error().message, HasSubstr("rekey: key"));
    }
  }
}

TEST(Dedup, TheKeyIsNotCheckedWhereTheSolutionSaysSo) {
  DedupOptions options;
  options.check_key = false;
  OperatorCase test_case = dedup_case(options);
  add_event(&test_case, "k", "a", 1);
  add_event(&test_case, "k", "a", 1);
  test_case.events[1].key.reset();
  EXPECT_EQ(run_operator(test_case, 1)->rows.size(), 1u);
}

TEST(Dedup, ManyTouchesMakeSeveralDeltas) {
  DedupOptions options;
  OperatorCase test_case = dedup_case(options);
  for (int i = 0; i < 6; ++i)
    add_event(&test_case, "k", std::string(200'000, static_cast<char>('a' + i % 5)), 1);
  Status status = check_operator(test_case);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(run_operator(test_case, 6)->rows.size(), 5u);
}

TEST(Dedup, WrongOptionsAreNamed) {
  auto bind = [](DedupOptions options) -> std::string {
    auto op = make_dedup(std::move(options));
    if (!op.ok()) return op.error().message;
    Schema schema = dedup_case({}).schema;
    Status bound = (*op)->bind(&schema);
    return bound.ok() ? (*op)->describe() : bound.error().message;
  };
  auto with = [](auto&& change) {
    DedupOptions options;
    change(options);
    return options;
  };
  EXPECT_EQ(bind({}), "dedup id within key, last 100");
  EXPECT_EQ(bind(with([](auto& o) { o.horizon_us = 5'000'000; })), "dedup id within key, last 5000 ms");
  EXPECT_THAT(bind(with([](auto& o) { o.id = "nmber"; })),
              HasSubstr("id: event thing has no field nmber; did you mean number?"));
  EXPECT_THAT(bind(with([](auto& o) { o.key = "weight"; })), HasSubstr("key: field weight is a DOUBLE"));
  EXPECT_THAT(bind(with([](auto& o) { o.last = 0; })), HasSubstr("outside 1"));
  EXPECT_THAT(bind(with([](auto& o) { o.last = 65'536; })), HasSubstr("outside 1"));
  EXPECT_THAT(bind(with([](auto& o) { o.last = 1, o.horizon_us = 1'000; })), HasSubstr("not both"));
  EXPECT_THAT(bind(with([](auto& o) { o.horizon_us = 999; })), HasSubstr("1 ms"));
}

TEST(Dedup, StateOfTheOtherHorizonIsRefused) {
  DedupOptions by_time;
  by_time.horizon_us = 1'000'000;
  for (bool swap : {false, true}) {
    auto from = make_dedup(swap ? by_time : DedupOptions{});
    auto to = make_dedup(swap ? DedupOptions{} : by_time);
    Schema schema = dedup_case({}).schema;
    ASSERT_TRUE((*from)->bind(&schema).ok());
    ASSERT_TRUE((*to)->bind(&schema).ok());
    auto instance = (*to)->open({"t", Partition(0)});
    const char kinds[] = {1, 3};
    Status applied = instance->apply(std::string_view(&kinds[swap ? 1 : 0], 1));
    ASSERT_FALSE(applied.ok());
    EXPECT_EQ(applied.error().domain, Domain::kUser);
    EXPECT_THAT(applied.error().message, HasSubstr("start a new run"));
  }
}

// Its text is not one: a topic's keys do not partition it by the time that they mean.
TEST(Dedup, ATimeIsNoKeyButOfARekeyedTopic) {
  for (const bool check_key : {true, false}) {
    DedupOptions options;
    options.check_key = check_key;
    OperatorCase test_case = dedup_case(options);
    test_case.schema.fields[1].type = Type::kTimestamp;
    const Status bound = make_dedup(options).value()->bind(&test_case.schema);
    EXPECT_EQ(bound.ok(), !check_key);
    if (bound.ok()) continue;
    EXPECT_THAT(bound.error().message, ::testing::HasSubstr("declare `rekey: key`"));
  }
}

}  // namespace
}  // namespace tidemill::process
