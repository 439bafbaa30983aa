// A running pipeline: source → operators → sink, shared out to tasks, two threads each.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "pipeline/task.h"

namespace tidemill::pipeline {

struct PipelineOptions {
  std::string name;  // names positions, changelog and transactional ids: the same name resumes
  int tasks = 1;
  EpochLimits limits;
  RetryPolicy retry;
  uint64_t snapshot_min_bytes = 64u << 20;
};

// start() … (drain() | stop_now()) … wait(). The parts outlive the pipeline.
class Pipeline {
 public:
  struct Parts {
    const Plan* plan = nullptr;
    Source* source = nullptr;
    Sink* sink = nullptr;
    Changelog* changelog = nullptr;  // needed by stateful plans
    Clock* clock = nullptr;
    Random* random = nullptr;
    Listener* listener = nullptr;
  };
  Pipeline(Parts parts, PipelineOptions options);
  ~Pipeline();  // as stop_now() and wait()

  // Prepares the sink, shares the partitions out, takes them over and restores state (in parallel),
  // then starts. Errors of any of that; nothing runs then.
  Status start();
  // Graceful: every task ends its epoch and commits it, or drops it where it is an interval.
  void drain();
  // At once: open epochs are dropped, commits under way finish or are left to recovery. Loses nothing.
  void stop_now();
  // Until every task has ended; the first error, if any. A task's error stops the others.
  Status wait();
  bool running() const { return running_ > 0; }

  // Everything that was visible in the source when it was last polled is committed.
  bool settled() const;
  std::vector<LaneProgress> progress() const;

 private:
  struct Runner;
  void run_task(Runner& runner);
  void fail(const Error& error);
  void interrupt_operators();

  Parts parts_;
  PipelineOptions options_;
  std::vector<std::unique_ptr<Runner>> runners_;
  std::atomic<int> running_{0};
  std::atomic<bool> stopping_{false};
  std::atomic<bool> draining_{false};
  std::mutex mutex_;
  std::optional<Error> first_error_;
};

}  // namespace tidemill::pipeline
