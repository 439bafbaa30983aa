// Transactions: what commits together is seen together, once, by the owner alone.
#include <gtest/gtest.h>

#include "base/steps.h"
#include "log/log.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;
using Values = std::vector<std::string>;

const TopicPartition kOut0{"out", Partition(0)};
const TopicPartition kOut1{"out", Partition(1)};
const TopicPartition kIn0{"in", Partition(0)};

class TransactionsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log_ = fixture_.open();
    must(log_->create_topic("out", {.partitions = 2}));
    must(log_->create_topic("in", {}));
  }
  void reopen() {
    log_ = nullptr;
    log_ = fixture_.open();
  }
  Result<Appended> put(Producer producer, int32_t sequence, const TopicPartition& tp, const Values& values) {
    return append(*log_, tp, values, {.producer = producer, .sequence = sequence, .transactional = true});
  }
  static PositionCommit move(std::optional<int64_t> from, int64_t to) {
    PositionCommit commit;
    commit.group = "g";
    commit.source = kIn0;
    if (from) commit.expected = Position{Offset(*from), LeaderEpoch(0)};
    commit.next.position = {Offset(to), LeaderEpoch(0)};
    commit.next.epoch = to;
    commit.next.incarnation = 3;
    commit.next.metadata = "m" + std::to_string(to);
    return commit;
  }
  Status commit(Producer producer, std::vector<PositionCommit> positions = {}) {
    std::vector<TransactionCommit> one{{producer, std::move(positions)}};
    return log_->commit(one);
  }
  Values committed(const TopicPartition& tp) { return read_values(*log_, tp); }
  Values uncommitted(const TopicPartition& tp) { return read_values(*log_, tp, Isolation::kReadUncommitted); }

  LogFixture fixture_;
  std::unique_ptr<Log> log_;
};

TEST_F(TransactionsTest, CommitShowsAllPartitionsAndPositions) {
  Producer producer = must(log_->init_transactional("task"));
  must(put(producer, 0, kOut0, {"a"}));
  must(put(producer, 0, kOut1, {"b", "c"}));
  EXPECT_EQ(committed(kOut0), Values{});
  must(commit(producer, {move(std::nullopt, 10)}));
  for (int open = 0; open < 3; ++open) {
    EXPECT_EQ(committed(kOut0), Values{"a"});
    EXPECT_EQ(committed(kOut1), (Values{"b", "c"}));
    auto position = log_->committed_position("g", kIn0);
    ASSERT_TRUE(position.has_value());
    EXPECT_EQ(position->position, (Position{Offset(10), LeaderEpoch(0)}));
    EXPECT_EQ(position->epoch, 10);
    EXPECT_EQ(position->incarnation, 3);
    EXPECT_EQ(position->metadata, "m10");
    if (open == 1) must(log_->close());
    reopen();
  }
  EXPECT_EQ(log_->committed_position("other", kIn0), std::nullopt);
}

TEST_F(TransactionsTest, AbortedBatchesAreNeverSeen) {
  Producer producer = must(log_->init_transactional("task"));
  must(put(producer, 0, kOut0, {"lost"}));
  must(log_->abort(producer));
  must(put(producer, 1, kOut0, {"kept"}));
  must(commit(producer));
  for (int open = 0; open < 3; ++open) {
    EXPECT_EQ(committed(kOut0), Values{"kept"});
    EXPECT_EQ(uncommitted(kOut0), (Values{"lost", "kept"}));
    if (open == 1) must(log_->close());
    reopen();
  }
}

TEST_F(TransactionsTest, AnOpenTransactionHoldsBackItsOwnPartitionOnly) {
  Producer first = must(log_->init_transactional("one"));
  Producer second = must(log_->init_transactional("two"));
  must(put(first, 0, kOut0, {"open"}));
  must(put(second, 0, kOut0, {"behind"}));
  must(put(second, 0, kOut1, {"free"}));
  must(commit(second));
  EXPECT_EQ(committed(kOut0), Values{});
  EXPECT_EQ(committed(kOut1), Values{"free"});
  EXPECT_EQ(must(log_->partition(kOut0)).last_stable, Offset(0));
  must(commit(first));
  EXPECT_EQ(committed(kOut0), (Values{"open", "behind"}));
}

TEST_F(TransactionsTest, InterleavedAbortsDropOnlyTheirOwn) {
  fixture_.options.segment_bytes = 700;
  reopen();
  Producer keep = must(log_->init_transactional("keep"));
  Producer drop = must(log_->init_transactional("drop"));
  Values expected;
  for (int i = 0; i < 20; ++i) {
    must(put(drop, i, kOut0, {"x" + std::to_string(i)}));
    expected.push_back("k" + std::to_string(i));
    must(put(keep, i, kOut0, {expected.back()}));
    if (i % 3 == 0) must(log_->abort(drop));
    if (i % 2 == 0) must(commit(keep));
  }
  must(commit(keep));
  must(log_->abort(drop));
  EXPECT_EQ(committed(kOut0), expected);
  reopen();
  EXPECT_EQ(committed(kOut0), expected);
  must(log_->close());
  reopen();
  EXPECT_EQ(committed(kOut0), expected);
}

TEST_F(TransactionsTest, ALaterInitFencesTheOlderOwner) {
  Producer old = must(log_->init_transactional("task"));
  must(put(old, 0, kOut0, {"old"}));
  Producer next = must(log_->init_transactional("task"));
  EXPECT_EQ(next.id, old.id);
  EXPECT_GT(next.epoch, old.epoch);
  EXPECT_EQ(put(old, 1, kOut0, {"late"}).error().code, Code::kFenced);
  EXPECT_EQ(put(old, 0, kOut1, {"late"}).error().code, Code::kFenced);
  EXPECT_EQ(commit(old, {move(std::nullopt, 1)}).error().code, Code::kFenced);
  EXPECT_EQ(log_->abort(old).error().code, Code::kFenced);
  EXPECT_EQ(log_->committed_position("g", kIn0), std::nullopt);
  must(put(next, 0, kOut0, {"new"}));
  must(commit(next));
  EXPECT_EQ(committed(kOut0), Values{"new"});
  fixture_.files.crash(1);
  reopen();
  EXPECT_EQ(committed(kOut0), Values{"new"});
  EXPECT_GT(must(log_->init_transactional("task")).epoch, next.epoch);
}

TEST_F(TransactionsTest, APositionThatMovedFencesTheWholeCommit) {
  Producer producer = must(log_->init_transactional("task"));
  must(log_->commit_positions(std::vector{move(std::nullopt, 5)}));
  must(put(producer, 0, kOut0, {"a"}));
  for (auto expected : {std::optional<int64_t>(), std::optional<int64_t>(4)}) {
    Status missed = commit(producer, {move(expected, 9)});
    ASSERT_FALSE(missed.ok());
    EXPECT_EQ(missed.error().code, Code::kFenced);
  }
  EXPECT_EQ(log_->committed_position("g", kIn0)->position.offset, Offset(5));
  must(log_->abort(producer));
  EXPECT_EQ(committed(kOut0), Values{});
  must(put(producer, 1, kOut0, {"b"}));
  must(commit(producer, {move(5, 9)}));
  EXPECT_EQ(committed(kOut0), Values{"b"});
  EXPECT_EQ(commit(producer, {move(9, 10), move(9, 11)}).error().code, Code::kInvalid);
}

TEST_F(TransactionsTest, SeveralProducersCommitByOneRecord) {
  Producer first = must(log_->init_transactional("one"));
  Producer second = must(log_->init_transactional("two"));
  must(put(first, 0, kOut0, {"a"}));
  must(put(second, 0, kOut1, {"b"}));
  std::vector<TransactionCommit> both{{first, {move(std::nullopt, 1)}}, {second, {}}};
  must(log_->commit(both));
  EXPECT_EQ(committed(kOut0), Values{"a"});
  EXPECT_EQ(committed(kOut1), Values{"b"});
  must(put(first, 1, kOut0, {"c"}));
  std::vector<TransactionCommit> stale{{first, {}},
                                       {{second.id, static_cast<int16_t>(second.epoch - 1)}, {}}};
  EXPECT_EQ(log_->commit(stale).error().code, Code::kFenced);
  EXPECT_EQ(committed(kOut0), Values{"a"});
  must(commit(first));
  EXPECT_EQ(committed(kOut0), (Values{"a", "c"}));
}

TEST_F(TransactionsTest, MisuseIsRefused) {
  Producer plain = must(log_->init_idempotent());
  EXPECT_EQ(put(plain, 0, kOut0, {"a"}).error().code, Code::kInvalid) << "no transactional id";
  Producer producer = must(log_->init_transactional("task"));
  must(put(producer, 0, kOut0, {"a"}));
  EXPECT_EQ(append(*log_, kOut0, {"b"}, {.producer = producer, .sequence = 1}).error().code, Code::kInvalid)
      << "a plain batch inside a transaction";
  std::vector<TransactionCommit> twice{{producer, {}}, {producer, {}}};
  EXPECT_EQ(log_->commit(twice).error().code, Code::kInvalid);
  must(commit(producer));
  must(commit(producer));  // nothing since: fine
  EXPECT_EQ(log_->init_transactional("").error().code, Code::kInvalid);
  EXPECT_EQ(committed(kOut0), Values{"a"});
}

TEST_F(TransactionsTest, DeletingATopicForgetsItsPositions) {
  must(log_->commit_positions(std::vector{move(std::nullopt, 5)}));
  Producer producer = must(log_->init_transactional("task"));
  must(put(producer, 0, kIn0, {"a"}));
  must(log_->delete_topic("in"));
  must(commit(producer));
  EXPECT_EQ(log_->committed_position("g", kIn0), std::nullopt);
  reopen();
  EXPECT_EQ(log_->committed_position("g", kIn0), std::nullopt);
}

TEST_F(TransactionsTest, ATopicMadeAgainDoesNotInheritCommits) {
  Producer producer = must(log_->init_transactional("task"));
  must(put(producer, 0, kOut0, {"old"}));
  must(commit(producer));
  must(log_->delete_topic("out"));
  must(log_->create_topic("out", {.partitions = 2}));
  Appended appended = must(put(producer, 0, kOut0, {"never committed"}));
  EXPECT_EQ(appended.first, Offset(0));
  must(log_->wait_durable(appended.sync_ticket));
  fixture_.files.crash(1);
  reopen();
  EXPECT_EQ(committed(kOut0), Values{});
  EXPECT_EQ(uncommitted(kOut0), Values{"never committed"});
}

// A commit that fails with an I/O error at any sync or write of its way either did not happen or
// happened as a whole, and says which, or kUnknown.
TEST_F(TransactionsTest, AnIoErrorAtAnyStepIsToldTruly) {
  using Operation = MemoryFiles::Operation;
  for (Operation kind : {Operation::kWrite, Operation::kSync}) {
    for (int fail_at = 1; fail_at <= 6; ++fail_at) {
      LogFixture fixture;
      auto log = fixture.open();
      must(log->create_topic("out", {.partitions = 2}));
      Producer producer = must(log->init_transactional("task"));
      BatchOptions batch{.producer = producer, .sequence = 0, .transactional = true};
      must(append(*log, kOut0, {"a"}, batch));
      must(append(*log, kOut1, {"b"}, batch));
      int count = 0;
      fixture.files.set_fault(
          [&](Operation operation, const std::string&) { return operation == kind && ++count == fail_at; });
      std::vector<TransactionCommit> one{{producer, {move(std::nullopt, 7)}}};
      Status done = log->commit(one);
      fixture.files.set_fault({});
      if (!done.ok() && kind == Operation::kSync) {
        EXPECT_EQ(log->abort(producer).error().code, Code::kFailed) << "a failed sync ends the log";
        EXPECT_NE(log->housekeep().error().message.find("restart"), std::string::npos);
      }
      bool knows_it_failed = !done.ok() && done.error().code != Code::kUnknown;
      log = nullptr;
      fixture.files.crash(static_cast<uint64_t>(fail_at));
      log = fixture.open();
      bool happened = log->committed_position("g", kIn0).has_value();
      EXPECT_EQ(read_values(*log, kOut0), happened ? Values{"a"} : Values{});
      EXPECT_EQ(read_values(*log, kOut1), happened ? Values{"b"} : Values{});
      EXPECT_TRUE(happened || !done.ok());
      EXPECT_FALSE(happened && knows_it_failed);
    }
  }
}

TEST_F(TransactionsTest, TheTransactionsTopicStaysBounded) {
  fixture_.options.segment_bytes = 4000;
  reopen();
  Producer producer = must(log_->init_transactional("task"));
  Producer named = must(log_->init_idempotent("name"));
  TopicPartition own{"__transactions", Partition(0)};
  uint64_t largest = 0;
  for (int i = 0; i < 300; ++i) {
    must(put(producer, i, kOut0, {"v"}));
    must(commit(producer, {move(i == 0 ? std::nullopt : std::optional<int64_t>(i), i + 1)}));
    largest = std::max(largest, must(log_->partition(own)).size_bytes);
    if (i % 50 == 49) {
      fixture_.files.crash(static_cast<uint64_t>(i));
      reopen();
      EXPECT_EQ(log_->committed_position("g", kIn0)->position.offset, Offset(i + 1));
      EXPECT_EQ(must(log_->init_idempotent("name")), named);
      EXPECT_EQ(committed(kOut0).size(), static_cast<size_t>(i + 1));
    }
  }
  EXPECT_LT(largest, 12'000u);
}

// The markers of a decided commit cannot be written (disk full): the commit stands, readers see it
// once there is room again.
TEST_F(TransactionsTest, MarkersThatDoNotFitAreWrittenLater) {
  Producer producer = must(log_->init_transactional("task"));
  must(put(producer, 0, kOut0, {"a"}));
  must(put(producer, 0, kOut1, {"b"}));
  arm_step("log.txn.record.durable", [&] { fixture_.files.set_capacity(fixture_.files.used_bytes()); });
  must(commit(producer, {move(std::nullopt, 3)}));
  arm_step("log.txn.record.durable", {});
  EXPECT_EQ(committed(kOut0), Values{});
  Status delayed = log_->housekeep();
  ASSERT_FALSE(delayed.ok());
  EXPECT_TRUE(delayed.error().retryable);
  EXPECT_EQ(put(producer, 1, kOut0, {"c"}).error().code, Code::kDiskFull);
  fixture_.files.set_capacity(UINT64_MAX);
  must(log_->housekeep());
  EXPECT_EQ(committed(kOut0), Values{"a"});
  must(put(producer, 1, kOut0, {"c"}));
  must(commit(producer));
  EXPECT_EQ(committed(kOut0), (Values{"a", "c"}));
  EXPECT_EQ(committed(kOut1), Values{"b"});
}

}  // namespace
}  // namespace tidemill::log
