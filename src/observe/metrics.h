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
  uint64_t stored_rows = 0;
  uint64_t dead_letters = 0;
  uint64_t dropped = 0;  // duplicates, filtered
  uint64_t commits = 0;
  uint64_t retries = 0;
};

struct Latency {
  Histogram created_to_stored;
  Histogram enqueued_to_stored;
};

class Metrics {
 public:
  // One commit: latencies are measured against `committed_us`; INT64_MIN entries are skipped.
  void on_commit(uint64_t events_in, uint64_t bytes_in, uint64_t rows, uint64_t dead, uint64_t dropped,
                 std::span<const int64_t> created_us, std::span<const int64_t> enqueued_us,
                 int64_t committed_us);
  void on_incoming(uint64_t messages, uint64_t bytes);
  void on_retry();

  Traffic traffic() const;
  Latency latency() const;  // since the process began

 private:
  mutable std::mutex mutex_;
  Traffic traffic_;
  Latency latency_;
};

}  // namespace tidemill::observe
