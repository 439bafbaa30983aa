// Moves partitions between tasks in mid-run, as a consumer group does: a revoked one is given on once its
// task has let it go, a lost one at once.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <vector>

#include "log/log.h"
#include "pipeline/source.h"

namespace tidemill::sim {

class Group {
 public:
  // Of partitions that no task has, the log keeps everything.
  explicit Group(log::Log& log) : log_(log) {}
  ~Group() { log_.hold_retention("moving", {}); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // Which task has the partition, or will have it.
  void begin(const TopicPartition& tp, int task);
  int owner(const TopicPartition& tp) const { return owners_.at(tp); }
  void move(const TopicPartition& tp, int to, bool lost);
  // Nothing is on its way.
  bool idle() const;
  // The task was not told yet that it lost something.
  bool loses(int task) const;

  // ---- the readers'
  std::vector<pipeline::AssignmentChange> take(int task);
  void assigned(int task, const TopicPartition& tp);
  void unassigned(int task, const TopicPartition& tp);

 private:
  void hold();

  log::Log& log_;
  std::map<TopicPartition, int> owners_;
  std::map<TopicPartition, std::set<int>> readers_;  // the tasks that have it: for a moment two
  std::map<TopicPartition, int> to_give_;            // once it is let go: to this task
  std::map<int, std::vector<pipeline::AssignmentChange>> untold_;
};

// `inner` with the group's changes in its polls. Both must outlive it. `assigns`: a task that is fenced waits
// for the group to tell why.
std::unique_ptr<pipeline::Source> make_group_source(pipeline::Source& inner, Group& group, bool assigns);

}  // namespace tidemill::sim
