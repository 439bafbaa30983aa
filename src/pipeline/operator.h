// The contract of an operator: a step of processing between source and sink.
//
// An Operator is the description: bound once to the schema when the pipeline is planned, then
// immutable and shared. It makes one OperatorInstance per input partition, which a single thread
// uses; instances share no mutable state. Calls on an instance, in order:
//
//   apply(delta) …                            restoring: deltas of a snapshot, then of frames
//   process(batch, context) / advance(times)  any number of times
//   snapshot(writer)                          between two process calls, never inside one
//
// State. An instance's state belongs to its partition and moves with it. Whenever process() or
// advance() changes it, the change is written as a delta to context.deltas; applying the same
// deltas in order to a fresh instance must rebuild the same state, byte for byte of its snapshot.
// snapshot() writes deltas that rebuild the state from nothing. Deltas are opaque to the pipeline,
// which stores them in the frame that commits with the epoch.
//
// Determinism. Given the same state and the same batches, process() does the same: a replay after
// a crash must. Wall-clock time comes from context.now_us and may differ in a replay; it must not
// decide what is emitted or dropped.
//
// Intervals. Where Operator::every_us() is not 0 an epoch is an interval of the wall clock, and
// end_interval() is called when it ends, before its commit: what it emits are the epoch's rows, and process()
// counts what it keeps for them as dropped. An epoch that does not come to its end is read again, into
// another interval. Nothing stands behind such an operator. end_interval() may take long;
// Operator::interrupt() ends it, and the epoch does not come to its end.
//
// Forbidden: I/O, waiting, threads, keeping views into a batch after it is handed on.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "event/batch.h"
#include "event/schema.h"

namespace tidemill::pipeline {

// The largest delta that an operator may write: every changelog takes it.
inline constexpr size_t kMostDeltaBytes = 768u << 10;

// Collects the deltas of one partition and epoch: sequence of (operator, sized bytes).
class DeltaWriter {
 public:
  DeltaWriter(std::string* out, uint32_t operator_index) : out_(out), operator_index_(operator_index) {}
  void add(std::string_view delta) {
    ByteWriter writer(*out_);
    writer.varuint(operator_index_);
    writer.sized(delta);
  }

 private:
  std::string* out_;
  uint32_t operator_index_;
};

// Event time and processing time (design point 10).
struct Times {
  TimestampUs watermark_us = INT64_MIN;  // no event before it is expected any more
  TimestampUs processing_us = 0;         // the wall clock
};

struct OperatorContext {
  TimestampUs now_us = 0;  // the wall clock when the batch was taken up
  DeltaWriter* deltas = nullptr;
  TimestampUs interval_us = 0;  // where the open interval begins; see Operator::every_us
};

// Where an instance puts what goes on. It may have room for one batch only.
class Outbox {
 public:
  virtual ~Outbox() = default;
  // Takes the batch and returns true, or leaves it and returns false when there is no room.
  virtual bool push(BatchPtr& batch) = 0;
};

enum class Progress {
  kDone,   // the batch was taken (it is null now)
  kAgain,  // the outbox was full: call again with the same batch once there is room
};

class OperatorInstance {
 public:
  virtual ~OperatorInstance() = default;
  // Drops rows by leaving them out of batch->selected (and counting them in batch->dropped), adds
  // columns, or emits other batches. An event that cannot be processed goes to batch->dead_letters;
  // an error stops the pipeline and names the position.
  virtual Result<Progress> process(BatchPtr& batch, OperatorContext& context, Outbox& out) = 0;
  // Time went on. Called between batches, in both kinds of time; timers are the instance's own
  // state, found by comparing with `times`.
  virtual Result<Progress> advance(const Times& times, OperatorContext& context, Outbox& out) {
    (void)times;
    (void)context;
    (void)out;
    return Progress::kDone;
  }
  virtual Result<Progress> end_interval(OperatorContext& context, Outbox& out) {
    (void)context;
    (void)out;
    return Progress::kDone;
  }
  virtual Status apply(std::string_view delta) {
    (void)delta;
    return internal_error("a delta for an operator without state", Code::kCorrupt);
  }
  virtual void snapshot(DeltaWriter& writer) { (void)writer; }
  // What the state holds, about: kept below the task's limit.
  virtual size_t state_bytes() const { return 0; }
};

class Operator {
 public:
  virtual ~Operator() = default;
  virtual std::string name() const = 0;  // as in the solution file: "dedup"
  // Checks the fields that it uses and adds those that it makes (added_fields). Called once, before
  // anything else. Errors name the field and the nearest that exists.
  virtual Status bind(Schema* schema) = 0;
  // Fields of the event that must be decoded for it.
  virtual std::vector<std::string> needs() const = 0;
  // Fields that it adds to the event (in the order in which they are spliced into JSON).
  virtual std::vector<std::string> adds() const { return {}; }
  // The field that the stream must be partitioned by; empty: none.
  virtual std::string key_field() const { return {}; }
  virtual bool stateful() const { return false; }
  // The length of its intervals, which begin at multiples of it since 1970 UTC; 0: it has none.
  virtual int64_t every_us() const { return 0; }
  // What takes long in an instance, now, returns soon with Code::kStopped. Any thread, while instances live;
  // called again and again until the pipeline has ended, for one call may come too early.
  virtual void interrupt() {}
  virtual std::unique_ptr<OperatorInstance> open(const TopicPartition& partition) = 0;
  // One line for check: "dedup eventId within deviceId, last 100".
  virtual std::string describe() const { return name(); }
};

}  // namespace tidemill::pipeline
