#include "serve/kafka_output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tidemill::serve
