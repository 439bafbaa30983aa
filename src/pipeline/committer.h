// The commit of an epoch, in its order: frame, sink transaction, and what to do when it fails.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "base/clock.h"
#include "base/random.h"
#include "pipeline/changelog.h"
#include "pipeline/listener.h"
#include "pipeline/sink.h"

namespace tidemill::pipeline {

// An epoch that has ended and waits for its commit.
struct EpochWork {
  std::unique_ptr<SinkOutput> output;
  CommitRequest request;
  std::vector<int64_t> created_us, enqueued_us;
  uint64_t events_in = 0, bytes_in = 0, dead = 0, dropped = 0;
  bool divisible = false;  // its events may be read again and committed by fewer
  double time_share = 0;   // SinkWriter::time_share, once it is committed
};

// Bounded exponential backoff with jitter.
struct RetryPolicy {
  int64_t first_us = 50'000;
  int64_t longest_us = 10'000'000;   // of one wait
  int64_t give_up_us = 600'000'000;  // of all waits for one commit together
  int64_t drain_us = 5'000'000;      // of those that go on while the task drains: a stop must end
};

// What is asked of a commit that waits for its store. Set by any thread.
struct StopSignals {
  std::atomic<bool> draining{
      false};  // come to an end: a store that fails is waited for RetryPolicy::drain_us
  // Partitions are revoked, which others wait for: the same.
  std::atomic<bool> handing_back{false};
  std::atomic<bool> lost{false};       // partitions are lost: no commit with them will do, at once
  std::atomic<bool> abandoned{false};  // at once
};

class Backoff {
 public:
  Backoff(const RetryPolicy& policy, Random& random) : policy_(policy), random_(random) {}
  // The next wait, or -1 when it is time to give up.
  int64_t next_us();
  void reset() { wait_us_ = total_us_ = 0; }

 private:
  RetryPolicy policy_;
  Random& random_;
  int64_t wait_us_ = 0;
  int64_t total_us_ = 0;
};

// One per task; used by its commit thread.
class Committer {
 public:
  struct Parts {
    SinkWriter* writer = nullptr;
    Changelog* changelog = nullptr;         // null: stateless, or the sink's transaction has it
    bool changelog_in_transaction = false;  // frames are left in the request for the sink
    Clock* clock = nullptr;
    Random* random = nullptr;
    Listener* listener = nullptr;
    RetryPolicy retry;
    int task = 0;
  };
  explicit Committer(Parts parts) : parts_(parts) {}

  // Returns when the epoch is committed, or with why it never will be (kFenced: somebody else owns a
  // partition; kStopped: a signal ended the retries; it may then be committed or not; kTooLong: it is
  // divisible, and was twice too long for the store, which holds nothing of it).
  Status commit(EpochWork& work, const StopSignals& stop);

 private:
  // The retries of one commit.
  struct Retries {
    Backoff backoff;
    const StopSignals& stop;
    int64_t draining_us = 0;  // waited since the task drains, or hands back
    int too_long = 0;         // tries that the store gave up for the time that they took
  };
  Status write_frames(EpochWork& work);
  Status commit_rows(EpochWork& work, Retries& retries);
  Status try_once(EpochWork& work, Retries& retries);
  Status resolve_unknown(const EpochWork& work, const Error& why, Retries& retries);
  // Says `what`, and when it is tried again; returns when it is time, or with why it never is.
  Status wait_or_give_up(Retries& retries, const std::string& what, const Error& why);

  Parts parts_;
};

}  // namespace tidemill::pipeline
