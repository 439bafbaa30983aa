#include "ingest/log_source.h"

#include <gtest/gtest.h>

#include "base/testing/memory_files.h"
#include "pipeline/testing/source_harness.h"

namespace tidemill::ingest {
namespace {

using pipeline::Source;
using pipeline::testing::source_event;

class LogSourceTest : public testing::Test {
 protected:
  void SetUp() override { clear(); }
  void clear() {
    log_.reset();
    files_ = std::make_unique<MemoryFiles>();
    reopen();
    log::TopicConfig config;
    config.partitions = 2;
    ASSERT_TRUE(log_->create_topic("in", config).ok());
  }
  void reopen() {
    log_.reset();
    log::Options options;
    options.durability = log::Durability::kNone;
    options.segment_bytes = 4096;
    auto opened = log::Log::open(*files_, Clock::system(), Random::system(), "/log", options);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    log_ = std::move(opened).value();
  }
  std::unique_ptr<LogSource> open(LogSourceOptions::Start start = LogSourceOptions::Start::kEarliest,
                                  bool by_time = false) {
    LogSourceOptions options;
    options.by_time = by_time;
    options.topic = "in";
    options.pipeline = "pipe";
    options.start = start;
    return LogSource::open(*log_, options).value();
  }
  Status append(int32_t partition, int first, int count, log::Producer producer = {}, int32_t sequence = -1) {
    RecordBatchBuilder::Options options;
    options.transactional = producer.id >= 0;
    options.producer_id = producer.id;
    options.producer_epoch = producer.epoch;
    options.base_sequence = sequence;
    RecordBatchBuilder builder(options);
    for (int i = first; i < first + count; ++i) builder.add(i, std::nullopt, source_event(partition, i));
    TM_ASSIGN(std::string batch, builder.finish());
    TM_TRY(log_->append({"in", Partition(partition)}, batch, true));
    return {};
  }

  void check_harness(bool by_time);

  std::unique_ptr<MemoryFiles> files_;
  std::unique_ptr<log::Log> log_;
  const TopicPartition zero_{"in", Partition(0)};
};

void LogSourceTest::check_harness(bool by_time) {
  pipeline::testing::SourceUnderTest sut;
  sut.clear = [&]() -> Status {
    clear();
    return {};
  };
  sut.open = [&]() -> Result<std::unique_ptr<Source>> {
    return std::unique_ptr<Source>(open(LogSourceOptions::Start::kEarliest, by_time));
  };
  // Between the batches that are read, transactions that are aborted: offsets that hold no event.
  log::Producer producer;
  sut.produce = [&](int32_t partition, int first, int count) -> Status {
    TM_TRY(append(partition, first, count));
    if (first % 3 != 0) return {};
    TM_ASSIGN(producer, log_->init_transactional("aborting"));
    TM_TRY(append(partition, 7777, 2, producer, 0));
    return log_->abort(producer);
  };
  sut.remove_before = [&](int32_t partition, Offset before) {
    return log_->delete_records({"in", Partition(partition)}, before);
  };
  Status status = check_source(sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST_F(LogSourceTest, PassesTheHarness) {
  check_harness(false);
}

TEST_F(LogSourceTest, ByTimePassesTheHarness) {
  check_harness(true);
}

TEST_F(LogSourceTest, ByTimeGivesBatchesOfAllPartitionsInTheOrderOfTheirTimes) {
  // Timestamps are numbers: those of the partitions' batches alternate, and a read of 64 KiB holds few of
  // them.
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(append(i % 2, 400 * i, 400).ok());
  auto source = open(LogSourceOptions::Start::kEarliest, true);
  auto reader = source->open_reader(0).value();
  const TopicPartition one{"in", Partition(1)};
  ASSERT_TRUE(
      reader->assign({{zero_, {Offset(0), LeaderEpoch(1)}}, {one, {Offset(0), LeaderEpoch(1)}}}).ok());
  pipeline::PollRequest request;
  request.max_events = 1;
  std::vector<int64_t> firsts;
  size_t events = 0;
  for (int polls = 0; polls < 60; ++polls) {
    pipeline::Polled polled = reader->poll(request).value();
    for (const BatchPtr& batch : polled.batches) {
      firsts.push_back(batch->records().front().timestamp_ms);
      events += batch->size();
    }
    EXPECT_EQ(polled.caught_up, events == 20000) << polls;
  }
  EXPECT_EQ(events, 20000u);
  EXPECT_GE(firsts.size(), 10u);
  EXPECT_TRUE(std::is_sorted(firsts.begin(), firsts.end()));
}

TEST_F(LogSourceTest, SeesATransactionOnlyWhenItIsCommitted) {
  auto source = open();
  auto reader = source->open_reader(0).value();
  ASSERT_TRUE(reader->assign({{zero_, reader->start_position(zero_).value()}}).ok());
  log::Producer producer = log_->init_transactional("t").value();
  ASSERT_TRUE(append(0, 0, 5, producer, 0).ok());
  pipeline::Polled polled = reader->poll({}).value();
  EXPECT_TRUE(polled.batches.empty());
  EXPECT_TRUE(polled.caught_up);
  log::TransactionCommit commit{producer, {}};
  ASSERT_TRUE(log_->commit({&commit, 1}).ok());
  polled = reader->poll({}).value();
  ASSERT_EQ(polled.batches.size(), 1u);
  EXPECT_EQ(polled.batches[0]->size(), 5u);
  // The marker behind the data is passed, so that nothing seems to be left.
  EXPECT_EQ(reader->lag(zero_, polled.batches[0]->end), 0);
}

TEST_F(LogSourceTest, StartsAtTheEndOrAtATime) {
  ASSERT_TRUE(append(0, 0, 5).ok());
  EXPECT_EQ(open(LogSourceOptions::Start::kLatest)->open_reader(0).value()->start_position(zero_)->offset,
            Offset(5));
  LogSourceOptions options;
  options.topic = "in";
  options.start = LogSourceOptions::Start::kTime;
  auto at = [&](int64_t time_us) {
    options.start_time_us = time_us;
    return LogSource::open(*log_, options).value()->open_reader(0).value()->start_position(zero_)->offset;
  };
  EXPECT_EQ(at(0), Offset(0));
  EXPECT_EQ(at(Clock::system().wall_us() + 3'600'000'000), Offset(5));
}

TEST_F(LogSourceTest, SaysWhichEventsWereLost) {
  ASSERT_TRUE(append(0, 0, 10).ok());
  auto source = open();
  auto reader = source->open_reader(0).value();
  LeaderEpoch now = log_->partition(zero_).value().leader_epoch;
  Status beyond = reader->check_position(zero_, {Offset(15), now});
  ASSERT_FALSE(beyond.ok());
  EXPECT_NE(beyond.error().message.find("events 10 to 14 (5) were lost"), std::string::npos)
      << beyond.error().message;
  ASSERT_TRUE(log_->delete_records(zero_, Offset(4)).ok());
  Status deleted = reader->check_position(zero_, {Offset(1), now});
  ASSERT_FALSE(deleted.ok());
  EXPECT_NE(deleted.error().message.find("events 1 to 3 (3) were deleted"), std::string::npos)
      << deleted.error().message;
}

TEST_F(LogSourceTest, HoldsRetentionBackForWhatIsNotCommitted) {
  log_.reset();
  files_ = std::make_unique<MemoryFiles>();
  reopen();
  log::TopicConfig config;
  config.retention_bytes = 1;
  ASSERT_TRUE(log_->create_topic("in", config).ok());
  for (int i = 0; i < 50; ++i) ASSERT_TRUE(append(0, i * 20, 20).ok());
  auto source = open();
  auto reader = source->open_reader(0).value();
  ASSERT_TRUE(reader->assign({{zero_, Position{Offset(100), LeaderEpoch(0)}}}).ok());
  ASSERT_TRUE(log_->housekeep().ok());
  EXPECT_LE(log_->partition(zero_).value().log_start, Offset(100));
  reader->committed({{zero_, {Offset(500), LeaderEpoch(0)}}});
  ASSERT_TRUE(log_->housekeep().ok());
  Offset start = log_->partition(zero_).value().log_start;
  EXPECT_GT(start, Offset(100));
  EXPECT_LE(start, Offset(500));
  reader->unassign({zero_});
  ASSERT_TRUE(log_->housekeep().ok());
  EXPECT_GT(log_->partition(zero_).value().log_start, Offset(500));
}

TEST_F(LogSourceTest, NamesTheTopicsThereAre) {
  LogSourceOptions options;
  options.topic = "inn";
  auto missing = LogSource::open(*log_, options);
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find("the log has in"), std::string::npos) << missing.error().message;
}

}  // namespace
}  // namespace tidemill::ingest
