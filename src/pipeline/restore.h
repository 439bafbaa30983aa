// Restoring a partition's state at a takeover: reads the facts, plans, applies.
#pragma once

#include <functional>

#include "pipeline/lane.h"

namespace tidemill::pipeline {

// Told now and then while a long restore runs: bytes of the changelog read so far.
using RestoreProgress = std::function<void(const TopicPartition&, uint64_t bytes)>;

// Brings `lane` to what `committed` (from SinkWriter::acquire) says and gives it its start position.
// Memory: one changelog record at a time beside the state. Errors: recovery.h's, the reader's
// check_position, the changelog's. `in_steps`: SinkTraits::in_steps.
Status restore_lane(Lane& lane, const Committed& committed, bool stateful, bool in_steps,
                    SourceReader& reader, Changelog* changelog, const RestoreProgress& progress);

}  // namespace tidemill::pipeline
