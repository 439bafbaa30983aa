// A flipped bit where no checksum stands: offsets, lengths and leader epochs of batches, and the indexes.
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

class FlippedBits : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kOff);
    fixture_.options.segment_bytes = 1500;
    fixture_.options.index_interval_bytes = 150;
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  // 40 events of rising time, and three aborted transactions, of which one reaches into the next segment.
  void fill(bool close) {
    auto log = fixture_.open();
    must(log->create_topic("t", {1, TimestampType::kCreateTime}));
    for (int i = 0; i < 40; ++i) {
      values_.push_back("value " + std::to_string(i) + std::string(40, '.'));
      if (i % 15 == 10) begin(*log, "aborted");
      BatchOptions options;
      options.timestamp_ms = 1000 + i * 10;
      must(log->wait_durable(must(append(*log, kT0, {values_.back()}, options)).sync_ticket));
      if (i % 15 == (i < 15 ? 11 : 14)) must(log->abort(producer_));
    }
    if (close) must(log->close());
  }
  void begin(Log& log, const std::string& value) {
    producer_ = must(log.init_transactional("x"));
    must(append(log, kT0, {value}, {.producer = producer_, .sequence = 0, .transactional = true}));
  }
  std::vector<std::string> files(const std::string& suffix) {
    std::vector<std::string> found;
    for (const std::string& path : fixture_.files.paths()) {
      if (path.starts_with("/data/log/t-0/") && path.ends_with(suffix)) found.push_back(path);
    }
    return found;
  }
  // A log of its own, with the same files.
  void copy_to(LogFixture& copy) {
    copy.options = fixture_.options;
    must(copy.files.create_directories("/data/log/t-0"));
    must(copy.files.create_directories("/data/log/__transactions-0"));
    for (const std::string& file : fixture_.files.paths())
      copy.files.set_content(file, fixture_.files.content(file));
  }

  LogFixture fixture_;
  Values values_;
  Producer producer_;
};

// Whatever the indexes say, a read gives what is there, from any offset and time.
TEST_F(FlippedBits, InIndexesChangeNoAnswer) {
  for (bool close : {false, true}) {
    values_.clear();
    fixture_.files.kill_process();
    if (fixture_.files.exists("/data")) must(fixture_.files.remove_tree("/data"));
    fill(close);
    std::vector<Offset> by_time;
    {
      LogFixture whole;
      copy_to(whole);
      auto log = whole.open();
      for (int64_t ms = 990; ms < 1410; ms += 10) by_time.push_back(must(log->offset_for_time(kT0, ms)));
    }
    for (const std::string& path : files("index")) {
      for (uint64_t at = 0; at < fixture_.files.content(path).size(); ++at) {
        // The last stable offset in a transaction index is for Kafka's readers; nothing here reads it.
        bool stable = path.ends_with(".txnindex") && (at % 34 < 2 || at % 34 >= 26);
        if (stable) continue;
        SCOPED_TRACE(path + " byte " + std::to_string(at));
        LogFixture copy;
        copy_to(copy);
        copy.files.flip(path, at, static_cast<uint8_t>(1u << (at % 8)));
        auto log = copy.open();
        ASSERT_NE(log, nullptr);
        ASSERT_EQ(read_values(*log, kT0), values_);
        auto info = must(log->partition(kT0));
        for (Offset from; from < info.log_end; from = from.next(5)) {
          Fetched fetched = must(log->read(kT0, from, 1, Isolation::kReadUncommitted));
          ASSERT_LE(fetched.first, std::max(fetched.first, from));
          ASSERT_GT(fetched.end.offset, from);
        }
        for (size_t i = 0; i < by_time.size(); i += 3) {
          ASSERT_EQ(must(log->offset_for_time(kT0, 990 + static_cast<int64_t>(i) * 10)), by_time[i]) << i;
        }
      }
    }
  }
}

// Offset and length of a batch are found to be wrong because the next one does not continue it, or because
// the batch does not end with the file; the leader epoch is taken from the partition's own list.
TEST_F(FlippedBits, InABatchesHeaderAreFoundOrHealed) {
  fill(false);
  for (const std::string& path : files(".log")) {
    std::string content = fixture_.files.content(path);
    for (size_t start = 0; start < content.size();) {
      size_t length = 12 + static_cast<uint8_t>(content[start + 11]);
      for (size_t bit = 0; bit < 16 * 8; bit += 3) {
        SCOPED_TRACE(path + " bit " + std::to_string(start * 8 + bit));
        LogFixture copy;
        copy_to(copy);
        copy.files.flip(path, start + bit / 8, static_cast<uint8_t>(1u << (bit % 8)));
        auto log = copy.try_open();
        Status read = log.ok() ? Status() : Status(log.error());
        Position end{Offset(0), LeaderEpoch(0)};
        for (bool more = read.ok(); more;) {
          auto fetched = (*log)->read(kT0, end.offset, 300, Isolation::kReadCommitted);
          more = fetched.ok() && !fetched->at_end;
          if (!fetched.ok()) {
            read = std::move(fetched).error();
          } else {
            end = fetched->end;
          }
        }
        if (bit / 8 < 12) {
          ASSERT_FALSE(read.ok());
          ASSERT_EQ(read.error().code, Code::kCorrupt);
          auto places = must(inspect_damage(copy.files, "/data/log"));
          ASSERT_EQ(places.size(), 1u);
          ASSERT_EQ(places[0].position, start);
          ASSERT_FALSE(places[0].torn_tail);
        } else {
          ASSERT_TRUE(read.ok()) << read.error().message;
          ASSERT_EQ(read_values(**log, kT0), values_);
          ASSERT_EQ(must((*log)->partition(kT0)).leader_epoch, LeaderEpoch(1));
          ASSERT_LE(end.leader_epoch, LeaderEpoch(1));
        }
      }
      start += length;
    }
  }
}

// Only what lacks a part can have been torn by a crash.
TEST_F(FlippedBits, InTheLastBatchAreDamageAndNotATornWrite) {
  fill(false);
  std::string path = files(".log").back();
  std::string content = fixture_.files.content(path);
  size_t last = 0;
  for (size_t next = 0; next < content.size(); next += 12 + static_cast<uint8_t>(content[next + 11]))
    last = next;
  for (size_t at = last; at < content.size(); ++at) {
    if (at >= last + 12 && at < last + 16) continue;  // the leader epoch
    SCOPED_TRACE(at - last);
    LogFixture copy;
    copy_to(copy);
    copy.files.flip(path, at, 0x08);
    auto log = copy.try_open();
    ASSERT_FALSE(log.ok());
    ASSERT_EQ(log.error().code, Code::kCorrupt);
  }
}

// All of a segment is damaged, and the one that was begun after it is still empty.
TEST_F(FlippedBits, RepairOfTheLastSegmentThatHasEventsLeavesALogThatOpens) {
  fill(false);
  auto info = must(fixture_.open()->partition(kT0));
  std::string path = files(".log").back();
  std::string content = fixture_.files.content(path);
  std::string empty = std::to_string(info.log_end.value());
  empty = "/data/log/t-0/" + std::string(20 - empty.size(), '0') + empty + ".log";
  fixture_.files.set_content(empty, "");
  for (size_t start = 0; start < content.size(); start += 12 + static_cast<uint8_t>(content[start + 11]))
    fixture_.files.flip(path, start + 20, 1);
  auto places = must(repair_partition(fixture_.files, "/data/log", kT0));
  ASSERT_EQ(places.size(), 1u);
  EXPECT_EQ(places[0].end_lost, info.log_end);
  auto log = fixture_.open();
  ASSERT_NE(log, nullptr);
  EXPECT_EQ(must(append(*log, kT0, {"next"})).first, info.log_end);
  must(log->close());
  log = fixture_.open();
  EXPECT_EQ(read_values(*log, kT0).back(), "next");
}

}  // namespace
}  // namespace tidemill::log
