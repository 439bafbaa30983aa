#include "group.h"

#include <algorithm>
#include <utility>

namespace tidemill::sim {

using pipeline::AssignmentChange;

void Group::begin(const TopicPartition& tp, int task) {
  owners_[tp] = task;
  readers_[tp];
  hold();
}

void Group::move(const TopicPartition& tp, int to, bool lost) {
  int from = std::exchange(owners_.at(tp), to);
  untold_[from].push_back({lost ? AssignmentChange::kLost : AssignmentChange::kRevoked, {tp}});
  if (lost) {
    untold_[to].push_back({AssignmentChange::kAssigned, {tp}});
  } else {
    to_give_[tp] = to;
  }
}

bool Group::idle() const {
  return to_give_.empty() &&
         std::all_of(untold_.begin(), untold_.end(), [](const auto& task) { return task.second.empty(); });
}

bool Group::loses(int task) const {
  auto found = untold_.find(task);
  return found != untold_.end() &&
         std::any_of(found->second.begin(), found->second.end(),
                     [](const AssignmentChange& change) { return change.kind == AssignmentChange::kLost; });
}

std::vector<AssignmentChange> Group::take(int task) {
  return std::exchange(untold_[task], {});
}

void Group::assigned(int task, const TopicPartition& tp) {
  readers_[tp].insert(task);
  hold();
}

// A task also lets go what it has yet to take over.
void Group::unassigned(int task, const TopicPartition& tp) {
  readers_[tp].erase(task);
  hold();
  auto given = to_give_.find(tp);
  if (given == to_give_.end()) return;
  untold_[given->second].push_back({AssignmentChange::kAssigned, {tp}});
  to_give_.erase(given);
}

void Group::hold() {
  std::vector<std::pair<TopicPartition, Offset>> moving;
  for (const auto& [tp, readers] : readers_) {
    if (readers.empty()) moving.emplace_back(tp, Offset(0));
  }
  log_.hold_retention("moving", moving);
}

namespace {

class GroupReader final : public pipeline::SourceReader {
 public:
  GroupReader(std::unique_ptr<pipeline::SourceReader> inner, Group& group, int task)
      : inner_(std::move(inner)), group_(group), task_(task) {}

  Status check_position(const TopicPartition& tp, const Position& position) override {
    return inner_->check_position(tp, position);
  }
  Result<Position> start_position(const TopicPartition& tp) override { return inner_->start_position(tp); }
  Status assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) override {
    TM_TRY(inner_->assign(partitions));
    for (const auto& [tp, position] : partitions) group_.assigned(task_, tp);
    return {};
  }
  void unassign(const std::vector<TopicPartition>& partitions) override {
    for (const TopicPartition& tp : partitions) group_.unassigned(task_, tp);
    inner_->unassign(partitions);
  }
  Result<pipeline::Polled> poll(const pipeline::PollRequest& request) override {
    TM_ASSIGN(pipeline::Polled polled, inner_->poll(request));
    polled.changes = group_.take(task_);
    return polled;
  }
  void committed(const std::vector<std::pair<TopicPartition, Position>>& positions) override {
    inner_->committed(positions);
  }
  int64_t lag(const TopicPartition& tp, const Position& position) override {
    return inner_->lag(tp, position);
  }

 private:
  std::unique_ptr<pipeline::SourceReader> inner_;
  Group& group_;
  int task_;
};

class GroupSource final : public pipeline::Source {
 public:
  GroupSource(pipeline::Source& inner, Group& group, bool assigns)
      : inner_(inner), group_(group), assigns_(assigns) {}
  pipeline::SourceTraits traits() const override {
    pipeline::SourceTraits traits = inner_.traits();
    traits.assigns = assigns_;
    return traits;
  }
  Result<std::vector<TopicPartition>> partitions() override { return inner_.partitions(); }
  Result<std::unique_ptr<pipeline::SourceReader>> open_reader(int task) override {
    TM_ASSIGN(auto reader, inner_.open_reader(task));
    return std::unique_ptr<pipeline::SourceReader>(
        std::make_unique<GroupReader>(std::move(reader), group_, task));
  }

 private:
  pipeline::Source& inner_;
  Group& group_;
  const bool assigns_;
};

}  // namespace

std::unique_ptr<pipeline::Source> make_group_source(pipeline::Source& inner, Group& group, bool assigns) {
  return std::make_unique<GroupSource>(inner, group, assigns);
}

}  // namespace tidemill::sim
