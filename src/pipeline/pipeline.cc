#include "pipeline/pipeline.h"

#include <algorithm>

namespace tidemill::pipeline {
namespace {

constexpr int64_t kPollUs = 50'000;  // also how soon a drain is noticed
constexpr int64_t kInterruptAgainUs = 5'000;

}  // namespace

struct Pipeline::Runner {
  explicit Runner(TaskParts parts) : task(std::move(parts)) {}
  Task task;
  std::thread process_thread;
  std::thread commit_thread;
};

Pipeline::Pipeline(Parts parts, PipelineOptions options) : parts_(parts), options_(std::move(options)) {
  TM_CHECK(!parts_.plan->stateful || parts_.changelog != nullptr, "keyed state needs a changelog");
}

Pipeline::~Pipeline() {
  stop_now();
  // The error, if any, was there for whoever called wait().
  (void)wait().ok();
}

Status Pipeline::start() {
  TM_TRY(parts_.sink->prepare(parts_.plan->sink_schema));
  TM_ASSIGN(std::vector<TopicPartition> partitions, parts_.source->partitions());
  const bool assigns = parts_.source->traits().assigns;
  size_t tasks = std::clamp<size_t>(static_cast<size_t>(std::max(options_.tasks, 1)), 1,
                                    std::max<size_t>(partitions.size(), 1));
  for (size_t i = 0; i < tasks; ++i) {
    TaskParts parts;
    parts.number = static_cast<int>(i);
    parts.plan = parts_.plan;
    parts.source = parts_.source;
    parts.sink = parts_.sink;
    parts.changelog = parts_.plan->stateful ? parts_.changelog : nullptr;
    parts.clock = parts_.clock;
    parts.random = parts_.random;
    parts.listener = parts_.listener;
    parts.limits = options_.limits;
    parts.limits.state_bytes /= tasks;
    parts.retry = options_.retry;
    parts.snapshot_min_bytes = options_.snapshot_min_bytes;
    for (size_t p = i; !assigns && p < partitions.size(); p += tasks)
      parts.partitions.push_back(partitions[p]);
    runners_.push_back(std::make_unique<Runner>(std::move(parts)));
  }
  std::vector<std::thread> opening;
  for (auto& runner : runners_) {
    opening.emplace_back([this, &runner] {
      if (Status opened = runner->task.open(); !opened.ok()) fail(opened.error());
    });
  }
  for (std::thread& thread : opening) thread.join();
  if (first_error_) {
    runners_.clear();
    return *first_error_;
  }
  running_ = static_cast<int>(runners_.size());
  for (auto& runner : runners_) {
    Runner* one = runner.get();
    one->commit_thread = std::thread([one] {
      while (one->task.wait_for_work()) one->task.run_commit();
    });
    one->process_thread = std::thread([this, one] { run_task(*one); });
  }
  return {};
}

void Pipeline::run_task(Runner& runner) {
  Task& task = runner.task;
  while (!stopping_) {
    auto step = task.step(kPollUs);
    if (!step.ok()) {
      const bool stopped = stopping_ && step.error().code == Code::kStopped;
      if (!stopped) fail(step.error());
      break;
    }
    if (*step == Task::Step::kEnded) break;
    if (*step == Task::Step::kWaitingForCommit) task.wait_for_commit(kPollUs);
    if (int64_t wait_us = std::min(task.gather_us(), kPollUs); wait_us > 0) parts_.clock->sleep_us(wait_us);
  }
  task.close_slot();
  --running_;
}

void Pipeline::fail(const Error& error) {
  std::lock_guard lock(mutex_);
  if (!first_error_) first_error_ = error;
  stopping_ = true;
  for (auto& runner : runners_) runner->task.abandon();
  interrupt_operators();
}

void Pipeline::drain() {
  draining_ = true;
  for (auto& runner : runners_) runner->task.drain();
  interrupt_operators();
}

void Pipeline::stop_now() {
  stopping_ = true;
  for (auto& runner : runners_) runner->task.abandon();
  interrupt_operators();
}

void Pipeline::interrupt_operators() {
  for (const auto& op : parts_.plan->operators) op->interrupt();
}

Status Pipeline::wait() {
  // An operator may have begun after it was interrupted.
  while (running_ > 0 && (draining_ || stopping_)) {
    interrupt_operators();
    parts_.clock->sleep_us(kInterruptAgainUs);
  }
  for (auto& runner : runners_) {
    if (runner->process_thread.joinable()) runner->process_thread.join();
    if (runner->commit_thread.joinable()) runner->commit_thread.join();
  }
  std::lock_guard lock(mutex_);
  if (first_error_) return *first_error_;
  return {};
}

bool Pipeline::settled() const {
  return std::all_of(runners_.begin(), runners_.end(),
                     [](const auto& runner) { return runner->task.settled(); });
}

std::vector<LaneProgress> Pipeline::progress() const {
  std::vector<LaneProgress> all;
  for (const auto& runner : runners_) {
    auto some = runner->task.progress();
    all.insert(all.end(), some.begin(), some.end());
  }
  std::sort(all.begin(), all.end(),
            [](const LaneProgress& a, const LaneProgress& b) { return a.source < b.source; });
  return all;
}

}  // namespace tidemill::pipeline
