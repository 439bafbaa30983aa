// Progress: what one epoch read, changed and will commit.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/strong.h"
#include "event/position.h"

namespace tidemill::pipeline {

// Rises by one with every commit of a partition; 0 is before the first.
using Epoch = Strong<struct EpochTag, int64_t>;
// The owner token of a partition: rises with every takeover. A commit under a lower one is fenced.
using Incarnation = Strong<struct IncarnationTag, int32_t>;

// What became of the input records of a partition, since its first. Invariant: read = stored + dead + dropped
// as long as operators emit at most one event for each that they take in; where rows come of intervals
// (Operator::every_us) read = dead + dropped, and `stored` counts those rows.
struct Counters {
  uint64_t read = 0;     // records taken in
  uint64_t stored = 0;   // rows given to the sink
  uint64_t dead = 0;     // dead letters
  uint64_t dropped = 0;  // left out on purpose: duplicates, filtered
  auto operator<=>(const Counters&) const = default;
};

// What a sink holds for one input partition; the defaults stand for "nothing yet".
struct Committed {
  std::optional<Position> position;  // nullopt: nothing was committed
  Epoch epoch;
  Incarnation incarnation;  // of the owner that made that last commit: with `epoch` it names the frame
  Counters counters;
  Incarnation owner;  // the token that holds now; acquire() has raised it for its caller
};

// One partition's part of an epoch. The commit is a compare-and-set: (expected, owner) → next.
struct PartitionEpoch {
  TopicPartition source;
  Epoch epoch;
  Incarnation owner;
  std::optional<Position> expected;
  Position next;
  Counters counters;  // after this epoch
  // Changelog records of this epoch's frame (docs/formats/changelog.md), for sinks that store them
  // in their transaction; empty where the pipeline has written them already or keeps no state.
  std::vector<std::string> frame;
};

}  // namespace tidemill::pipeline
