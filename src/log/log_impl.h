// The Log: topics, and who calls whom. What a partition does stands in partition.h, transactions
// in coordinator.h.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <vector>

#include "log/checkpoints.h"
#include "log/coordinator.h"
#include "log/log.h"
#include "log/partition.h"
#include "log/shared.h"
#include "log/topics_file.h"

namespace tidemill::log {

// For work of several parts, each of which is done whatever became of the others.
class FirstError {
 public:
  void note(Status status) {
    if (!status.ok() && first_.ok()) first_ = std::move(status);
  }
  Status first() && { return std::move(first_); }

 private:
  Status first_;
};

class LogImpl final : public Log {
 public:
  LogImpl(FileSystem& files, Clock& clock, Random& random, const std::string& directory,
          const Options& options);
  Status recover();

  Status create_topic(const std::string& name, const TopicConfig& config) override;
  Status delete_topic(const std::string& name) override;
  std::vector<TopicInfo> topics() const override;
  Result<TopicInfo> topic(const std::string& name) const override;
  Result<PartitionInfo> partition(const TopicPartition& tp) const override;

  Result<Producer> init_idempotent(const std::string& name) override;
  Result<std::optional<int32_t>> last_sequence(const TopicPartition& tp, Producer producer) const override;
  Result<Producer> init_transactional(const std::string& transactional_id) override;
  Result<Appended> append(const TopicPartition& tp, std::string& batch, bool sealed) override;
  Status wait_durable(uint64_t sync_ticket) override;

  Status commit(std::span<const TransactionCommit> transactions) override;
  Status abort(Producer producer) override;
  std::optional<CommittedPosition> committed_position(const std::string& group,
                                                      const TopicPartition& source) const override;
  Status commit_positions(std::span<const PositionCommit> positions) override;

  Result<Fetched> read(const TopicPartition& tp, Offset from, size_t max_bytes, Isolation isolation) override;
  Result<Offset> leader_epoch_end(const TopicPartition& tp, LeaderEpoch epoch) const override;
  Result<Offset> offset_for_time(const TopicPartition& tp, int64_t timestamp_ms) override;
  uint64_t wait_visible(uint64_t seen, int64_t timeout_us) override;

  void hold_retention(const std::string& holder,
                      const std::vector<std::pair<TopicPartition, Offset>>& from) override;
  Status delete_records(const TopicPartition& tp, Offset before) override;
  Status housekeep() override;
  Status close() override;

 private:
  struct Topic {
    TopicEntry entry;
    std::vector<std::shared_ptr<PartitionLog>> partitions;
  };

  Status usable() const;
  std::string path(std::string_view name) const { return join_path(shared_.directory, name); }
  std::shared_ptr<PartitionLog> find(const TopicPartition& tp) const;          // null where there is none
  Result<std::shared_ptr<PartitionLog>> need(const TopicPartition& tp) const;  // kNotFound
  std::vector<std::shared_ptr<PartitionLog>> all_partitions() const;
  TopicId new_topic_id();

  // Opening (log_open.cc).
  Status check_directory(const TopicsFile& known) const;
  Status finish_deletions(TopicsFile* known);
  void give_back_room(const TopicsFile& known);
  Status recover_topic(const std::string& name, const TopicEntry& entry, bool synced_rolls,
                       const OffsetMap& log_starts, const OffsetMap& recovery_points,
                       const CleanShutdown* clean, bool failed_sync);

  Status add_topic(const std::string& name, const TopicConfig& config);         // needs admin_mutex_
  Status change_retention(const std::string& name, const TopicConfig& config);  // needs admin_mutex_
  TopicsFile topics_file() const;
  Status save_topics() const { return topics_file().save(shared_.files, path(kTopicsName)); }

  std::optional<Offset> held(const TopicPartition& tp) const;
  Status save_log_starts();
  Status save_recovery_points();
  Status sync_in_background();
  void retain_all(FirstError& errors);

  Shared shared_;
  Random& random_;
  std::unique_ptr<Coordinator> coordinator_;
  std::atomic<bool> closed_{false};
  Durability noted_durability_ = Durability::kSync;  // in the topics file

  std::mutex admin_mutex_;  // one change of the set of topics at a time
  mutable std::shared_mutex topics_mutex_;
  std::map<std::string, Topic, std::less<>> topics_;

  mutable std::mutex holds_mutex_;
  std::map<std::string, std::map<TopicPartition, Offset>> holds_;

  std::mutex keeping_mutex_;  // one housekeeper at a time
  int64_t last_sync_us_ = 0;
  int64_t last_checkpoint_us_ = 0;
  int64_t last_expiry_us_ = 0;
  OffsetMap saved_recovery_points_;
};

}  // namespace tidemill::log
