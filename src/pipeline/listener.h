// What a pipeline tells about itself while it runs. Implementations are thread-safe and quick: they
// are called on the commit threads.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "pipeline/epoch.h"

namespace tidemill::pipeline {

struct CommitReport {
  int task = 0;
  std::span<const PartitionEpoch> partitions;
  uint64_t events_in = 0, bytes_in = 0;  // of this epoch
  uint64_t rows = 0, bytes_out = 0, dead = 0, dropped = 0;
  // Of every row, in microseconds since 1970: the event's own time (empty where it is not decoded)
  // and the record's timestamp. Latency ends at committed_us, when the commit has returned (design point 18).
  std::span<const int64_t> created_us;
  std::span<const int64_t> enqueued_us;
  int64_t committed_us = 0;
  int64_t commit_ns = 0;  // how long the commit took
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on_commit(const CommitReport& report) { (void)report; }
  // A transient error is being retried: "sink: …; trying again in 0.2 s".
  virtual void on_retry(const std::string& what) { (void)what; }
  virtual void on_restore(const TopicPartition& source, uint64_t changelog_bytes) {
    (void)source;
    (void)changelog_bytes;
  }
  virtual void on_dead_letter(const std::string& reason) { (void)reason; }
};

}  // namespace tidemill::pipeline
