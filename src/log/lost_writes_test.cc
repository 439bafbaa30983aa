// Writes that a disk lost although the log did not expect it: told from damage, or said.
#include <gtest/gtest.h>

#include "base/logging.h"
#include "log/log.h"
#include "log/repair.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;
using Values = std::vector<std::string>;

const TopicPartition kT0{"t", Partition(0)};
const std::string kFirst = "/data/log/t-0/00000000000000000000.log";

class LostWrites : public ::testing::Test {
 protected:
  void SetUp() override { set_log_level(LogLevel::kError); }
  void TearDown() override { set_log_level(LogLevel::kInfo); }
};

// The first sector of a batch holds only its offset, which no checksum covers.
TEST_F(LostWrites, ABatchWithoutItsFirstSectorIsCut) {
  size_t tried = 0;
  for (size_t length = 300; length < 850; ++length) {
    LogFixture fixture;
    auto log = fixture.open();
    must(log->create_topic("t", {}));
    Values values{std::string(length, 'v')};
    must(log->wait_durable(must(append(*log, kT0, values)).sync_ticket));
    size_t begin = fixture.files.content(kFirst).size();
    size_t sector_end = (begin / 512 + 1) * 512;
    if (sector_end - begin > 12) continue;
    ++tried;
    must(append(*log, kT0, {"torn"}));
    log = nullptr;
    fixture.files.kill_process();
    std::string content = fixture.files.content(kFirst);
    std::fill(content.begin() + static_cast<ptrdiff_t>(begin),
              content.begin() + static_cast<ptrdiff_t>(sector_end), '\0');
    fixture.files.set_content(kFirst, content);
    log = fixture.open();
    ASSERT_NE(log, nullptr);
    // Where the bytes were zero anyway, the batch is whole.
    if (sector_end - begin < 8) values.push_back("torn");
    EXPECT_EQ(read_values(*log, kT0), values);
    EXPECT_EQ(must(append(*log, kT0, {"next"})).first, Offset(static_cast<int64_t>(values.size())));
  }
  EXPECT_GE(tried, 12u);
}

TEST_F(LostWrites, ASegmentThatEndsBeforeTheNextOneBeginsIsDamage) {
  for (bool close : {false, true}) {
    LogFixture fixture;
    fixture.options.segment_bytes = 1000;
    auto log = fixture.open();
    must(log->create_topic("t", {}));
    Values values;
    uint64_t end_of_fourth = 0;
    for (int i = 0; i < 40; ++i) {
      values.push_back("value " + std::to_string(i) + std::string(40, '.'));
      must(log->wait_durable(must(append(*log, kT0, {values.back()})).sync_ticket));
      if (i == 3) end_of_fourth = fixture.files.content(kFirst).size();
    }
    if (close) must(log->close());
    log = nullptr;
    fixture.files.kill_process();
    std::string content = fixture.files.content(kFirst);
    ASSERT_GT(content.size(), end_of_fourth);
    int64_t lost = static_cast<int64_t>((content.size() - end_of_fourth) / (end_of_fourth / 4));
    fixture.files.set_content(kFirst, content.substr(0, end_of_fourth));
    auto refused = fixture.try_open();
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kCorrupt);
    EXPECT_NE(refused.error().message.find("ends at offset 4"), std::string::npos) << refused.error().message;
    auto places = must(inspect_damage(fixture.files, "/data/log"));
    ASSERT_EQ(places.size(), 1u);
    EXPECT_EQ(places[0].first_lost, Offset(4));
    EXPECT_EQ(places[0].end_lost, Offset(4 + lost));
    must(repair_partition(fixture.files, "/data/log", kT0));
    EXPECT_TRUE(must(inspect_damage(fixture.files, "/data/log")).empty());
    values.erase(values.begin() + 4, values.begin() + 4 + lost);
    for (int again = 0; again < 2; ++again) {
      log = fixture.open();
      ASSERT_NE(log, nullptr);
      EXPECT_EQ(read_values(*log, kT0), values);
      must(log->close());
    }
  }
}

// The system takes for clean what it could not write: it reads back, and a later sync does not keep it.
TEST_F(LostWrites, WhatAFailedSyncLeftIsWrittenAgain) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    LogFixture fixture;
    auto log = fixture.open();
    must(log->create_topic("t", {}));
    must(log->wait_durable(must(append(*log, kT0, {"synced"})).sync_ticket));
    uint64_t ticket = must(append(*log, kT0, {"dropped"})).sync_ticket;
    fixture.files.set_judge([](const MemoryFiles::Change& change) {
      bool sync = change.operation == MemoryFiles::Operation::kSync && change.path == kFirst;
      return sync ? MemoryFiles::Fate{MemoryFiles::Fate::kFails, 0, true} : MemoryFiles::Fate{};
    });
    EXPECT_FALSE(log->wait_durable(ticket).ok());
    fixture.files.set_judge({});
    log = nullptr;
    fixture.files.kill_process();
    log = fixture.open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(read_values(*log, kT0), (Values{"synced", "dropped"}));
    log = nullptr;
    fixture.files.crash(seed);
    log = fixture.open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(read_values(*log, kT0), (Values{"synced", "dropped"})) << "a reader saw it";
  }
}

// Under weak durability what follows a lost beginning goes with it, at whatever change an opening ends.
TEST_F(LostWrites, WhatFollowsALostFirstSegmentIsCutHoweverOftenTheOpeningDies) {
  for (uint64_t dies_at = 1; dies_at < 80; ++dies_at) {
    LogFixture fixture;
    fixture.options.durability = Durability::kNone;
    fixture.options.segment_bytes = 1000;
    auto log = fixture.open();
    must(log->create_topic("t", {}));
    for (int i = 0; i < 20; ++i) must(append(*log, kT0, {std::string(100, 'v')}));
    log = nullptr;
    fixture.files.kill_process();
    fixture.files.set_content(kFirst, "");
    fixture.files.fail_power_after(dies_at);
    log = nullptr;
    static_cast<void>(fixture.try_open().ok());
    fixture.files.kill_process();
    log = fixture.open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(read_values(*log, kT0), Values()) << dies_at;
    EXPECT_EQ(must(append(*log, kT0, {"next"})).first, Offset(0)) << dies_at;
  }
}

// The log's own topic is cut by snapshots of its state; what they leave must open again.
void commit_many(Log& log, int from, int count, std::optional<Position>* position) {
  for (int i = from; i < from + count; ++i) {
    PositionCommit move;
    move.group = "g";
    move.source = kT0;
    move.expected = *position;
    move.next.position = {Offset(i), LeaderEpoch(0)};
    std::vector<PositionCommit> moves{move};
    must(log.commit_positions(moves));
    *position = move.next.position;
  }
}

TEST_F(LostWrites, AKillAfterTheFirstSegmentsWereDeletedLosesNothing) {
  for (Durability durability : {Durability::kSync, Durability::kInterval, Durability::kNone}) {
    LogFixture fixture;
    fixture.options.durability = durability;
    fixture.options.segment_bytes = 1000;
    auto log = fixture.open();
    std::optional<Position> position;
    commit_many(*log, 1, 40, &position);
    ASSERT_FALSE(fixture.files.exists("/data/log/__transactions-0/00000000000000000000.log"));
    log = nullptr;
    fixture.files.kill_process();
    log = fixture.open();
    ASSERT_NE(log, nullptr);
    auto held = log->committed_position("g", kT0);
    ASSERT_TRUE(held.has_value());
    EXPECT_EQ(held->position, *position);
  }
}

TEST_F(LostWrites, ASegmentThatCannotBeRemovedIsRemovedBeforeLaterOnes) {
  LogFixture fixture;
  fixture.options.segment_bytes = 1000;
  auto log = fixture.open();
  must(log->create_topic("t", {}));
  for (int i = 0; i < 60; ++i) must(append(*log, kT0, {std::string(100, 'v')}));
  must(log->wait_durable(must(append(*log, kT0, {"last"})).sync_ticket));
  fixture.files.set_fault([](MemoryFiles::Operation operation, const std::string& path) {
    return operation == MemoryFiles::Operation::kOther && path.ends_with(".timeindex");
  });
  EXPECT_FALSE(log->delete_records(kT0, Offset(20)).ok());
  fixture.files.set_fault({});
  must(log->delete_records(kT0, Offset(40)));
  size_t removed = 0;
  for (const std::string& path : fixture.files.paths()) {
    bool segment = path.starts_with("/data/log/t-0/") && path.ends_with(".log");
    if (segment && path < "/data/log/t-0/00000000000000000033.log") ++removed;
  }
  EXPECT_EQ(removed, 0u) << "what could not be removed the first time goes with the rest";
}

// Under weak durability a power cut may take the record of an id and keep the batches written under it.
TEST_F(LostWrites, AProducerIdInUseIsNotHandedOutAgain) {
  const std::string own = "/data/log/__transactions-0/00000000000000000000.log";
  for (bool all : {false, true}) {
    LogFixture fixture;
    fixture.options.durability = Durability::kNone;
    auto log = fixture.open();
    must(log->create_topic("t", {}));
    Producer plain = must(log->init_idempotent());
    must(append(*log, kT0, {"plain"}, {.producer = plain, .sequence = 0}));
    must(log->init_transactional("task"));
    std::string before = all ? std::string() : fixture.files.content(own);
    Producer task = must(log->init_transactional("task"));
    must(append(*log, kT0, {"task"}, {.producer = task, .sequence = 0, .transactional = true}));
    log = nullptr;
    fixture.files.kill_process();
    fixture.files.set_content(own, before);
    log = fixture.open();
    ASSERT_NE(log, nullptr);
    EXPECT_GT(must(log->init_idempotent()).id, std::max(plain.id, task.id));
    EXPECT_GT(must(log->init_transactional("task")), task);
  }
}

// The snapshot of producers is durable before the batches that it knows of, under weak durability.
TEST_F(LostWrites, ARetryOfABatchThatIsLostIsStored) {
  LogFixture fixture;
  fixture.options.durability = Durability::kNone;
  fixture.options.segment_bytes = 300;
  auto log = fixture.open();
  must(log->create_topic("t", {}));
  Producer producer = must(log->init_idempotent("client"));
  for (int i = 0; i < 3; ++i)
    must(append(*log, kT0, {std::string(200, 'v')}, {.producer = producer, .sequence = i}));
  log = nullptr;
  fixture.files.kill_process();
  // All that the segments held is lost; their names and the snapshots are there.
  for (const std::string& path : fixture.files.paths()) {
    if (path.starts_with("/data/log/t-0/") && path.ends_with(".log")) {
      bool newest = path.ends_with("00000000000000000002.log");
      fixture.files.set_content(path, newest ? fixture.files.content(path) : std::string());
    }
  }
  log = fixture.open();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(must(log->partition(kT0)).log_end, Offset(0));
  EXPECT_EQ(must(log->last_sequence(kT0, producer)), std::nullopt);
  auto again = must(append(*log, kT0, {"again"}, {.producer = producer, .sequence = 1}));
  EXPECT_FALSE(again.duplicate);
  EXPECT_EQ(again.first, Offset(0));
}

// A commit record that readers saw decide may be lost under weak durability, and its data be kept: recovery
// aborts that, and no position beyond its beginning holds any more.
TEST_F(LostWrites, APositionBeyondAForgottenTransactionIsOfAnotherEpoch) {
  const std::string own = "/data/log/__transactions-0/00000000000000000000.log";
  for (Durability durability : {Durability::kNone, Durability::kSync}) {
    LogFixture fixture;
    fixture.options.durability = durability;
    auto log = fixture.open();
    must(log->create_topic("t", {}));
    must(append(*log, kT0, {"plain"}));
    Producer producer = must(log->init_transactional("task"));
    must(append(*log, kT0, {"seen"}, {.producer = producer, .sequence = 0, .transactional = true}));
    std::string data = fixture.files.content(kFirst);
    std::string record = fixture.files.content(own);
    std::vector<TransactionCommit> commits{{producer, {}}};
    must(log->commit(commits));
    if (durability == Durability::kSync) record = fixture.files.content(own);
    Fetched seen = must(log->read(kT0, Offset(1), 1000, Isolation::kReadCommitted));
    EXPECT_EQ(seen.end.offset, Offset(durability == Durability::kSync ? 2 : 3));
    log = nullptr;
    fixture.files.kill_process();
    fixture.files.set_content(kFirst, data);
    fixture.files.set_content(own, record);
    for (int again = 0; again < 2; ++again) {
      log = fixture.open();
      ASSERT_NE(log, nullptr);
      Offset end = must(log->leader_epoch_end(kT0, seen.end.leader_epoch));
      if (durability == Durability::kSync) {
        EXPECT_EQ(read_values(*log, kT0), (Values{"plain", "seen"}));
        EXPECT_GE(end, seen.end.offset);
        continue;
      }
      EXPECT_EQ(read_values(*log, kT0), (Values{"plain"}));
      EXPECT_EQ(end, Offset(1));
      // What is read now has a position that holds.
      Position now = must(log->read(kT0, Offset(0), 1000, Isolation::kReadUncommitted)).end;
      EXPECT_EQ(must(log->leader_epoch_end(kT0, now.leader_epoch)), now.offset);
      log = nullptr;
      fixture.files.kill_process();
    }
  }
}

}  // namespace
}  // namespace tidemill::log
