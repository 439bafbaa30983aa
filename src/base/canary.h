// Planted bugs, which the simulation must find: they show that it is awake (docs/simulation.md).
//
// Only builds for tests can have them: where TIDEMILL_CANARIES is not defined, canary() is constant false
// and nothing of a bug is compiled. Each stands where nothing is hot (a roll, a commit, a recovery), so
// that builds for tests need no second copy of the code without them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <string_view>

namespace tidemill {

enum class Canary : int {
  kNone,
  kPositionsBeforeRows,  // the log sink commits an epoch's positions, and then its rows
  kRollWithoutSync,      // a full segment is taken for durable without an fsync
  kTornTailAccepted,     // recovery leaves what a crash tore at the end of a segment
  kUncommittedFrame,     // state is restored from a frame that the sink never committed
  kBlindRetry,           // a commit whose answer was lost is sent again without asking the sink
  kSnapshotPastSink,     // a snapshot holds an epoch that the sink has yet to commit
  kIndexTrusted,         // recovery takes the index of the last segment as it finds it
};

inline constexpr std::array<std::string_view, 8> kCanaryNames = {
    "none",        "positions-before-rows", "roll-without-sync", "torn-tail-accepted", "uncommitted-frame",
    "blind-retry", "snapshot-past-sink",    "index-trusted"};

#ifdef TIDEMILL_CANARIES
namespace internal {
inline std::atomic<Canary> armed_canary{Canary::kNone};
}
inline bool canary(Canary which) {
  return internal::armed_canary.load(std::memory_order_relaxed) == which;
}
// At most one at a time. For tests; not while a log or a pipeline is at work on another thread.
inline void arm_canary(Canary which) {
  internal::armed_canary.store(which, std::memory_order_relaxed);
}
#else
constexpr bool canary(Canary) {
  return false;
}
#endif

}  // namespace tidemill
