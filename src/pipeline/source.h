// The contract of a source: a system that events are read from, in partitions.
//
// A Source describes the system and makes one SourceReader per task; it is thread-safe. A reader is
// used by its task's thread alone, in this order:
//
//   assign(partitions at positions)   once at the start, and after each kAssigned change
//   poll() …                          batches of the assigned partitions, in offset order each
//   committed(positions)              after commits, for what the source wants to know of them
//   unassign(partitions)              after each kRevoked or kLost change; at the end
//
// Promise: from the same position a reader gives the same records again, for as long as the system
// keeps them. That is what makes a replay after a crash exact.
//
// Errors: retryable ones are polled again with backoff; others stop the pipeline with their message.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "event/batch.h"

namespace tidemill::pipeline {

struct SourceTraits {
  std::string system;  // "embedded log"
  TimestampType timestamp_type = TimestampType::kLogAppendTime;
  // It shares the partitions out itself, by changes, also to tasks of other processes.
  bool assigns = false;
  std::string sharing;  // where it does: among how many, and how soon others take over; printed by check
  // Reading again from a position gives the same records (false: at-most-once inputs).
  bool replayable = true;
  // Where a partition begins for a pipeline that has committed nothing moves on (latest): it is committed at
  // once, so that what comes after the first start is not passed over by the next.
  bool start_moves = false;
  // What could be lost although the source acknowledged it; printed by check. Empty: nothing.
  std::string weakness;
};

// What the system asks of this task, besides reading (design point 14).
struct AssignmentChange {
  enum Kind {
    kAssigned,  // take over: raise the token, read positions, restore state, then assign(); or unassign()
    kRevoked,   // hand over: commit or abort within a bound, then unassign()
    kLost,      // already someone else's: abort, drop, unassign()
  } kind;
  std::vector<TopicPartition> partitions;
};

struct PollRequest {
  // Soft: one batch may be larger. Little enough to be still in the processor's cache when it is processed.
  size_t max_bytes = 1u << 20;
  size_t max_events = SIZE_MAX;
  int64_t timeout_us = 0;  // how long to wait where nothing is there
};

struct Polled {
  // In offset order per partition, every record selected. A batch may be empty: only its end moved.
  std::vector<BatchPtr> batches;
  std::vector<AssignmentChange> changes;  // take effect after the batches
  bool caught_up = false;                 // every assigned partition was read to its end
  // Nothing more is at hand, though some may be on its way: an epoch that is old enough may end. What has
  // caught up is idle, too.
  bool idle = false;
  bool ended = false;  // a bounded source that will never give more
};

class SourceReader {
 public:
  virtual ~SourceReader() = default;
  // Whether reading can resume at `position` of a partition. The error says which range was lost:
  // the position is before the first kept event, beyond the end, or of another leader epoch.
  virtual Status check_position(const TopicPartition& tp, const Position& position) = 0;
  // Where a pipeline goes on that has committed up to `position`: there; or behind what is lost, where the
  // solution lets it go. Errors: check_position's.
  virtual Result<Position> resume_position(const TopicPartition& tp, const Position& position) {
    TM_TRY(check_position(tp, position));
    return position;
  }
  // Where a partition begins for a pipeline that has committed nothing (earliest, latest, a time).
  virtual Result<Position> start_position(const TopicPartition& tp) = 0;
  virtual Status assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) = 0;
  virtual void unassign(const std::vector<TopicPartition>& partitions) = 0;
  virtual Result<Polled> poll(const PollRequest& request) = 0;
  // Opaque to the pipeline: what the sink may need to fence by the source's membership (Kafka: which member
  // of the group commits).
  virtual std::string commit_token() { return {}; }
  virtual void committed(const std::vector<std::pair<TopicPartition, Position>>& positions) {
    (void)positions;
  }
  // Events between the position and the end of the partition; -1 where the system cannot tell.
  virtual int64_t lag(const TopicPartition& tp, const Position& position) {
    (void)tp;
    (void)position;
    return -1;
  }
};

class Source {
 public:
  virtual ~Source() = default;
  virtual SourceTraits traits() const = 0;
  // All partitions; tasks share them out where the system does not assign them itself.
  virtual Result<std::vector<TopicPartition>> partitions() = 0;
  virtual Result<std::unique_ptr<SourceReader>> open_reader(int task) = 0;
  // Who stops now does not come back soon: at their end its readers give up places that are kept for them.
  // Any thread.
  virtual void leave_for_good() {}
  // Where each partition ends now for a reader: who waits until everything is processed waits for that.
  virtual Result<std::vector<std::pair<TopicPartition, Offset>>> ends() {
    return external_error("the source cannot tell where it ends", Code::kNotFound);
  }
  // Whether a reader would find an event before `to`, from a position on (nullopt: from where a pipeline
  // begins that has committed nothing). Positions may stop short of an end: what ends transactions is no
  // event.
  virtual Result<bool> holds_events(const TopicPartition& tp, const std::optional<Position>& from,
                                    Offset to) {
    (void)tp;
    return !from || from->offset < to;
  }
};

}  // namespace tidemill::pipeline
