// The harness that every sink must pass. It depends on no test framework: a failure comes back as
// an error that says in which scenario and at which step what was wrong.
//
//   check_sink      batches and epochs of every size; several partitions in one commit; restart between any
//   two
//                   steps; two owners of one partition, the old one paused before, in and after its
//                   commit; stale and repeated commits; counters, positions, epochs, tokens, frames
//                   and dead letters as they were given
//   check_kills     SIGKILL at every named commit step, in the first commit and in later ones, then
//                   all or nothing. For stores outside the process's memory
//
// The events are those of harness_events.h.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/sink.h"
#include "pipeline/testing/harness_events.h"

namespace tidemill::pipeline::testing {

struct StoredDeadLetter {
  HarnessId id;
  std::string reason;
  std::string value;
  auto operator<=>(const StoredDeadLetter&) const = default;
};

// What a store holds, read by other means than the sink's.
struct StoredContents {
  std::vector<HarnessId> rows;  // in stored order
  std::vector<StoredDeadLetter> dead_letters;
  // Committed changelog records per input partition; only for stores that take frames.
  std::map<int32_t, std::vector<std::string>> frames;
};

struct SinkUnderTest {
  // Opens the store as a new process would. The harness has destroyed what an earlier call gave.
  std::function<Result<std::unique_ptr<Sink>>()> open;
  // Called while no sink is open.
  std::function<Result<StoredContents>()> read;
  // Called right after a commit while the sink is open: what a second reader sees. Empty where the
  // store shows rows later (visibility_delay_us).
  std::function<Result<StoredContents>()> read_live;
  // Back to an empty store, while no sink is open.
  std::function<Status()> clear;
  // The named steps (base/steps.h) that every commit passes, and those that only one with rows does.
  std::vector<std::string> steps;
  std::vector<std::string> steps_with_rows;
  // Whether rows of one partition come back in the order in which they were given.
  bool ordered = true;
  // The largest epoch to try, in records.
  size_t max_records = 10'000;
};

Status check_sink(const SinkUnderTest& sut, uint64_t seed = 1);
// Forks; to be called while the process has one thread.
Status check_kills(const SinkUnderTest& sut);

}  // namespace tidemill::pipeline::testing
