// What a run measures, counted where it happens and read by whoever reports it. Thread-safe.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "observe/histogram.h"

namespace tidemill::observe {

// Totals since the run's process began.
struct Traffic {
  uint64_t incoming_messages = 0,
           incoming_bytes = 0;  // appended to the log: simulated, produced, and output topics
  uint64_t outgoing_messages = 0, outgoing_bytes = 0;  // read from the log by pipelines
  uint64_t stored_rows = 0, stored_bytes = 0;          // bytes as the sink holds them until it commits
  uint64_t dead_letters = 0;
  uint64_t dropped = 0;  // duplicates, filtered
  uint64_t commits = 0;
  uint64_t epochs = 0;  // of all partitions; a commit may hold those of several
  uint64_t retries = 0;
};

struct Latency {
  Histogram created_to_stored;
  Histogram enqueued_to_stored;
};

// One commit of a pipeline, as it returned.
struct Commit {
  uint64_t events_in = 0, bytes_in = 0;
  uint64_t rows = 0, bytes = 0;
  uint64_t dead_letters = 0;
  uint64_t dropped = 0;
  uint64_t epochs = 0;
  // Of every row; entries of INT64_MIN are skipped. Latencies are measured against `committed_us`.
  std::span<const int64_t> created_us = {};
  std::span<const int64_t> enqueued_us = {};
  int64_t committed_us = 0;
  int64_t took_us = 0;
};

class Metrics {
 public:
  void on_commit(const Commit& commit);
  void on_incoming(uint64_t messages, uint64_t bytes);
  void on_retry();

  Traffic traffic() const;
  Latency latency() const;  // since the process began
  Histogram commit_durations() const;

 private:
  mutable std::mutex mutex_;
  Traffic traffic_;
  Latency latency_;
  Histogram commit_durations_;
};

}  // namespace tidemill::observe
