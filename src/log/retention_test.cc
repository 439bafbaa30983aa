// What the log keeps and deletes; full disks; syncs in the background.
#include <gtest/gtest.h>

#include "log/log.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;
using Values = std::vector<std::string>;

const TopicPartition kT0{"t", Partition(0)};
constexpr int64_t kHourUs = 3600LL * 1'000'000;

class RetentionTest : public ::testing::Test {
 protected:
  void open(const TopicConfig& config = {}) {
    fixture_.options.segment_bytes = 1000;
    log_ = fixture_.open();
    must(log_->create_topic("t", config));
  }
  void fill(int count) {
    for (int i = 0; i < count; ++i) {
      auto appended = must(append(*log_, kT0, {"value" + std::string(100, '.')}));
      must(log_->wait_durable(appended.sync_ticket));
    }
  }
  PartitionInfo info() { return must(log_->partition(kT0)); }
  LogFixture fixture_;
  std::unique_ptr<Log> log_;
};

TEST_F(RetentionTest, ByBytesKeepsAtLeastThatMuch) {
  open({.retention_bytes = 3000});
  fill(100);
  must(log_->housekeep());
  EXPECT_GE(info().size_bytes, 3000u);
  EXPECT_LT(info().size_bytes, 4500u);
  EXPECT_GT(info().log_start, Offset(50));
  EXPECT_EQ(info().log_end, Offset(100));
  Offset start = info().log_start;
  EXPECT_EQ(log_->read(kT0, Offset(0), 100, Isolation::kReadCommitted).error().code, Code::kOutOfRange);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    fixture_.files.crash(seed);
    log_ = fixture_.open();
    EXPECT_EQ(info().log_start, start);
    EXPECT_EQ(read_values(*log_, kT0, Isolation::kReadCommitted, start).size(),
              static_cast<size_t>(100 - start.value()));
  }
}

TEST_F(RetentionTest, ByTimeRollsAndDeletesTheActiveSegmentToo) {
  open({.retention_us = kHourUs});
  fill(20);
  fixture_.clock.advance_us(kHourUs / 2);
  fill(20);
  fixture_.clock.advance_us(kHourUs / 2 + 1'000'000);
  must(log_->housekeep());
  EXPECT_GT(info().log_start, Offset(10));
  EXPECT_LE(info().log_start, Offset(20));
  fixture_.clock.advance_us(kHourUs);
  must(log_->housekeep());
  EXPECT_EQ(info().log_start, Offset(40));
  EXPECT_EQ(info().size_bytes, 0u);
  fill(1);
  EXPECT_EQ(info().log_end, Offset(41));
}

TEST_F(RetentionTest, HoldsAndOpenTransactionsAreRespected) {
  open({.retention_bytes = 0});
  Producer producer = must(log_->init_transactional("task"));
  fill(20);
  must(append(*log_, kT0, {"open"}, {.producer = producer, .sequence = 0, .transactional = true}));
  fill(20);
  log_->hold_retention("pipeline", {{kT0, Offset(12)}});
  log_->hold_retention("other", {{kT0, Offset(30)}});
  must(log_->housekeep());
  EXPECT_LE(info().log_start, Offset(12));
  EXPECT_GT(info().log_start, Offset(0));
  log_->hold_retention("pipeline", {});
  must(log_->housekeep());
  EXPECT_LE(info().log_start, Offset(20)) << "the open transaction";
  EXPECT_GT(info().log_start, Offset(12));
  must(log_->abort(producer));
  fill(1);
  must(log_->housekeep());
  EXPECT_LE(info().log_start, Offset(30));
  EXPECT_GT(info().log_start, Offset(20));
}

TEST_F(RetentionTest, DeleteRecordsMovesTheStartDurably) {
  open();
  fill(50);
  must(log_->delete_records(kT0, Offset(33)));
  EXPECT_EQ(info().log_start, Offset(33));
  EXPECT_LT(info().segments, 5u);
  EXPECT_EQ(log_->delete_records(kT0, Offset(51)).error().code, Code::kOutOfRange);
  must(log_->delete_records(kT0, Offset(5)));
  EXPECT_EQ(info().log_start, Offset(33));
  fixture_.files.crash(1);
  log_ = fixture_.open();
  EXPECT_EQ(info().log_start, Offset(33));
  EXPECT_EQ(read_values(*log_, kT0, Isolation::kReadCommitted, Offset(33)).size(), 17u);
}

TEST_F(RetentionTest, AReaderHoldsItsBytesWhileTheSegmentIsDeleted) {
  open();
  fill(50);
  Fetched fetched = must(log_->read(kT0, Offset(0), 500, Isolation::kReadCommitted));
  std::string copy = *fetched.batches;
  must(log_->delete_records(kT0, Offset(50)));
  fill(50);
  EXPECT_EQ(*fetched.batches, copy);
}

TEST_F(RetentionTest, IdleSegmentsRollByTime) {
  open();
  fill(1);
  fixture_.clock.advance_us(fixture_.options.segment_us);
  must(log_->housekeep());
  EXPECT_EQ(info().segments, 2u);
  fixture_.clock.advance_us(fixture_.options.segment_us);
  must(log_->housekeep());
  EXPECT_EQ(info().segments, 2u) << "an empty one does not";
}

TEST_F(RetentionTest, HousekeepingSyncsWhatNobodyWaitsFor) {
  open();
  must(append(*log_, kT0, {"a"}));
  EXPECT_EQ(info().high_watermark, Offset(0));
  fixture_.clock.advance_us(fixture_.options.sync_interval_us);
  must(log_->housekeep());
  EXPECT_EQ(info().high_watermark, Offset(1));
}

// At every size of the disk: refused appends leave nothing, and all goes on when there is room.
TEST_F(RetentionTest, AFullDiskRefusesAppendsAndRecovers) {
  open();
  fill(3);
  uint64_t used = fixture_.files.used_bytes();
  for (uint64_t room = 0; room < 1500; room += 37) {
    fixture_.files.set_capacity(used + room);
    Values before = read_values(*log_, kT0);
    int stored = 0;
    Status refused;
    while (refused.ok()) {
      auto appended = append(*log_, kT0, {"more" + std::to_string(room) + std::string(80, '.')});
      if (appended.ok()) must(log_->wait_durable(appended->sync_ticket));
      if (appended.ok()) ++stored;
      if (!appended.ok()) refused = std::move(appended).error();
    }
    EXPECT_EQ(refused.error().code, Code::kDiskFull) << refused.error().message;
    EXPECT_TRUE(refused.error().retryable);
    EXPECT_EQ(read_values(*log_, kT0).size(), before.size() + static_cast<size_t>(stored));
    fixture_.files.set_capacity(UINT64_MAX);
    fill(2);
    Values now = read_values(*log_, kT0);
    fixture_.files.crash(room);
    log_ = fixture_.open();
    EXPECT_EQ(read_values(*log_, kT0), now);
    used = fixture_.files.used_bytes();
  }
}

// Retention is what makes room: it works on a disk without a byte left.
TEST_F(RetentionTest, DeletesOnAFullDisk) {
  open({.retention_us = kHourUs});
  fill(40);
  fixture_.clock.advance_us(2 * kHourUs);
  fill(1);  // the active segment is young
  fixture_.files.set_capacity(fixture_.files.used_bytes());
  EXPECT_FALSE(append(*log_, kT0, {std::string(100, 'x')}).ok());
  Status first = log_->housekeep();  // log_start may not fit; the files go all the same
  EXPECT_TRUE(first.ok() || first.error().code == Code::kDiskFull);
  EXPECT_GT(info().log_start, Offset(20));
  must(append(*log_, kT0, {std::string(100, 'x')}));
  must(log_->housekeep());
  Offset start = info().log_start;
  fixture_.files.crash(5);
  log_ = fixture_.open();
  EXPECT_EQ(info().log_start, start);
}

}  // namespace
}  // namespace tidemill::log
