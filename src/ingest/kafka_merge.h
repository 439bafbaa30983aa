// Several partitions of Kafka, which come as brokers send them, in the order of their times: a batch waits
// until of each of the others something is here, or its end was reached.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "event/batch.h"

namespace tidemill::ingest {

// Used by one thread. It never waits for long: what is new (a second, by the clock that stamped it) goes on
// at once, and so does everything when too much is held, or when nothing came for a while.
class KafkaMerge {
 public:
  struct Limits {
    size_t most_bytes = 32u << 20;      // held
    int64_t patience_ns = 250'000'000;  // with a partition of which nothing comes
    int64_t new_ms = 1'000;             // no older than this
  };
  explicit KafkaMerge(Limits limits) : limits_(limits) {}

  // Partitions of which batches come; of those that were there what is held is dropped.
  void assign(const TopicPartition& tp) {
    unassign(tp);
    held_[tp];
  }
  void unassign(const TopicPartition& tp);

  // In offset order per partition. Of one that is not assigned: dropped.
  void put(BatchPtr batch);
  bool empty() const { return bytes_ == 0; }
  // No more is to be put for now; everything may be taken.
  bool full() const { return bytes_ >= limits_.most_bytes; }

  struct Now {
    int64_t steady_ns = 0;
    int64_t wall_ms = 0;
    // Whether a partition, of which nothing is held, was read to its end.
    std::function<bool(const TopicPartition&)> at_end;
  };
  // Moves the oldest to `out`, up to so many bytes and events, about. What stays is copied, once: a batch
  // keeps the whole poll in memory that it came with.
  void take(size_t most_bytes, size_t most_events, const Now& now, std::vector<BatchPtr>* out);

 private:
  struct Entry {
    BatchPtr batch;
    size_t bytes = 0;
    bool detached = false;  // from what it came with
  };
  struct Held {
    std::deque<Entry> entries;
    bool silent = false;  // was waited for in vain
  };
  bool waits(const Batch& oldest, const Now& now);
  void move_out(size_t most_bytes, size_t most_events, const Now& now, std::vector<BatchPtr>* out);

  const Limits limits_;
  std::map<TopicPartition, Held> held_;
  size_t bytes_ = 0;  // at least one for each batch
  int64_t waiting_ns_ = -1;
};

}  // namespace tidemill::ingest
