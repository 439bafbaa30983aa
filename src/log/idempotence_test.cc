// Retries of one producer do not double: Kafka's rules for ids, epochs and sequences.
#include <gtest/gtest.h>

#include <climits>

#include "log/log.h"
#include "log/producer_state.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;
using Values = std::vector<std::string>;

const TopicPartition kT0{"t", Partition(0)};

class IdempotenceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    log_ = fixture_.open();
    must(log_->create_topic("t", {}));
  }
  void reopen() {
    log_ = nullptr;
    log_ = fixture_.open();
  }
  Result<Appended> put(Producer producer, int32_t sequence, const Values& values) {
    auto appended = append(*log_, kT0, values, {.producer = producer, .sequence = sequence});
    if (appended.ok()) must(log_->wait_durable(appended->sync_ticket));
    return appended;
  }
  LogFixture fixture_;
  std::unique_ptr<Log> log_;
};

TEST_F(IdempotenceTest, ARetryAnswersTheFirstOffsets) {
  Producer producer = must(log_->init_idempotent());
  must(put(producer, 0, {"a", "b"}));
  must(put(producer, 2, {"c"}));
  for (int open = 0; open < 2; ++open) {
    Appended again = must(put(producer, 0, {"a", "b"}));
    EXPECT_TRUE(again.duplicate);
    EXPECT_EQ(again.first, Offset(0));
    EXPECT_EQ(again.last, Offset(1));
    EXPECT_EQ(read_values(*log_, kT0), (Values{"a", "b", "c"}));
    reopen();
  }
}

TEST_F(IdempotenceTest, FiveBatchesAreRemembered) {
  Producer producer = must(log_->init_idempotent());
  for (int i = 0; i < 7; ++i) must(put(producer, i, {"v"}));
  for (int i = 2; i < 7; ++i) EXPECT_TRUE(must(put(producer, i, {"v"})).duplicate);
  EXPECT_EQ(put(producer, 1, {"v"}).error().code, Code::kInvalid);
  EXPECT_EQ(put(producer, 8, {"v"}).error().code, Code::kInvalid) << "a gap";
  EXPECT_FALSE(must(put(producer, 7, {"v"})).duplicate);
}

TEST_F(IdempotenceTest, TheWindowSurvivesACleanShutdownARollAndRetention) {
  fixture_.options.segment_bytes = 600;
  reopen();
  Producer named = must(log_->init_idempotent("simulator"));
  for (int i = 0; i < 30; ++i) must(put(named, i, {"value " + std::to_string(i)}));
  must(log_->delete_records(kT0, Offset(30)));
  for (int round = 0; round < 3; ++round) {
    for (int i = 25; i < 30; ++i) EXPECT_TRUE(must(put(named, i, {"value " + std::to_string(i)})).duplicate);
    EXPECT_EQ(must(log_->last_sequence(kT0, named)), 29);
    if (round == 0) must(log_->close());
    reopen();
    EXPECT_EQ(must(log_->init_idempotent("simulator")), named);
  }
  EXPECT_NE(must(log_->init_idempotent("other")).id, named.id);
  EXPECT_EQ(must(log_->last_sequence(kT0, {999, 0})), std::nullopt);
}

TEST_F(IdempotenceTest, EpochsFenceAndBeginAtZero) {
  Producer old{50, 1};
  must(put(old, 17, {"a"}));
  Producer next{50, 2};
  EXPECT_EQ(put(next, 18, {"b"}).error().code, Code::kInvalid);
  must(put(next, 0, {"b"}));
  EXPECT_EQ(put(old, 18, {"c"}).error().code, Code::kFenced);
}

TEST_F(IdempotenceTest, SequencesWrap) {
  Producer producer{60, 0};
  must(put(producer, INT_MAX - 1, {"a", "b", "c"}));
  EXPECT_EQ(must(log_->last_sequence(kT0, producer)), 0);
  EXPECT_TRUE(must(put(producer, INT_MAX - 1, {"a", "b", "c"})).duplicate);
  must(put(producer, 1, {"d"}));
  EXPECT_EQ(advance_sequence(INT_MAX, 1), 0);
  EXPECT_EQ(advance_sequence(0, -1), INT_MAX);
}

TEST_F(IdempotenceTest, ProducerIdsAreNeverHandedOutTwice) {
  std::vector<int64_t> ids;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 5; ++i) ids.push_back(must(log_->init_idempotent()).id);
    ids.push_back(must(log_->init_transactional("t" + std::to_string(round))).id);
    fixture_.files.crash(static_cast<uint64_t>(round));
    reopen();
  }
  std::sort(ids.begin(), ids.end());
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
}

TEST_F(IdempotenceTest, IdleProducersAreForgottenButNotNamedOnes) {
  Producer anonymous = must(log_->init_idempotent());
  Producer named = must(log_->init_idempotent("name"));
  must(put(anonymous, 0, {"a"}));
  must(put(named, 0, {"a"}));
  fixture_.clock.advance_us(25LL * 3600 * 1'000'000);
  must(log_->housekeep());
  EXPECT_EQ(must(log_->last_sequence(kT0, anonymous)), std::nullopt);
  EXPECT_EQ(must(log_->last_sequence(kT0, named)), 0);
}

TEST(ProducerStates, DamagedSnapshotsAreRefused) {
  ProducerStates states;
  BatchHeader header;
  header.producer_id = 1;
  header.producer_epoch = 0;
  header.base_sequence = 0;
  header.last_offset_delta = 2;
  header.attributes = record_batch_layout::kTransactionalBit;
  states.appended(header);
  std::string bytes = states.encode();
  ASSERT_TRUE(ProducerStates::decode("x", bytes).ok());
  EXPECT_EQ(ProducerStates::decode("x", bytes)->encode(), bytes);
  EXPECT_EQ(ProducerStates::decode("x", bytes)->first_open(), Offset(0));
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ 4);
    EXPECT_FALSE(ProducerStates::decode("x", bad).ok());
    EXPECT_FALSE(ProducerStates::decode("x", bytes.substr(0, i)).ok());
  }
}

}  // namespace
}  // namespace tidemill::log
