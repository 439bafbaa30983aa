#include "pipeline/testing/model_source.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace tidemill::pipeline::testing {

ModelTopic::ModelTopic(std::string name, int32_t partitions)
    : name_(std::move(name)), logs_(static_cast<size_t>(partitions)) {}

ModelTopic::Log& ModelTopic::log(int32_t partition) {
  TM_CHECK(partition >= 0 && partition < partitions());
  return logs_[static_cast<size_t>(partition)];
}
const ModelTopic::Log& ModelTopic::log(int32_t partition) const {
  TM_CHECK(partition >= 0 && partition < partitions());
  return logs_[static_cast<size_t>(partition)];
}

Offset ModelTopic::append(int32_t partition, std::optional<std::string> key, std::string value,
                          int64_t timestamp_ms) {
  std::lock_guard lock(mutex_);
  Log& to = log(partition);
  Offset offset = to.end;
  to.events.push_back(std::make_shared<const Event>(
      Event{offset, to.leader_epoch, timestamp_ms, std::move(key), std::move(value)}));
  ++to.end;
  changed_.notify_all();
  return offset;
}
Offset ModelTopic::end(int32_t partition) const {
  std::lock_guard lock(mutex_);
  return log(partition).end;
}
void ModelTopic::remove_before(int32_t partition, Offset before) {
  std::lock_guard lock(mutex_);
  Log& from = log(partition);
  from.start = std::max(from.start, before);
  while (!from.events.empty() && from.events.front()->offset < from.start) from.events.pop_front();
}
void ModelTopic::lose_from(int32_t partition, Offset end) {
  std::lock_guard lock(mutex_);
  Log& from = log(partition);
  while (!from.events.empty() && from.events.back()->offset >= end) from.events.pop_back();
  from.end = std::min(from.end, end);
  for (auto& [epoch, epoch_end] : from.epoch_ends) epoch_end = std::min(epoch_end, from.end);
  from.epoch_ends[from.leader_epoch] = from.end;
  ++from.leader_epoch;
}
void ModelTopic::skip_offsets(int32_t partition, int32_t count) {
  std::lock_guard lock(mutex_);
  Log& to = log(partition);
  to.end = to.end.next(count);
  changed_.notify_all();
}
void ModelTopic::finish() {
  std::lock_guard lock(mutex_);
  finished_ = true;
  changed_.notify_all();
}
void ModelTopic::fail_polls(int times) {
  std::lock_guard lock(mutex_);
  failing_polls_ = times;
}
void ModelTopic::change(int task, AssignmentChange change) {
  std::lock_guard lock(mutex_);
  changes_[task].push_back(std::move(change));
  changed_.notify_all();
}
std::optional<Position> ModelTopic::told_committed(int32_t partition) const {
  std::lock_guard lock(mutex_);
  return log(partition).told;
}

class ModelReader final : public SourceReader {
 public:
  ModelReader(std::shared_ptr<ModelTopic> topic, ModelSource::Options options, int task)
      : topic_(std::move(topic)), options_(std::move(options)), task_(task) {}

  Status check_position(const TopicPartition& tp, const Position& position) override {
    std::lock_guard lock(topic_->mutex_);
    const ModelTopic::Log& from = topic_->log(tp.partition.value());
    if (position.offset < from.start) {
      return lost(tp, position.offset, from.start, "were deleted");
    }
    Offset epoch_end = from.end;
    if (position.leader_epoch < from.leader_epoch) {
      auto found = from.epoch_ends.find(position.leader_epoch);
      if (found != from.epoch_ends.end()) epoch_end = found->second;
    }
    if (position.leader_epoch > from.leader_epoch || position.offset > epoch_end) {
      return lost(tp, epoch_end, position.offset, "are gone");
    }
    return {};
  }

  Result<Position> start_position(const TopicPartition& tp) override {
    std::lock_guard lock(topic_->mutex_);
    const ModelTopic::Log& from = topic_->log(tp.partition.value());
    return Position{options_.from_latest ? from.end : from.start, from.leader_epoch};
  }

  Status assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) override {
    for (const auto& [tp, position] : partitions) {
      if (tp.topic != topic_->name() || tp.partition.value() >= topic_->partitions()) {
        return user_error(tp.to_string() + ": no such partition", Code::kNotFound);
      }
      positions_[tp] = position;
    }
    return {};
  }
  void unassign(const std::vector<TopicPartition>& partitions) override {
    for (const TopicPartition& tp : partitions) positions_.erase(tp);
  }

  Result<Polled> poll(const PollRequest& request) override {
    std::unique_lock lock(topic_->mutex_);
    if (topic_->failing_polls_ > 0) {
      --topic_->failing_polls_;
      return external_error("model source: not reachable", Code::kFailed, true);
    }
    topic_->changed_.wait_for(lock, std::chrono::microseconds(request.timeout_us),
                              [&] { return something_there(); });
    Polled polled;
    polled.changes.swap(topic_->changes_[task_]);
    size_t bytes = 0;
    size_t events = 0;
    bool progress = true;
    while (progress && bytes < request.max_bytes && events < request.max_events) {
      progress = false;
      for (auto& [tp, position] : positions_) {
        if (bytes >= request.max_bytes || events >= request.max_events) break;
        size_t most = std::min(options_.max_batch_events, request.max_events - events);
        BatchPtr batch = read(tp, &position, most, request.max_bytes - bytes);
        if (batch == nullptr) continue;
        progress = true;
        bytes += batch->payload_bytes();
        events += batch->size();
        polled.batches.push_back(std::move(batch));
      }
    }
    polled.caught_up = std::all_of(positions_.begin(), positions_.end(), [&](const auto& entry) {
      return entry.second.offset >= topic_->log(entry.first.partition.value()).end;
    });
    polled.ended = polled.caught_up && topic_->finished_;
    return polled;
  }

  std::string commit_token() override { return options_.commit_token; }
  void committed(const std::vector<std::pair<TopicPartition, Position>>& positions) override {
    std::lock_guard lock(topic_->mutex_);
    for (const auto& [tp, position] : positions) topic_->log(tp.partition.value()).told = position;
  }
  int64_t lag(const TopicPartition& tp, const Position& position) override {
    return topic_->end(tp.partition.value()).since(position.offset);
  }

 private:
  static Error lost(const TopicPartition& tp, Offset from, Offset to, const char* what) {
    return external_error(tp.to_string() + ": events " + std::to_string(from.value()) + " to " +
                              std::to_string(to.value() - 1) + " " + what,
                          Code::kOutOfRange);
  }

  // With the topic's lock held.
  bool something_there() const {
    if (topic_->finished_ || !topic_->changes_[task_].empty()) return true;
    return std::any_of(positions_.begin(), positions_.end(), [&](const auto& entry) {
      return entry.second.offset < topic_->log(entry.first.partition.value()).end;
    });
  }

  BatchPtr read(const TopicPartition& tp, Position* position, size_t max_events, size_t max_bytes) {
    const ModelTopic::Log& from = topic_->log(tp.partition.value());
    if (position->offset >= from.end) return nullptr;
    auto first = std::lower_bound(
        from.events.begin(), from.events.end(), position->offset,
        [](const std::shared_ptr<const ModelTopic::Event>& event, Offset at) { return event->offset < at; });
    using Kept = std::vector<std::shared_ptr<const ModelTopic::Event>>;
    auto kept = std::make_shared<Kept>();
    std::vector<Record> records;
    size_t bytes = 0;
    for (auto at = first; at != from.events.end() && records.size() < max_events && bytes < max_bytes; ++at) {
      const ModelTopic::Event& event = **at;
      Record record;
      record.offset = event.offset;
      record.timestamp_ms = event.timestamp_ms;
      record.leader_epoch = event.leader_epoch.value();
      record.has_key = event.key.has_value();
      if (event.key) record.key = *event.key;
      record.has_value = true;
      record.value = event.value;
      bytes += event.value.size();
      records.push_back(record);
      kept->push_back(*at);
    }
    auto batch = std::make_unique<Batch>();
    batch->source = tp;
    batch->timestamp_type = options_.timestamp_type;
    batch->first = position->offset;
    bool to_end = records.empty() || records.back().offset == from.events.back()->offset;
    batch->end = to_end ? Position{from.end, from.leader_epoch}
                        : Position{records.back().offset.next(), LeaderEpoch(records.back().leader_epoch)};
    batch->set_records(std::move(records), kept);
    batch->select_all();
    *position = batch->end;
    return batch;
  }

  std::shared_ptr<ModelTopic> topic_;
  ModelSource::Options options_;
  int task_;
  std::map<TopicPartition, Position> positions_;
};

SourceTraits ModelSource::traits() const {
  SourceTraits traits;
  traits.system = "model topic " + topic_->name();
  traits.timestamp_type = options_.timestamp_type;
  traits.start_moves = options_.from_latest;
  return traits;
}
Result<std::vector<TopicPartition>> ModelSource::partitions() {
  std::vector<TopicPartition> all;
  for (int32_t i = 0; i < topic_->partitions(); ++i) all.push_back(topic_->partition(i));
  return all;
}
Result<std::unique_ptr<SourceReader>> ModelSource::open_reader(int task) {
  return std::unique_ptr<SourceReader>(std::make_unique<ModelReader>(topic_, options_, task));
}

}  // namespace tidemill::pipeline::testing
