// A task: owns some partitions from read to commit, with their state.
//
// It is a state machine that a thread drives (pipeline.cc), or a simulation, step by step: nothing
// in it waits except a poll of the source, and that only as long as step() is told to. Two sides
// run side by side: step() reads and processes the next epoch while run_commit() commits the last.
// Between them stands one slot: at most one epoch waits or commits.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "event/json_decoder.h"
#include "pipeline/committer.h"
#include "pipeline/lane.h"
#include "pipeline/restore.h"

namespace tidemill::pipeline {

struct EpochLimits {
  // It ends so early that it is committed this long after its first event, once the source was read to its
  // end; but stays open for half of it at least.
  int64_t interval_us = 100'000;
  int64_t max_interval_us = 5'000'000;  // while there is lag
  uint64_t max_events = 0;              // of input; 0: what the sink prefers
  uint64_t max_bytes = 256u << 20;      // of input and output together
  uint64_t state_bytes = 4ull << 30;    // of the task's keyed state
};

struct TaskParts {
  int number = 0;
  const Plan* plan = nullptr;
  Source* source = nullptr;
  Sink* sink = nullptr;
  Changelog* changelog = nullptr;  // null where the plan is stateless
  Clock* clock = nullptr;
  Random* random = nullptr;
  Listener* listener = nullptr;
  EpochLimits limits;
  RetryPolicy retry;
  std::vector<TopicPartition> partitions;  // to begin with
  uint64_t snapshot_min_bytes = 64u << 20;
  // For drivers with one thread: whenever the task must wait for its commit, it runs it itself.
  bool inline_commits = false;
};

// Where a partition stands, for the report and for whoever waits for an end.
struct LaneProgress {
  TopicPartition source;
  Position read;  // read up to here, and nothing before it is still on its way if `settled`
  Position committed;
  Counters counters;  // committed
  int64_t lag = -1;
  size_t state_bytes = 0;
};

// How long the next commit will take, by those before it: the mean and deviations of RFC 6298, which expects
// answers of a network so.
class CommitTime {
 public:
  void add(int64_t us) {
    deviation_us_ += (std::abs(us - mean_us_) - deviation_us_) / 4;
    mean_us_ += (us - mean_us_) / 8;
  }
  // Longer than most.
  int64_t expected_us() const { return mean_us_ + 2 * deviation_us_; }

 private:
  int64_t mean_us_ = 0, deviation_us_ = 0;
};

class Task {
 public:
  enum class Step {
    kWorked,            // call again
    kIdle,              // nothing to do now
    kWaitingForCommit,  // call again when the commit side is done
    kEnded,             // drained, or the source has ended
  };

  explicit Task(TaskParts parts);
  ~Task();

  // Opens reader and writer, takes the partitions over and restores their state.
  Status open();
  // The processing side. Waits at most `timeout_us` for events.
  Result<Step> step(int64_t timeout_us);
  // How long a driver may wait before the next step() for more events to come together, without any
  // effect on when the open epoch ends: a handful of polls an epoch, instead of one for every event
  // that trickles in.
  int64_t gather_us() const;
  // Asks step() to end the open epoch, wait for its commit and return kEnded. Any thread.
  void drain() { stop_.draining = true; }
  // Asks a commit that is being retried to give up. Any thread.
  void abandon() { stop_.abandoned = true; }

  // The commit side.
  bool commit_waiting();
  // Commits the epoch in the slot. Precondition: commit_waiting().
  void run_commit();
  // Waits until an epoch is in the slot (true) or close_slot() was called (false).
  bool wait_for_work();
  // Waits until the slot is free, or `timeout_us` is over.
  void wait_for_commit(int64_t timeout_us);
  void close_slot();

  std::vector<LaneProgress> progress() const;
  // Every event read is committed, and the last poll found nothing more.
  bool settled() const { return settled_; }

 private:
  struct OpenEpoch {
    std::unique_ptr<SinkOutput> output;
    EpochWork work;
    int64_t first_event_ns = 0;
    TimestampUs interval_us = 0;  // where the plan has intervals: where this one begins
    bool empty() const { return output == nullptr; }
  };

  Result<Step> step_on(int64_t timeout_us);
  Status take_over(const std::vector<TopicPartition>& partitions);
  Status take_over_or_wait(const std::vector<TopicPartition>& partitions);
  Status take_awaited();
  void keep_positions();
  Status drop_all();
  Status after_failure(Status status);
  Status collect_commit();
  Status process(BatchPtr batch);
  Status deliver(BatchPtr batch);
  // Of events that have waited so long already.
  Status ensure_epoch(int64_t waited_us = 0);
  int64_t open_for_us() const;
  int64_t waited_us(const Batch& batch) const;
  bool epoch_full() const;
  uint64_t max_events() const;
  void commit_fewer();
  void commit_more();
  bool epoch_due(int64_t now_ns) const;
  bool has_intervals() const { return parts_.plan->every_us > 0; }
  int64_t interval_left_us() const;
  Status unless_interrupted(Status status);
  Status end_interval();
  Status end_epoch();
  Status hand_over();
  Status take_snapshots();
  Status take_snapshot(const TopicPartition& source, Lane& lane);
  Status handle_changes(const std::vector<AssignmentChange>& changes);
  Status hand_back(const std::vector<TopicPartition>& partitions);
  Status commit_and_hand_back(const std::vector<TopicPartition>& partitions);
  Status drop_lost(const std::vector<TopicPartition>& partitions);
  Status drop_and_restore(const std::vector<TopicPartition>& lost);
  void release(const std::vector<TopicPartition>& partitions);
  void give_back();
  size_t changelog_part_bytes() const;
  Status check_state_limit();
  void publish_progress();
  Result<Step> poll_and_process(int64_t timeout_us);
  Status poll_error(const Error& error);

  TaskParts parts_;
  SinkTraits traits_;
  int64_t kept_ns_ = 0;  // when keep() was called last
  std::unique_ptr<SourceReader> reader_;
  std::unique_ptr<SinkWriter> writer_;
  std::unique_ptr<Committer> committer_;
  std::optional<JsonDecoder> decoder_;
  std::map<TopicPartition, std::unique_ptr<Lane>> lanes_;
  OpenEpoch epoch_;
  std::optional<EpochWork> ended_;  // waits for the slot
  bool caught_up_ = false;
  bool idle_ = false;
  bool first_epoch_ = true;  // none has ended yet
  bool start_due_ = false;   // a start that moves is committed first, however little was read
  bool source_ended_ = false;
  uint64_t most_events_ = UINT64_MAX;  // of an epoch, as far as the store has time for it
  bool snapshot_due_ = false;
  bool given_back_ = false;
  bool interrupted_ = false;  // an operator, while it drains
  // Assigned by the source and not held: when to try next to take them over, on the steady clock.
  std::map<TopicPartition, int64_t> awaited_;
  std::optional<Backoff> poll_backoff_;
  StopSignals stop_;
  std::atomic<bool> settled_{false};

  // The slot. state_: kFree → (hand_over) kFull → (run_commit) kDone → (collect_commit) kFree.
  enum class Slot { kFree, kFull, kDone };
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Slot slot_state_ = Slot::kFree;
  bool slot_closed_ = false;
  std::optional<EpochWork> slot_;
  Status slot_result_;
  int64_t handed_over_ns_ = 0;
  CommitTime commit_time_;
  std::map<TopicPartition, LaneProgress> progress_;
};

}  // namespace tidemill::pipeline
