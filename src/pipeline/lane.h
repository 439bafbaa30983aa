// One input partition inside a task: its operators with their state, and its progress.
#pragma once

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/changelog.h"
#include "pipeline/plan.h"
#include "pipeline/source.h"

namespace tidemill::pipeline {

// Used by the task's thread alone.
//
// Invariant: next = where the source is to be read on; the batches of the open epoch cover
// [expected, next) without gap or overlap.
class Lane {
 public:
  // `changelog_part_bytes`: of the records that end_epoch() encodes.
  // `sink`, where there is one, says what it cannot hold.
  Lane(const Plan& plan, TopicPartition source, size_t changelog_part_bytes, const Sink* sink = nullptr);

  const TopicPartition& source() const { return source_; }
  bool epoch_open() const { return epoch_open_; }
  const Position& next() const { return next_; }
  Incarnation owner() const { return owner_; }

  // Begins at `start` with what the sink committed (its position may be nullopt).
  void begin_at(const Committed& committed, const Position& start);
  // Where it begins is committed with the next epoch, whether anything is read or not.
  void commit_start() { epoch_open_ = true; }
  // Rebuilding state: deltas of a snapshot and of frames, in order.
  Status apply(std::string_view deltas);

  // The source has nothing more before `end`: control or aborted batches stood there.
  void skip_to(const Position& end) {
    if (end.offset > next_.offset) next_ = end;
  }
  // Runs one decoded batch through the operators; `deliver` takes what comes out. `end` is the
  // batch's end position, `records` what it held. `interval_us`: where the epoch is one.
  Status process(BatchPtr batch, TimestampUs now_us, TimestampUs interval_us,
                 const std::function<Status(BatchPtr)>& deliver);
  // Where the open epoch is an interval: its rows. Before end_epoch().
  Status end_interval(const std::function<Status(BatchPtr)>& deliver);
  // Tells the operators that time went on.
  Status advance(const Times& times, const std::function<Status(BatchPtr)>& deliver);

  // Ends the epoch: what it will commit. The deltas are encoded as changelog records.
  Result<PartitionEpoch> end_epoch();

  // Whether a snapshot is worth its bytes: the frames since the last one, those that were read at the
  // takeover included, have outgrown it. Not before the first epoch of this owner: a snapshot bears the names
  // of epoch and owner, and an epoch has one owner.
  bool snapshot_due(uint64_t min_bytes) const {
    return has_own_epoch_ && frame_bytes_since_snapshot > std::max(min_bytes, 2 * snapshot_bytes);
  }
  // State as deltas, for a snapshot. Precondition: no epoch is open.
  std::string snapshot_deltas();
  ChangelogRecord snapshot_record() const;
  size_t state_bytes() const;

  // Bytes of frames since the last snapshot, and of that: when the first has outgrown the second,
  // the next snapshot costs no more than what was written anyway.
  uint64_t frame_bytes_since_snapshot = 0;
  uint64_t snapshot_bytes = 0;

 private:
  Status run_from(size_t stage, BatchPtr batch, const std::function<Status(BatchPtr)>& deliver);
  Status out_of_chain(BatchPtr batch, const std::function<Status(BatchPtr)>& deliver);

  const Plan& plan_;
  const size_t changelog_part_bytes_;
  const Sink* const sink_;
  TopicPartition source_;
  std::vector<std::unique_ptr<OperatorInstance>> instances_;
  TimestampUs now_us_ = 0;
  TimestampUs interval_us_ = 0;
  bool epoch_open_ = false;
  std::string deltas_;
  std::optional<Position> expected_;
  Position next_;
  Epoch epoch_;  // of the last epoch that ended
  Incarnation owner_;
  Incarnation frame_owner_;  // of the last epoch that ended: with epoch_ it names the frame
  bool has_own_epoch_ = false;
  Counters counters_;
};

}  // namespace tidemill::pipeline
