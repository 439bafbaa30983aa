// The log as its users see it: topics, appending, reading, reopening.
#include "log/log.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "log/owner.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;
using Values = std::vector<std::string>;

const TopicPartition kT0{"t", Partition(0)};

class LogTest : public ::testing::Test {
 protected:
  std::unique_ptr<Log> open_with_topic(const TopicConfig& config = {}) {
    auto log = fixture_.open();
    must(log->create_topic("t", config));
    return log;
  }
  Appended append_durably(Log& log, const TopicPartition& tp, const Values& values,
                          const BatchOptions& options = {}) {
    Appended appended = must(append(log, tp, values, options));
    must(log.wait_durable(appended.sync_ticket));
    return appended;
  }
  LogFixture fixture_;
};

TEST_F(LogTest, ReadsBackWhatWasAppendedOnceItIsDurable) {
  auto log = open_with_topic({.partitions = 2});
  TopicPartition tp{"t", Partition(1)};
  Appended first = must(append(*log, tp, {"a", "b"}));
  EXPECT_EQ(first.first, Offset(0));
  EXPECT_EQ(first.last, Offset(1));
  EXPECT_EQ(read_values(*log, tp), Values{});
  must(log->wait_durable(first.sync_ticket));
  EXPECT_EQ(read_values(*log, tp), (Values{"a", "b"}));
  EXPECT_EQ(read_values(*log, tp, Isolation::kReadCommitted, Offset(1)), (Values{"b"}));
  PartitionInfo info = must(log->partition(tp));
  EXPECT_EQ(info.high_watermark, Offset(2));
  EXPECT_EQ(info.log_end, Offset(2));
  EXPECT_EQ(read_values(*log, kT0), Values{});
}

TEST_F(LogTest, EveryCodecComesBack) {
  auto log = open_with_topic();
  Values expected;
  for (Compression codec : {Compression::kNone, Compression::kGzip, Compression::kSnappy, Compression::kLz4,
                            Compression::kZstd}) {
    std::string value(5000, static_cast<char>('a' + static_cast<int>(codec)));
    append_durably(*log, kT0, {value, "end"}, {.compression = codec});
    expected.push_back(value);
    expected.push_back("end");
  }
  EXPECT_EQ(read_values(*log, kT0), expected);
}

TEST_F(LogTest, SealedBatchesAreVerifiedAndKeptUnderCreateTime) {
  auto log = open_with_topic({.timestamp_type = TimestampType::kCreateTime});
  std::string good = make_batch({"a"}, {.timestamp_ms = 77}, true);
  must(log->append(kT0, good, true));
  std::string bad = make_batch({"b"}, {}, true);
  bad.back() = static_cast<char>(bad.back() ^ 1);
  auto refused = log->append(kT0, bad, true);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kInvalid);
}

TEST_F(LogTest, AppendTimeNeverGoesBack) {
  auto log = open_with_topic();
  append_durably(*log, kT0, {"a"});
  fixture_.clock.advance_us(-5'000'000);
  append_durably(*log, kT0, {"b"});
  Fetched fetched = must(log->read(kT0, Offset(0), 1 << 20, Isolation::kReadCommitted));
  auto first = parse_batch_header(*fetched.batches);
  auto second = parse_batch_header(std::string_view(*fetched.batches).substr((*first)->size_bytes()));
  EXPECT_EQ((*first)->timestamp_type(), TimestampType::kLogAppendTime);
  EXPECT_EQ((*first)->max_timestamp_ms, 1'700'000'000'000);
  EXPECT_EQ((*second)->max_timestamp_ms, (*first)->max_timestamp_ms);
}

TEST_F(LogTest, RefusesWhatIsNotOneWholeBatch) {
  auto log = open_with_topic();
  std::string whole = make_batch({"a"});
  for (std::string bad : {std::string(), whole.substr(0, 20), whole.substr(0, whole.size() - 1),
                          whole + whole, std::string(100, 'x')}) {
    auto refused = log->append(kT0, bad, false);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kInvalid);
  }
  TopicPartition none{"t", Partition(9)};
  EXPECT_EQ(append(*log, none, {"a"}).error().code, Code::kNotFound);
  EXPECT_EQ(append(*log, {"__transactions", Partition(0)}, {"a"}).error().code, Code::kInvalid);
}

TEST_F(LogTest, ReadsOutsideTheLogAreOutOfRange) {
  auto log = open_with_topic();
  append_durably(*log, kT0, {"a"});
  EXPECT_TRUE(must(log->read(kT0, Offset(1), 100, Isolation::kReadCommitted)).at_end);
  EXPECT_EQ(log->read(kT0, Offset(2), 100, Isolation::kReadCommitted).error().code, Code::kOutOfRange);
  EXPECT_EQ(log->read(kT0, Offset(-1), 100, Isolation::kReadCommitted).error().code, Code::kOutOfRange);
}

TEST_F(LogTest, ABatchLargerThanAskedForIsReadWhole) {
  auto log = open_with_topic();
  Values values{std::string(100'000, 'x'), "y"};
  append_durably(*log, kT0, {values[0]});
  append_durably(*log, kT0, {values[1]});
  Fetched fetched = must(log->read(kT0, Offset(0), 10, Isolation::kReadCommitted));
  EXPECT_EQ(fetched.end.offset, Offset(1));
  EXPECT_EQ(read_values(*log, kT0, Isolation::kReadCommitted, Offset(0), 1), values);
}

TEST_F(LogTest, EveryOffsetIsFoundThroughTheIndexesOfManySegments) {
  fixture_.options.segment_bytes = 20'000;
  fixture_.options.index_interval_bytes = 300;
  auto log = open_with_topic();
  for (int i = 0; i < 400; ++i) {
    append_durably(*log, kT0,
                   {"v" + std::to_string(2 * i), "v" + std::to_string(2 * i + 1) + std::string(100, '.')});
  }
  EXPECT_GT(must(log->partition(kT0)).segments, 3u);
  for (int64_t i = 799; i >= 0; --i) {
    Fetched fetched = must(log->read(kT0, Offset(i), 400, Isolation::kReadCommitted));
    EXPECT_EQ(fetched.first, Offset(i / 2 * 2));
    EXPECT_GT(fetched.end.offset, Offset(i));
  }
  EXPECT_EQ(read_values(*log, kT0).size(), 800u);
}

TEST_F(LogTest, ReopensAfterACleanShutdownAndAfterNone) {
  fixture_.options.segment_bytes = 2'000;
  Values expected;
  int32_t last_epoch = -1;
  for (int round = 0; round < 6; ++round) {
    auto log = fixture_.open();
    must(log->create_topic("t", {}));
    EXPECT_EQ(read_values(*log, kT0), expected);
    int32_t epoch = must(log->partition(kT0)).leader_epoch.value();
    EXPECT_GT(epoch, last_epoch) << "every opening raises the leader epoch";
    last_epoch = epoch;
    for (int i = 0; i < 20; ++i) {
      expected.push_back("r" + std::to_string(round) + "." + std::to_string(i));
      append_durably(*log, kT0, {expected.back()});
    }
    EXPECT_EQ(read_values(*log, kT0), expected);
    if (round % 2 == 0) {
      must(log->close());
      EXPECT_EQ(append(*log, kT0, {"x"}).error().code, Code::kStopped);
    }
  }
}

TEST_F(LogTest, PositionsCarryTheLeaderEpochOfTheirEvent) {
  Offset ends[3];
  for (int round = 0; round < 3; ++round) {
    auto log = open_with_topic();
    append_durably(*log, kT0, {"a", "b"});
    ends[round] = must(log->partition(kT0)).log_end;
    must(log->close());
  }
  auto log = fixture_.open();
  for (int32_t epoch = 0; epoch < 3; ++epoch) {
    EXPECT_EQ(must(log->leader_epoch_end(kT0, LeaderEpoch(epoch))), ends[epoch]);
  }
  EXPECT_EQ(log->leader_epoch_end(kT0, LeaderEpoch(4)).error().code, Code::kNotFound);
  Fetched fetched = must(log->read(kT0, Offset(2), 1, Isolation::kReadCommitted));
  EXPECT_EQ(fetched.end, (Position{Offset(4), LeaderEpoch(1)}));
  EXPECT_EQ(must(log->read(kT0, Offset(6), 1, Isolation::kReadCommitted)).end,
            (Position{Offset(6), LeaderEpoch(2)}));
}

TEST_F(LogTest, TopicsAreListedKeptAndDeleted) {
  auto log =
      open_with_topic({.partitions = 3, .timestamp_type = TimestampType::kCreateTime, .retention_us = 5});
  must(log->create_topic("t", {.partitions = 3, .retention_us = 7}));  // retention may change
  EXPECT_EQ(log->create_topic("t", {.partitions = 4}).error().code, Code::kExists);
  EXPECT_EQ(log->create_topic("no/slash", {}).error().code, Code::kInvalid);
  EXPECT_EQ(log->create_topic("", {}).error().code, Code::kInvalid);
  append_durably(*log, kT0, {"a"});
  must(log->create_topic("u", {}));
  log = nullptr;
  log = fixture_.open();
  TopicInfo info = must(log->topic("t"));
  EXPECT_EQ(info.config.partitions, 3);
  EXPECT_EQ(info.config.timestamp_type, TimestampType::kCreateTime);
  EXPECT_EQ(info.config.retention_us, 7);
  ASSERT_EQ(log->topics().size(), 3u);
  EXPECT_TRUE(log->topics()[0].internal);
  must(log->delete_topic("t"));
  EXPECT_EQ(log->read(kT0, Offset(0), 100, Isolation::kReadCommitted).error().code, Code::kNotFound);
  EXPECT_FALSE(fixture_.files.exists("/data/log/t-0"));
  must(log->create_topic("t", {}));
  EXPECT_EQ(read_values(*log, kT0), Values{});
  EXPECT_EQ(log->delete_topic("__transactions").error().code, Code::kInvalid);
}

TEST_F(LogTest, FindsOffsetsByTime) {
  fixture_.options.segment_bytes = 3'000;
  fixture_.options.index_interval_bytes = 200;
  auto log = open_with_topic({.timestamp_type = TimestampType::kCreateTime});
  for (int i = 0; i < 100; ++i) append_durably(*log, kT0, {"a", "b"}, {.timestamp_ms = 1000 + i * 10});
  EXPECT_EQ(must(log->offset_for_time(kT0, 0)), Offset(0));
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(must(log->offset_for_time(kT0, 1000 + i * 10)), Offset(i * 2));
    EXPECT_EQ(must(log->offset_for_time(kT0, 1000 + i * 10 - 9)), Offset(i * 2));
  }
  EXPECT_EQ(must(log->offset_for_time(kT0, 5000)), Offset(200));
}

TEST_F(LogTest, OneProcessOwnsADirectory) {
  auto lock = lock_data_directory(fixture_.files, "/data");
  ASSERT_TRUE(lock.ok());
  EXPECT_EQ(lock_data_directory(fixture_.files, "/data").error().code, Code::kExists);
  lock->reset();
  EXPECT_TRUE(lock_data_directory(fixture_.files, "/data").ok());
}

TEST_F(LogTest, ATicketThatWasNeverGivenIsRefusedInsteadOfWaitedFor) {
  auto log = open_with_topic({});
  Appended appended = must(append(*log, kT0, {"a"}));
  EXPECT_EQ(log->wait_durable(appended.sync_ticket + 1000).error().code, Code::kInvalid);
  must(log->wait_durable(appended.sync_ticket));
}

}  // namespace
}  // namespace tidemill::log
