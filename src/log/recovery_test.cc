// What opening does with what it finds: torn tails, damage, missing and stale files; and repair.
#include <gtest/gtest.h>

#include <algorithm>

#include "base/logging.h"
#include "log/log.h"
#include "log/repair.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;
using Values = std::vector<std::string>;

const TopicPartition kT0{"t", Partition(0)};

class RecoveryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kError);
    fixture_.options.segment_bytes = 3000;
    fixture_.options.index_interval_bytes = 200;
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  // 100 events in batches of one, over several segments.
  void fill(bool close = false, int count = 100) {
    auto log = fixture_.open();
    must(log->create_topic("t", {}));
    for (int i = 0; i < count; ++i) {
      values_.push_back("value " + std::to_string(i) + std::string(40, '.'));
      must(log->wait_durable(must(append(*log, kT0, {values_.back()})).sync_ticket));
    }
    if (close) must(log->close());
  }
  std::vector<std::string> files(const std::string& suffix) {
    std::vector<std::string> found;
    for (const std::string& path : fixture_.files.paths()) {
      if (path.starts_with("/data/log/t-0/") && path.ends_with(suffix)) found.push_back(path);
    }
    return found;
  }
  // Where the batch of the n-th value stands: its segment and position.
  std::pair<std::string, uint64_t> place(size_t number) {
    for (const std::string& path : files(".log")) {
      size_t at = fixture_.files.content(path).find(values_[number]);
      if (at != std::string::npos) return {path, at};
    }
    ADD_FAILURE();
    return {};
  }
  Values values(Log& log, Offset from = Offset(0)) {
    return read_values(log, kT0, Isolation::kReadCommitted, from);
  }

  LogFixture fixture_;
  Values values_;
};

TEST_F(RecoveryTest, MissingIndexesAreRebuilt) {
  for (bool close : {false, true}) {
    values_.clear();
    fixture_.files.crash(0);
    must(fixture_.files.remove_tree("/data"));
    fill(close);
    auto segments = files(".log");
    ASSERT_GT(segments.size(), 3u);
    std::map<std::string, std::string> before;
    for (std::string_view suffix : {".index", ".timeindex", ".txnindex"}) {
      for (const std::string& path : files(std::string(suffix))) {
        before[path] = fixture_.files.content(path);
        must(fixture_.files.remove(path));
      }
    }
    auto log = fixture_.open();
    EXPECT_EQ(values(*log), values_);
    for (size_t i = 0; i < values_.size(); ++i) {
      EXPECT_EQ(must(log->read(kT0, Offset(static_cast<int64_t>(i)), 1, Isolation::kReadCommitted)).first,
                Offset(static_cast<int64_t>(i)));
    }
    must(log->close());
    for (const auto& [path, content] : before) {
      if (!path.starts_with(segments.back().substr(0, segments.back().size() - 4))) {
        EXPECT_EQ(fixture_.files.content(path), content) << path;
      }
    }
  }
}

TEST_F(RecoveryTest, AnIndexThatIsMissingAfterAnOrderlyCloseLeavesAbortedBatchesHidden) {
  fixture_.options.segment_bytes = 1u << 20;
  {
    auto log = fixture_.open();
    must(log->create_topic("t", {}));
    Producer producer = must(log->init_transactional("p"));
    must(append(*log, kT0, {"aborted"}, {producer, 0, true}));
    must(log->abort(producer));
    // Open when the log is closed: what the end knows of the producer begins here.
    must(append(*log, kT0, {"open"}, {producer, 1, true}));
    must(log->close());
  }
  must(fixture_.files.remove(files(".index").front()));
  auto log = fixture_.open();
  must(append(*log, kT0, {"plain"}));
  must(log->wait_durable(must(append(*log, kT0, {"more"})).sync_ticket));
  EXPECT_EQ(values(*log), (Values{"plain", "more"}));
}

TEST_F(RecoveryTest, StaleAndTornIndexesAreNotTrusted) {
  fill();
  for (const std::string& path : files("index")) {
    std::string content = fixture_.files.content(path);
    bool active = path.starts_with(files(".log").back().substr(0, 34));
    fixture_.files.set_content(
        path, active ? std::string(8 * 12 * 34, '\x7f') : content.substr(0, content.size() / 2) + "x");
  }
  auto log = fixture_.open();
  EXPECT_EQ(values(*log), values_);
}

TEST_F(RecoveryTest, ATornTailIsCut) {
  for (size_t keep = 0; keep < 100; keep += 7) {
    fixture_.files.crash(0);
    if (fixture_.files.exists("/data")) must(fixture_.files.remove_tree("/data"));
    values_.clear();
    fill(false, 20);
    std::string path = files(".log").back();
    std::string content = fixture_.files.content(path);
    std::string torn = make_batch({"torn"}, {}, true);
    set_batch_position(torn.data(), 20, 0);
    fixture_.files.set_content(path, content + torn.substr(0, std::min(keep, torn.size() - 1)));
    auto log = fixture_.open();
    ASSERT_NE(log, nullptr);
    EXPECT_EQ(values(*log), values_);
    EXPECT_EQ(must(append(*log, kT0, {"next"})).first, Offset(20));
  }
}

TEST_F(RecoveryTest, AZeroTailIsCut) {
  fill(false, 20);
  std::string path = files(".log").back();
  fixture_.files.set_content(path, fixture_.files.content(path) + std::string(5000, '\0'));
  auto log = fixture_.open();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(values(*log), values_);
}

// Every single damaged bit in the log is found: at opening, or at the latest when it is read.
TEST_F(RecoveryTest, DamageIsReportedWithFileAndPositionNeverSkipped) {
  fill();
  for (const std::string& path : files(".log")) {
    uint64_t size = fixture_.files.content(path).size();
    for (uint64_t at = 0; at < size; at += 13) {
      LogFixture copy;
      copy.options = fixture_.options;
      must(copy.files.create_directories("/data/log/t-0"));
      must(copy.files.create_directories("/data/log/__transactions-0"));
      for (const std::string& file : fixture_.files.paths())
        copy.files.set_content(file, fixture_.files.content(file));
      copy.files.flip(path, at, 0x10);
      std::string message;
      auto opened = copy.try_open();
      if (!opened.ok()) {
        message = opened.error().message;
        EXPECT_EQ(opened.error().code, Code::kCorrupt);
      } else {
        Offset from(0);
        while (true) {
          auto fetched = (*opened)->read(kT0, from, 2000, Isolation::kReadCommitted);
          if (!fetched.ok()) {
            EXPECT_EQ(fetched.error().code, Code::kCorrupt);
            message = fetched.error().message;
            break;
          }
          if (fetched->at_end) break;
          from = fetched->end.offset;
        }
      }
      // A leader epoch has no checksum.
      bool silent = message.empty();
      uint64_t in_batch = at;
      std::string content = fixture_.files.content(path);
      for (uint64_t start = 0; start <= at;) {
        in_batch = at - start;
        start += 12 + static_cast<uint64_t>(static_cast<uint8_t>(content[start + 11]));
      }
      bool epoch = in_batch >= 12 && in_batch < 16;
      EXPECT_TRUE(!silent || epoch) << path << " byte " << at;
      if (!silent) {
        EXPECT_NE(message.find(path), std::string::npos) << message;
        EXPECT_NE(message.find("byte "), std::string::npos) << message;
        EXPECT_NE(message.find("tidemill log repair"), std::string::npos) << message;
      }
    }
  }
}

TEST_F(RecoveryTest, RepairShowsAndCutsDamage) {
  fill();
  auto [first_file, first_at] = place(5);
  auto [middle_file, middle_at] = place(50);
  auto [last_file, last_at] = place(97);
  fixture_.files.flip(first_file, first_at, 1);
  fixture_.files.flip(middle_file, middle_at, 1);
  fixture_.files.flip(last_file, last_at, 1);
  EXPECT_EQ(fixture_.try_open().error().code, Code::kCorrupt);
  auto before = fixture_.files.content(last_file);
  auto places = must(inspect_damage(fixture_.files, "/data/log"));
  ASSERT_EQ(places.size(), 3u);
  EXPECT_EQ(fixture_.files.content(last_file), before) << "inspecting changes nothing";
  int64_t lost[] = {5, 50, 97};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(places[i].first_lost, Offset(lost[i]));
    EXPECT_EQ(places[i].end_lost, Offset(lost[i] + 1));
    EXPECT_FALSE(places[i].to_end);
  }
  EXPECT_EQ(must(repair_partition(fixture_.files, "/data/log", kT0)).size(), 3u);
  EXPECT_TRUE(must(inspect_damage(fixture_.files, "/data/log")).empty());
  auto log = fixture_.open();
  ASSERT_NE(log, nullptr);
  Values expected = values_;
  for (int64_t gone : {97, 50, 5}) expected.erase(expected.begin() + gone);
  EXPECT_EQ(values(*log), expected);
  EXPECT_EQ(values(*log, Offset(5)), Values(expected.begin() + 5, expected.end()));
  EXPECT_EQ(must(append(*log, kT0, {"next"})).first, Offset(100));
}

TEST_F(RecoveryTest, RepairCutsADamagedTailBelowTheRecoveryPoint) {
  fill(true);
  auto log = fixture_.open();  // notes the recovery point
  log = nullptr;
  auto [file, at] = place(98);
  fixture_.files.set_content(file, fixture_.files.content(file).substr(0, at));
  auto refused = fixture_.try_open();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kCorrupt);
  auto places = must(repair_partition(fixture_.files, "/data/log", kT0));
  ASSERT_EQ(places.size(), 1u);
  EXPECT_EQ(places[0].first_lost, Offset(98));
  EXPECT_EQ(places[0].end_lost, Offset(100));
  EXPECT_TRUE(places[0].to_end);
  log = fixture_.open();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(values(*log), Values(values_.begin(), values_.begin() + 98));
}

TEST_F(RecoveryTest, WhatAKilledProcessWroteIsDurableOnceItIsReadAgain) {
  fill(false, 3);
  auto log = fixture_.open();
  must(append(*log, kT0, {"unsynced"}));
  fixture_.files.kill_process();
  log = fixture_.open();
  values_.push_back("unsynced");
  EXPECT_EQ(values(*log), values_);
  for (uint64_t seed = 0; seed < 5; ++seed) {
    fixture_.files.crash(seed);
    log = fixture_.open();
    EXPECT_EQ(values(*log), values_);
  }
}

TEST_F(RecoveryTest, AMissingTopicsFileOrDirectoryIsNotANewLog) {
  fill();
  std::string topics = fixture_.files.content("/data/log/topics");
  must(fixture_.files.remove("/data/log/topics"));
  EXPECT_EQ(fixture_.try_open().error().code, Code::kCorrupt);
  fixture_.files.set_content("/data/log/topics", topics);
  ASSERT_NE(fixture_.open(), nullptr);
  fixture_.files.flip("/data/log/topics", 30, 1);
  EXPECT_EQ(fixture_.try_open().error().code, Code::kCorrupt);
  fixture_.files.flip("/data/log/topics", 30, 1);
  must(fixture_.files.remove_tree("/data/log/t-0"));
  EXPECT_EQ(fixture_.try_open().error().code, Code::kCorrupt);
}

TEST_F(RecoveryTest, ALostEpochCheckpointIsRebuiltFromTheBatches) {
  for (int round = 0; round < 3; ++round) fill();
  auto log = fixture_.open();
  must(append(*log, kT0, {"x"}));
  Offset ends[3];
  for (int32_t epoch = 0; epoch < 3; ++epoch)
    ends[epoch] = must(log->leader_epoch_end(kT0, LeaderEpoch(epoch)));
  EXPECT_EQ(ends[0], Offset(100));
  for (bool damaged : {false, true}) {
    log = nullptr;
    if (damaged) fixture_.files.set_content("/data/log/t-0/leader-epoch-checkpoint", "junk");
    log = fixture_.open();
    for (int32_t epoch = 0; epoch < 3; ++epoch) {
      EXPECT_EQ(must(log->leader_epoch_end(kT0, LeaderEpoch(epoch))), ends[epoch]);
    }
  }
}

TEST_F(RecoveryTest, WeakDurabilityLosesATailAndSaysSoByTheEpoch) {
  for (Durability durability : {Durability::kInterval, Durability::kNone}) {
    for (uint64_t seed = 0; seed < 100; ++seed) {
      SCOPED_TRACE(seed);
      LogFixture fixture;
      fixture.options = fixture_.options;
      fixture.options.durability = durability;
      auto log = fixture.open();
      must(log->create_topic("t", {}));
      for (int i = 0; i < 150; ++i) {
        must(append(*log, kT0, {"value " + std::to_string(i)}));
        if (i % 40 == 0) must(log->housekeep());
        fixture.clock.advance_us(100'000);
      }
      Fetched last = must(log->read(kT0, Offset(149), 1, Isolation::kReadCommitted));
      EXPECT_EQ(last.end.offset, Offset(150)) << "visible at once";
      fixture.files.crash(seed);
      auto reopened = fixture.try_open();
      ASSERT_TRUE(reopened.ok()) << reopened.error().message;
      Values kept = read_values(**reopened, kT0);
      for (size_t i = 0; i < kept.size(); ++i) EXPECT_EQ(kept[i], "value " + std::to_string(i)) << "a prefix";
      must(append(**reopened, kT0, {"after"}));
      Offset epoch_end = must((*reopened)->leader_epoch_end(kT0, last.end.leader_epoch));
      EXPECT_EQ(epoch_end, Offset(static_cast<int64_t>(kept.size())));
      // A kill, unlike a power cut, loses nothing.
      fixture.files.kill_process();
      EXPECT_EQ(read_values(*fixture.open(), kT0).size(), kept.size() + 1);
    }
  }
}

}  // namespace
}  // namespace tidemill::log
