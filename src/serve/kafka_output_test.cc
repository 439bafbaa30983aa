#include "serve/kafka_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/clock.h"
#include "event/partitioner.h"

namespace tidemill::serve {
namespace {

using ::testing::ElementsAre;

// Three events of partition 3; what they are rekeyed by is a text, NULL, and a text again.
BatchPtr batch_of_three() {
  static const std::string value = R"({"id":1})";
  auto batch = std::make_unique<Batch>();
  batch->source = {"in", Partition(3)};
  Record record;
  record.value = value;
  record.has_value = true;
  record.key = "before";
  record.has_key = true;
  batch->set_records({record, record, record}, nullptr);
  batch->select_all();
  Column customer("customer", Type::kVarchar);
  customer.append_text("Ann");
  customer.append_null();
  customer.append_text("Bert");
  batch->columns.push_back(std::move(customer));
  return batch;
}

KafkaLayout layout_of(const std::string& rekey) {
  KafkaLayout layout;
  layout.topic = "out";
  layout.partitions = 5;
  layout.rekey = rekey;
  return layout;
}

TEST(KafkaOutput, RekeysByTheFieldsValueAndAsJavaPartitions) {
  const KafkaLayout layout = layout_of("customer");
  KafkaOutput output(layout, nullptr);
  BatchPtr batch = batch_of_three();
  ASSERT_TRUE(output.write(batch).ok());
  std::vector<std::string> keys;
  std::vector<int32_t> partitions;
  for (const KafkaOutput::Outgoing& one : output.outgoing()) {
    keys.push_back(one.record.has_key ? std::string(one.record.key) : "none");
    partitions.push_back(one.partition.value());
    EXPECT_EQ(one.record.value, R"({"id":1})");
  }
  EXPECT_THAT(keys, ElementsAre("Ann", "none", "Bert"));
  // As in the embedded log: what has no new key comes together wherever it came from.
  EXPECT_THAT(partitions, ElementsAre(partition_for_key("Ann", 5).value(), partition_for_key("", 5).value(),
                                      partition_for_key("Bert", 5).value()));
}

TEST(KafkaOutput, KeepsTheKeyWhereNothingRekeys) {
  const KafkaLayout layout = layout_of("");
  KafkaOutput output(layout, nullptr);
  BatchPtr batch = batch_of_three();
  ASSERT_TRUE(output.write(batch).ok());
  ASSERT_EQ(output.outgoing().size(), 3u);
  EXPECT_EQ(output.outgoing()[1].record.key, "before");
  EXPECT_EQ(output.outgoing()[1].partition, partition_for_key("before", 5));
}

int64_t now_ms() {
  return Clock::system().wall_us() / 1000;
}

// The time with which a topic of these limits is written, of a row that is `ahead_ms` ahead of now; and
// whether that is the row's own.
bool keeps_time(const kafka::TopicLimits& limits, int64_t ahead_ms) {
  KafkaLayout layout = layout_of("");
  layout.rows = limits;
  KafkaOutput output(layout, nullptr);
  Record record;
  record.has_value = true;
  const int64_t before_ms = now_ms();
  record.timestamp_ms = before_ms + ahead_ms;
  auto batch = std::make_unique<Batch>();
  batch->source = {"in", Partition(0)};
  batch->set_records({record}, nullptr);
  batch->select_all();
  BatchPtr given = std::move(batch);
  EXPECT_TRUE(output.write(given).ok());
  const int64_t written_ms = output.outgoing().front().record.timestamp_ms;
  if (written_ms == record.timestamp_ms) return true;
  EXPECT_GE(written_ms, before_ms);
  EXPECT_LE(written_ms, now_ms());
  return false;
}

// With 60 s to spare for the broker's clock and the epoch's end, or half of what the topic allows.
TEST(KafkaOutput, TimesNearTheTopicsLimitAreNow) {
  constexpr int64_t kHourMs = 3'600'000;
  const kafka::TopicLimits hour{SIZE_MAX, kHourMs, kHourMs}, short_one{SIZE_MAX, 100'000, 100'000};
  for (const int64_t sign : {-1, 1}) {
    EXPECT_TRUE(keeps_time(hour, sign * (kHourMs - 80'000)));
    EXPECT_FALSE(keeps_time(hour, sign * (kHourMs - 40'000)));
    EXPECT_TRUE(keeps_time(short_one, sign * 30'000));
    EXPECT_TRUE(keeps_time(short_one, sign * 42'000));
    EXPECT_FALSE(keeps_time(short_one, sign * 75'000));
    EXPECT_TRUE(keeps_time({SIZE_MAX, INT64_MAX, INT64_MAX}, sign * 1'000 * kHourMs));
  }
  EXPECT_FALSE(keeps_time({SIZE_MAX, 0, INT64_MAX}, -60'000));
}

TEST(KafkaOutput, ATombstonesDeadLetterHasNoValueAndItsTimeIsNotAheadOfNow) {
  const KafkaLayout layout = layout_of("");
  KafkaOutput output(layout, nullptr);
  auto batch = std::make_unique<Batch>();
  batch->source = {"in", Partition(0)};
  DeadLetter letter;
  letter.source = batch->source;
  letter.key = "k";
  letter.has_key = true;
  letter.timestamp_ms = now_ms() + 86'400'000;
  batch->dead_letters.push_back(letter);
  letter.has_value = false;
  batch->dead_letters.push_back(letter);
  BatchPtr given = std::move(batch);
  ASSERT_TRUE(output.write(given).ok());
  ASSERT_EQ(output.outgoing().size(), 2u);
  for (const KafkaOutput::Outgoing& one : output.outgoing()) {
    EXPECT_TRUE(one.dead);
    EXPECT_EQ(one.record.key, "k");
    EXPECT_LE(one.record.timestamp_ms, now_ms());
  }
  EXPECT_TRUE(output.outgoing()[0].record.has_value);
  EXPECT_FALSE(output.outgoing()[1].record.has_value);
}

}  // namespace
}  // namespace tidemill::serve
