// A topic in memory that stands in for real sources: it replays, loses its tail, forgets its oldest
// events, fails for a while, and takes partitions away and gives them back, as a test says.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/source.h"

namespace tidemill::pipeline::testing {

// Thread-safe; outlives the sources over it.
class ModelTopic {
 public:
  ModelTopic(std::string name, int32_t partitions);

  const std::string& name() const { return name_; }
  TopicPartition partition(int32_t number) const { return {name_, Partition(number)}; }
  int32_t partitions() const { return static_cast<int32_t>(logs_.size()); }

  Offset append(int32_t partition, std::optional<std::string> key, std::string value,
                int64_t timestamp_ms = 0);
  Offset end(int32_t partition) const;
  // Retention: events before `before` are gone.
  void remove_before(int32_t partition, Offset before);
  // A crash that lost the tail: the log ends at `end` and its leader epoch is raised.
  void lose_from(int32_t partition, Offset end);
  // What follows takes up offsets without events, as control batches do.
  void skip_offsets(int32_t partition, int32_t count);
  // Nothing will ever be appended again: readers at the end say `ended`.
  void finish();

  // The next `times` polls of any reader fail, retryably.
  void fail_polls(int times);
  // Given to the reader of `task` by its next poll.
  void change(int task, AssignmentChange change);

  // Latest positions that readers were told of by committed().
  std::optional<Position> told_committed(int32_t partition) const;

 private:
  friend class ModelReader;
  struct Event {
    Offset offset;
    LeaderEpoch leader_epoch;
    int64_t timestamp_ms = 0;
    std::optional<std::string> key;
    std::string value;
  };
  struct Log {
    Offset start;
    Offset end;
    LeaderEpoch leader_epoch{1};
    std::map<LeaderEpoch, Offset> epoch_ends;  // of those before the current one
    std::deque<std::shared_ptr<const Event>> events;
    std::optional<Position> told;
  };
  Log& log(int32_t partition);
  const Log& log(int32_t partition) const;

  const std::string name_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Log> logs_;
  bool finished_ = false;
  int failing_polls_ = 0;
  std::map<int, std::vector<AssignmentChange>> changes_;
};

class ModelSource final : public Source {
 public:
  struct Options {
    size_t max_batch_events = 100;
    std::string commit_token;
    bool from_latest = false;
    TimestampType timestamp_type = TimestampType::kCreateTime;
  };
  explicit ModelSource(std::shared_ptr<ModelTopic> topic) : ModelSource(std::move(topic), Options{}) {}
  ModelSource(std::shared_ptr<ModelTopic> topic, Options options)
      : topic_(std::move(topic)), options_(std::move(options)) {}
  SourceTraits traits() const override;
  Result<std::vector<TopicPartition>> partitions() override;
  Result<std::unique_ptr<SourceReader>> open_reader(int task) override;

 private:
  std::shared_ptr<ModelTopic> topic_;
  Options options_;
};

}  // namespace tidemill::pipeline::testing
