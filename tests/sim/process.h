// One life of the process that owns the data directory: the log, and a pipeline over it.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "group.h"
#include "log/log.h"
#include "pipeline/task.h"
#include "pipeline/testing/model_sink.h"
#include "world.h"

namespace tidemill::sim {

inline const std::string kLogDirectory = "/run/log";

class Process {
 public:
  // What outlives it.
  struct Surroundings {
    World& world;
    std::shared_ptr<pipeline::testing::ModelStore> store;
  };
  explicit Process(Surroundings around) : around_(std::move(around)) {}
  ~Process() { stop_pipeline(); }

  Status open_log();
  log::Log& log() { return *log_; }
  bool has_log() const { return log_ != nullptr; }

  // Prepares the sink and makes the tasks, which are not open yet.
  Status start_pipeline();
  // Takes the partitions over. The errors of a task say why it cannot go on.
  Status open_task(size_t number);
  // All tasks are open: from here on they say what retention must keep.
  void pipeline_opened();
  void stop_pipeline();
  bool pipeline_runs() const { return !tasks_.empty(); }
  size_t tasks() const { return tasks_.size(); }
  pipeline::Task& task(size_t number) { return *tasks_[number].task; }
  // A second owner takes the partitions of a task; the first one, which does not know, is kept.
  Status add_rival(size_t number);
  size_t former_owners() const { return former_.size(); }
  // One step of an owner that was taken over. It must be fenced before it commits anything.
  Status step_former(size_t number, bool commit);
  // A partition goes to a task (maybe the same): revoked from the one that has it, or lost to it.
  void move(const TopicPartition& tp, size_t to, bool lost);
  bool moving() const { return group_ != nullptr && !group_->idle(); }
  // Its commits may be fenced, and it does not know why yet.
  bool loses(size_t number) const { return group_ != nullptr && group_->loses(tasks_[number].number); }
  void drop_former(size_t number) { former_.erase(former_.begin() + static_cast<ptrdiff_t>(number)); }

 private:
  struct Owner {
    std::unique_ptr<pipeline::Task> task;
    std::vector<TopicPartition> partitions;
    int number = 0;
  };
  std::unique_ptr<pipeline::Task> make_task(int number, const std::vector<TopicPartition>& partitions);
  Status make_sink();
  // While no pipeline says what it needs, everything is needed.
  void hold_everything(bool hold);

  Surroundings around_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<pipeline::Source> log_source_;
  std::unique_ptr<Group> group_;
  std::unique_ptr<pipeline::Source> source_;  // log_source_, as the group shares it out
  std::unique_ptr<pipeline::Sink> sink_;
  std::unique_ptr<pipeline::Changelog> changelog_;
  std::unique_ptr<pipeline::Plan> plan_;
  std::vector<Owner> tasks_;
  std::vector<Owner> former_;
  int next_number_ = 0;
};

}  // namespace tidemill::sim
