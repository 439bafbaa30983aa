// What to recover, decided from facts already read: a pure function, tested without I/O (design
// point 5).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "pipeline/epoch.h"

namespace tidemill::pipeline {

// One complete frame or snapshot that the changelog holds.
struct ChangelogFact {
  Epoch epoch;
  Incarnation incarnation;
  int64_t at = 0;  // of its first part
};

struct RecoveryFacts {
  TopicPartition source;
  Committed sink;  // what the sink holds; position nullopt: nothing yet
  bool stateful = false;
  bool in_steps = false;                 // SinkTraits::in_steps
  std::vector<ChangelogFact> frames;     // in changelog order
  std::vector<ChangelogFact> snapshots;  // in changelog order
};

struct RecoveryPlan {
  // nullopt: begin where the source begins, with empty state.
  std::optional<Position> resume;
  std::optional<ChangelogFact> snapshot;
  std::vector<ChangelogFact> frames;  // to apply after it, in this order
  // The state is another than the sink's position names: what it knows of events after that is stored, and
  // what it does not know of events before it may be stored again.
  bool approximate = false;
};

// Frames are applied up to the one that the sink names; those after it were never committed. A
// frame is dead once a later owner wrote one of the same or an earlier epoch. Errors (kCorrupt):
// the changelog is behind the sink, or has a hole. In steps no such error: the state is then the newest that
// there is.
Result<RecoveryPlan> plan_recovery(const RecoveryFacts& facts);

}  // namespace tidemill::pipeline
