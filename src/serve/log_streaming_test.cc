// The log sink writes the batches of an epoch before its commit: when, and what becomes of them.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/testing/manual_clock.h"
#include "base/testing/memory_files.h"
#include "pipeline/testing/sink_session.h"
#include "serve/log_sink.h"

namespace tidemill::serve {
namespace {

using namespace pipeline::testing;

constexpr size_t kRecords = 300;

class LogStreaming : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = log::Log::open(files_, clock_, random_, "/log", {});
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    log_ = std::move(opened).value();
    log::TopicConfig config;
    config.partitions = kHarnessPartitions;
    ASSERT_TRUE(log_->create_topic(kHarnessTopic, config).ok());
    LogSinkOptions options;
    options.pipeline = "pipe";
    options.topic = "out";
    options.source_topic = kHarnessTopic;
    options.stateful = true;
    options.batch_bytes = 2000;
    sink_ = std::make_unique<LogSink>(*log_, options);
    ASSERT_TRUE(sink_->prepare(harness_schema()).ok());
    session_.emplace(open_session(0));
  }

  SinkSession open_session(int task) {
    SinkSession session = SinkSession::open(*sink_, task).value();
    EXPECT_TRUE(session.acquire({0, 1}, model_).ok());
    return session;
  }
  FilledEpoch fill(const StoreModel& model) { return session_->fill({0, 1}, kRecords, model).value(); }
  log::PartitionInfo out() const { return log_->partition({"out", Partition(0)}).value(); }
  // What a read-committed reader sees.
  std::vector<HarnessId> visible() {
    std::vector<HarnessId> ids;
    for (int32_t p = 0; p < kHarnessPartitions; ++p) {
      TopicPartition tp{"out", Partition(p)};
      for (Offset at; at < log_->partition(tp).value().last_stable;) {
        auto fetched = log_->read(tp, at, 1u << 20, log::Isolation::kReadCommitted);
        EXPECT_TRUE(fetched.ok()) << fetched.error().message;
        Batch batch;
        EXPECT_TRUE(batch.set_record_batches(fetched->batches, at, SIZE_MAX).ok());
        for (const Record& record : batch.records()) ids.push_back(*parse_harness_id(record.value));
        at = fetched->end.offset;
      }
    }
    return ids;
  }

  MemoryFiles files_;
  ManualClock clock_{1'700'000'000'000'000};
  SeededRandom random_{1};
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<LogSink> sink_;
  StoreModel model_;
  std::optional<SinkSession> session_;
};

std::vector<HarnessId> sorted(std::vector<HarnessId> ids) {
  std::sort(ids.begin(), ids.end());
  return ids;
}

TEST_F(LogStreaming, AppendsFullBatchesBeforeTheCommitUnseen) {
  FilledEpoch epoch = fill(model_);
  EXPECT_GT(out().log_end, Offset(kRecords / 2));
  EXPECT_EQ(out().last_stable, Offset(0));
  EXPECT_GT(epoch.output->bytes(), 10'000u);
  EXPECT_LT(epoch.output->memory_bytes(), 2 * 2000u);
  ASSERT_TRUE(session_->commit_to(epoch, &model_).ok());
  EXPECT_EQ(visible(), sorted(epoch.rows));
}

TEST_F(LogStreaming, KeepsAnEpochInMemoryUntilTheOneBeforeItIsCommitted) {
  FilledEpoch first = fill(model_);
  Offset end = out().log_end;
  StoreModel ahead = model_;
  ahead.apply(first);
  FilledEpoch second = fill(ahead);
  EXPECT_EQ(out().log_end, end);
  EXPECT_EQ(second.output->memory_bytes(), second.output->bytes());
  ASSERT_TRUE(session_->commit_to(first, &model_).ok());
  EXPECT_EQ(visible(), sorted(first.rows));
  ASSERT_TRUE(session_->commit_to(second, &model_).ok());
  EXPECT_EQ(visible().size(), first.rows.size() + second.rows.size());
}

TEST_F(LogStreaming, AbortsWhatIsDropped) {
  FilledEpoch dropped = fill(model_);
  dropped.output.reset();
  FilledEpoch epoch = fill(model_);
  ASSERT_TRUE(session_->commit_to(epoch, &model_).ok());
  EXPECT_EQ(visible(), sorted(epoch.rows));
}

TEST_F(LogStreaming, NeverCommitsWhatAFormerOwnerOfTheSameWriterAppended) {
  FilledEpoch late = fill(model_);
  ASSERT_TRUE(session_->acquire({0, 1}, model_).ok());
  for (pipeline::PartitionEpoch& part : late.request.partitions) {
    part.owner = session_->writer().committed({&part.source, 1}).value()[0].owner;
  }
  ASSERT_TRUE(session_->expect_fenced(late, model_).ok());
  EXPECT_TRUE(visible().empty());
}

TEST_F(LogStreaming, GoesOnWhereTheDiskWasFull) {
  files_.set_capacity(files_.used_bytes() + 5000);
  FilledEpoch epoch = fill(model_);
  size_t waits = epoch.output->memory_bytes();
  EXPECT_GT(waits, 10'000u);
  EXPECT_LT(waits, epoch.output->bytes());
  for (uint64_t room : {0, 0, 3000, 9000}) {
    files_.set_capacity(files_.used_bytes() + room);
    Status full = session_->commit(epoch);
    ASSERT_FALSE(full.ok());
    EXPECT_TRUE(full.error().retryable) << full.error().message;
    EXPECT_TRUE(visible().empty());
  }
  EXPECT_LT(epoch.output->memory_bytes(), waits);
  files_.set_capacity(UINT64_MAX);
  ASSERT_TRUE(session_->commit_to(epoch, &model_).ok());
  EXPECT_EQ(visible(), sorted(epoch.rows));
}

}  // namespace
}  // namespace tidemill::serve
