#include "pipeline/log_changelog.h"

#include <gtest/gtest.h>

#include "base/testing/memory_files.h"

namespace tidemill::pipeline {
namespace {

class LogChangelogTest : public testing::Test {
 protected:
  void SetUp() override {
    reopen();
    ASSERT_TRUE(create_changelog(*log_, "pipe", 2).ok());
  }
  void reopen() {
    log_.reset();
    auto opened = log::Log::open(files_, Clock::system(), Random::system(), "/log", options_);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    log_ = std::move(opened).value();
    changelog_ = std::make_unique<LogChangelog>(*log_, "pipe", options_.max_batch_bytes);
  }
  std::vector<std::pair<int64_t, std::string>> read(const TopicPartition& source) {
    std::vector<std::pair<int64_t, std::string>> all;
    Status status = changelog_->read(source, [&](int64_t at, std::string_view value) -> Status {
      all.emplace_back(at, value);
      return {};
    });
    EXPECT_TRUE(status.ok()) << status.error().message;
    return all;
  }

  MemoryFiles files_;
  log::Options options_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<LogChangelog> changelog_;
  const TopicPartition one_{"input", Partition(1)};
};

TEST_F(LogChangelogTest, GivesBackWhatWasAppendedInOrderAcrossARestart) {
  ASSERT_TRUE(changelog_->append(one_, {"a", "", std::string(3'000'000, 'b')}).ok());
  ASSERT_TRUE(changelog_->append(one_, {std::string(3'000'000, 'c'), "d"}).ok());
  ASSERT_TRUE(changelog_->append({"input", Partition(0)}, {"another partition"}).ok());
  ASSERT_TRUE(changelog_->sync().ok());
  reopen();
  auto all = read(one_);
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].second, "a");
  EXPECT_EQ(all[1].second, "");
  EXPECT_EQ(all[2].second, std::string(3'000'000, 'b'));
  EXPECT_EQ(all[4].second, "d");
  for (size_t i = 1; i < all.size(); ++i) EXPECT_GT(all[i].first, all[i - 1].first);
  EXPECT_GE(changelog_->end(one_).value(), all.back().first + 1);
}

TEST_F(LogChangelogTest, MakesNoBatchThatTheLogRefuses) {
  options_.max_batch_bytes = 4096;
  reopen();
  std::vector<std::string> records(100, std::string(300, 'r'));
  records.emplace_back(changelog_->max_record_bytes(), 'm');
  ASSERT_TRUE(changelog_->append(one_, records).ok());
  ASSERT_TRUE(changelog_->sync().ok());
  EXPECT_EQ(read(one_).size(), records.size());
}

TEST_F(LogChangelogTest, TruncatesWhatIsNeededNoMore) {
  ASSERT_TRUE(changelog_->append(one_, {"old"}).ok());
  int64_t at = changelog_->end(one_).value();
  ASSERT_TRUE(changelog_->append(one_, {"new"}).ok());
  ASSERT_TRUE(changelog_->sync().ok());
  ASSERT_TRUE(changelog_->truncate_before(one_, at).ok());
  reopen();
  auto all = read(one_);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0], (std::pair<int64_t, std::string>(at, "new")));
}

TEST_F(LogChangelogTest, DoesNotShowWhatATransactionHasNotCommitted) {
  log::Producer producer = log_->init_transactional("pipe/input-1").value();
  RecordBatchBuilder::Options options;
  options.transactional = true;
  options.producer_id = producer.id;
  options.producer_epoch = producer.epoch;
  options.base_sequence = 0;
  std::vector<std::string> batches = changelog_batches({"in a transaction"}, options).value();
  ASSERT_EQ(batches.size(), 1u);
  ASSERT_TRUE(log_->append({changelog_topic("pipe"), Partition(1)}, batches[0], false).ok());
  EXPECT_TRUE(read(one_).empty());
  log::TransactionCommit commit{producer, {}};
  ASSERT_TRUE(log_->commit({&commit, 1}).ok());
  EXPECT_EQ(read(one_).size(), 1u);
}

}  // namespace
}  // namespace tidemill::pipeline
