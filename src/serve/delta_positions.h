// What pipelines have committed to a Delta table: `txn` actions, which a commit carries beside its rows.
//
// A txn holds one number by a name. The name of a partition's numbers is
// tidemill/<pipeline>/<topic>/<partition>: alone it is the epoch's, then #offset (the next one),
// #leader-epoch, #incarnation (the owner that made the last commit), #owner (the token that holds now),
// #read, #stored, #dead and #dropped. Those that a commit does not change are not written again.
// tidemill/<pipeline>#source=<log or cluster> says what the topics are of. Page: docs/connectors/delta.md.
#pragma once

#include <span>
#include <string>

#include "pipeline/epoch.h"
#include "serve/delta_log.h"

namespace tidemill::serve {

class DeltaPositions {
 public:
  DeltaPositions(std::string pipeline, std::string source)
      : pipeline_(std::move(pipeline)), source_(std::move(source)) {}

  pipeline::Committed read(const DeltaState& state, const TopicPartition& source) const;
  // The lines that raise the owner token, and the rest of what is committed. Errors (kUser): the table has
  // positions of this pipeline in another log or cluster.
  Result<std::string> take_over(const DeltaState& state, std::span<const TopicPartition> partitions,
                                int64_t now_ms, std::vector<pipeline::Committed>* held) const;

  // Whether the state is what these parts are to be committed onto: the compare of the compare-and-set.
  bool expects(const DeltaState& state, std::span<const pipeline::PartitionEpoch> parts) const;
  // Whether these parts are what was committed last.
  bool holds(const DeltaState& state, std::span<const pipeline::PartitionEpoch> parts) const;
  // The lines that move the positions on.
  std::string advance(const DeltaState& state, std::span<const pipeline::PartitionEpoch> parts,
                      int64_t now_ms) const;

 private:
  std::string app(const TopicPartition& source) const;
  const std::string pipeline_;
  const std::string source_;
};

}  // namespace tidemill::serve
