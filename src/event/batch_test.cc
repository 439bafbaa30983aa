#include "event/batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemill {
namespace {

using testing::ElementsAre;

constexpr size_t kLimit = 1 << 20;

std::string batch_at(int64_t base, int count, Compression compression = Compression::kNone) {
  RecordBatchBuilder builder({.compression = compression});
  for (int i = 0; i < count; ++i) {
    builder.add(1000 + i, "k" + std::to_string(base + i), "value of " + std::to_string(base + i));
  }
  std::string batch = builder.finish().value();
  set_batch_position(batch.data(), base, 4);
  return batch;
}

std::shared_ptr<const std::string> shared(std::string bytes) {
  return std::make_shared<const std::string>(std::move(bytes));
}

std::vector<int64_t> offsets_of(const Batch& batch) {
  std::vector<int64_t> offsets;
  for (const Record& record : batch.records()) offsets.push_back(record.offset.value());
  return offsets;
}

TEST(Batch, IndexesManyRecordBatchesWithoutCopying) {
  auto bytes = shared(batch_at(10, 2) + batch_at(12, 1) + batch_at(20, 2));
  Batch batch;
  ASSERT_TRUE(batch.set_record_batches(bytes, Offset(0), kLimit).ok());
  EXPECT_THAT(offsets_of(batch), ElementsAre(10, 11, 12, 20, 21));
  for (const Record& record : batch.records()) {
    EXPECT_GE(record.value.data(), bytes->data());
    EXPECT_LE(record.value.data() + record.value.size(), bytes->data() + bytes->size());
    EXPECT_EQ(record.value, "value of " + std::to_string(record.offset.value()));
  }
  EXPECT_EQ(batch.payload_bytes(), 5 * (3 + 11u));
  ASSERT_EQ(batch.backings().size(), 1u);
  EXPECT_EQ(batch.backings()[0].end, bytes->data() + bytes->size());
  EXPECT_GE(batch.memory_bytes(), bytes->size());
  batch.select_all();
  EXPECT_THAT(batch.selected, ElementsAre(0, 1, 2, 3, 4));
}

TEST(Batch, LeavesOutRecordsBelowTheStart) {
  auto bytes = shared(batch_at(10, 3) + batch_at(13, 3));
  Batch batch;
  for (int64_t from = 9; from <= 17; ++from) {
    ASSERT_TRUE(batch.set_record_batches(bytes, Offset(from), kLimit).ok());
    std::vector<int64_t> expected;
    for (int64_t offset = std::max<int64_t>(from, 10); offset < 16; ++offset) expected.push_back(offset);
    EXPECT_EQ(offsets_of(batch), expected) << from;
  }
}

TEST(Batch, MixesCompressedAndPlainRecordBatches) {
  auto bytes = shared(batch_at(0, 2, Compression::kZstd) + make_transaction_marker(true, 1, 1, 5, 1) +
                      batch_at(3, 2) + batch_at(5, 2, Compression::kLz4));
  Batch batch;
  ASSERT_TRUE(batch.set_record_batches(bytes, Offset(1), kLimit).ok());
  EXPECT_THAT(offsets_of(batch), ElementsAre(1, 3, 4, 5, 6));
  ASSERT_EQ(batch.backings().size(), 3u);
  EXPECT_EQ(batch.backings()[1].first_row, 1u);
  EXPECT_EQ(batch.backings()[1].end, bytes->data() + bytes->size());
  EXPECT_EQ(batch.backings()[2].first_row, 3u);
  size_t row = 0;
  for (const Record& record : batch.records()) {
    size_t backing = row < 1 ? 0 : row < 3 ? 1 : 2;
    EXPECT_LE(record.value.data() + record.value.size(), batch.backings()[backing].end);
    ++row;
  }
}

TEST(Batch, TakesTheTimestampTypeAndLeaderEpoch) {
  std::string bytes = batch_at(0, 1);
  set_batch_append_time(bytes.data(), 777);
  Batch batch;
  ASSERT_TRUE(batch.set_record_batches(shared(bytes), Offset(0), kLimit).ok());
  EXPECT_EQ(batch.timestamp_type, TimestampType::kLogAppendTime);
  EXPECT_EQ(batch.records()[0].timestamp_ms, 777);
  EXPECT_EQ(batch.records()[0].leader_epoch, 4);
}

TEST(Batch, HasNoRecordsAfterAnError) {
  std::string good = batch_at(0, 2);
  for (const std::string& bad :
       {good + good.substr(0, 30), good + good.substr(0, good.size() - 1), good + std::string(100, '\0')}) {
    Batch batch;
    batch.source.topic = "t";
    auto status = batch.set_record_batches(shared(bad), Offset(0), kLimit);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, Code::kCorrupt);
    EXPECT_EQ(batch.size(), 0u);
    EXPECT_TRUE(batch.backings().empty());
  }
  Batch batch;
  auto status = batch.set_record_batches(shared(batch_at(0, 50, Compression::kGzip)), Offset(0), 100);
  EXPECT_EQ(status.error().code, Code::kInvalid);
}

TEST(Batch, KeepsTheMessagesOfItsViewsAlive) {
  auto message = std::make_shared<std::string>("payload");
  std::weak_ptr<std::string> alive = message;
  Batch batch;
  Record record;
  record.value = *message;
  record.has_value = true;
  batch.set_records({record}, std::move(message));
  EXPECT_FALSE(alive.expired());
  EXPECT_EQ(batch.records()[0].value, "payload");
  EXPECT_EQ(batch.payload_bytes(), 7u);
  EXPECT_TRUE(batch.backings().empty());
  batch.set_records({}, nullptr);
  EXPECT_TRUE(alive.expired());
}

TEST(Batch, FindsColumnsByName) {
  Batch batch;
  batch.columns.emplace_back("a", Type::kBigint);
  batch.columns.emplace_back("b", Type::kVarchar);
  EXPECT_EQ(batch.column("b"), &batch.columns[1]);
  EXPECT_EQ(batch.column("c"), nullptr);
}

}  // namespace
}  // namespace tidemill
