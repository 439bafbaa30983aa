// A log in memory that forgets, refuses and loses answers, for tests of the sending half.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/testing/manual_clock.h"
#include "event/record_batch.h"
#include "simulate/appender.h"

namespace tidemill::simulate {

// What stays when a process dies: the records and the producers. Thread-safe.
class FakeLog {
 public:
  struct Faults {
    // Each in parts per thousand of the calls.
    uint64_t refused = 0;      // an append stores nothing, and says so
    uint64_t answer_lost = 0;  // an append stores, but fails
    uint64_t wait_failed = 0;  // a wait fails
    uint64_t forgets = 0;      // of the failures: what was not acknowledged is gone as well
    int64_t crash_after = -1;  // calls of append or wait until everything fails for good
  };

  FakeLog(int32_t partitions, uint64_t seed) : random_(seed), partitions_(static_cast<size_t>(partitions)) {}

  Faults faults;
  ManualClock* clock = nullptr;  // where set, each append takes append_takes_us
  int64_t append_takes_us = 0;

  struct Stored {
    int64_t timestamp_ms;
    std::string key;
    std::string value;
  };
  std::vector<Stored> records(int32_t partition) const {
    std::lock_guard lock(mutex_);
    std::vector<Stored> all;
    for (const Batch& batch : partitions_[static_cast<size_t>(partition)]) {
      all.insert(all.end(), batch.records.begin(), batch.records.end());
    }
    return all;
  }
  int64_t batches() const {
    std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const auto& partition : partitions_) count += partition.size();
    return static_cast<int64_t>(count);
  }
  bool crashed() const { return crashed_; }
  // A new process: the crash is over; what was not acknowledged may be gone, and what was found is
  // durable.
  void restart() {
    std::lock_guard lock(mutex_);
    crashed_ = false;
    faults.crash_after = -1;
    if (random_.below(2) == 0) forget();
    acknowledged_ = ticket_;
  }
  // As a power cut does where acknowledged is not durable.
  void forget_last_batch(int32_t partition) {
    std::lock_guard lock(mutex_);
    partitions_[static_cast<size_t>(partition)].pop_back();
  }

  // ---- the appender's side
  int32_t partitions() const { return static_cast<int32_t>(partitions_.size()); }
  int64_t end(int32_t partition) const { return static_cast<int64_t>(records(partition).size()); }
  Appender::Producer init(const std::string& name) {
    std::lock_guard lock(mutex_);
    auto [at, added] = producers_.try_emplace(name, static_cast<int64_t>(producers_.size()));
    return {at->second, 3};
  }
  Result<std::optional<int32_t>> last_sequence(int32_t partition, int64_t producer) {
    std::lock_guard lock(mutex_);
    if (crashed_) return crash_error();
    return last(partition, producer);
  }
  Result<uint64_t> append(int32_t partition, const std::string& bytes) {
    std::lock_guard lock(mutex_);
    if (clock != nullptr) clock->advance_us(append_takes_us);
    const bool crashes = crashing();
    if (crashed_ && !crashes) return crash_error();
    if (crashes && random_.below(2) == 0) return crash_error();
    if (hits(faults.refused)) return external_error("no space", Code::kDiskFull, true);
    Result<uint64_t> ticket = store(partition, bytes);
    if (crashes) return crash_error();
    if (ticket.ok() && hits(faults.answer_lost)) return failure();
    return ticket;
  }
  Status wait(uint64_t ticket) {
    std::lock_guard lock(mutex_);
    const bool crashes = crashing();
    if (crashed_ && !crashes) return crash_error();
    if (crashes && random_.below(2) == 0) return crash_error();
    if (hits(faults.wait_failed)) return failure();
    acknowledged_ = std::max(acknowledged_, ticket);
    if (crashes) return crash_error();
    return {};
  }

 private:
  struct Batch {
    int64_t producer;
    int32_t base_sequence;
    int32_t count;
    uint64_t ticket;
    std::vector<Stored> records;
  };

  bool hits(uint64_t per_thousand) { return random_.below(1000) < per_thousand; }
  bool crashing() {
    if (crashed_ || faults.crash_after < 0 || faults.crash_after-- > 0) return false;
    crashed_ = true;
    return true;
  }
  static Error crash_error() { return external_error("the process is gone"); }
  Error failure() {
    if (hits(faults.forgets)) forget();
    return external_error("connection lost", Code::kFailed, true);
  }
  void forget() {
    for (auto& partition : partitions_) {
      while (!partition.empty() && partition.back().ticket > acknowledged_) partition.pop_back();
    }
  }
  std::optional<int32_t> last(int32_t partition, int64_t producer) const {
    const auto& batches = partitions_[static_cast<size_t>(partition)];
    for (size_t n = batches.size(); n-- > 0;) {
      if (batches[n].producer == producer) return batches[n].base_sequence + batches[n].count - 1;
    }
    return std::nullopt;
  }
  Result<uint64_t> store(int32_t partition, const std::string& bytes) {
    const BatchHeader header = parse_batch_header(bytes).value().value();
    EXPECT_EQ(header.size_bytes(), bytes.size());
    EXPECT_EQ(header.producer_epoch, 3);
    auto& batches = partitions_[static_cast<size_t>(partition)];
    const int32_t expected = last(partition, header.producer_id).value_or(-1) + 1;
    if (header.base_sequence != expected) {
      // A retry of one of this producer's last five batches is known; anything else is a gap.
      int known = 0;
      for (size_t n = batches.size(); n-- > 0 && known < 5;) {
        if (batches[n].producer != header.producer_id) continue;
        ++known;
        if (batches[n].base_sequence == header.base_sequence && batches[n].count == header.count)
          return ticket_;
      }
      return user_error("sequence " + std::to_string(header.base_sequence) + " out of order, expected " +
                        std::to_string(expected));
    }
    std::string scratch;
    std::vector<Record> decoded;
    EXPECT_TRUE(decode_records(header, bytes, 64u << 20, &scratch, &decoded).ok());
    Batch batch{header.producer_id, header.base_sequence, header.count, ++ticket_, {}};
    for (const Record& record : decoded) {
      batch.records.push_back({record.timestamp_ms, std::string(record.key), std::string(record.value)});
    }
    batches.push_back(std::move(batch));
    return ticket_;
  }

  mutable std::mutex mutex_;
  SeededRandom random_;
  std::vector<std::vector<Batch>> partitions_;
  std::map<std::string, int64_t> producers_;
  uint64_t ticket_ = 0;
  uint64_t acknowledged_ = 0;
  std::atomic<bool> crashed_{false};
};

class FakeAppender final : public Appender {
 public:
  explicit FakeAppender(FakeLog& log) : log_(log) {}
  int32_t partitions() const override { return log_.partitions(); }
  Result<Offset> end_offset(int32_t partition) override { return Offset(log_.end(partition)); }
  Result<Producer> init(const std::string& name) override {
    producer_ = log_.init(name);
    return producer_;
  }
  Result<std::optional<int32_t>> last_sequence(int32_t partition) override {
    return log_.last_sequence(partition, producer_.id);
  }
  Result<uint64_t> append(int32_t partition, std::string& batch) override {
    return log_.append(partition, batch);
  }
  Status wait(uint64_t ticket) override { return log_.wait(ticket); }

 private:
  FakeLog& log_;
  Producer producer_;
};

}  // namespace tidemill::simulate
