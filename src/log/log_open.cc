// Opening a log: its files judged, its partitions recovered, its transactions ended.
#include <algorithm>

#include "base/logging.h"
#include "log/log_impl.h"

namespace tidemill::log {
namespace {

// The order of strength: what recovery may rely on is the weaker of two.
int strength(Durability durability) {
  switch (durability) {
    case Durability::kSync:
      return 2;
    case Durability::kInterval:
      return 1;
    case Durability::kNone:
      return 0;
  }
  return 0;
}

Status check_options(const Options& options) {
  if (options.segment_bytes < 1 || options.segment_bytes > kMaxSegmentBytes) {
    return user_error("log: segment_bytes must be 1 to 2147483647, not " +
                      std::to_string(options.segment_bytes));
  }
  if (options.max_batch_bytes < 61 || options.max_batch_bytes > (1u << 30)) {
    return user_error("log: max_batch_bytes must be 61 to 1073741824, not " +
                      std::to_string(options.max_batch_bytes));
  }
  return {};
}

// With all that is missing above it; each new name is synced into its parent. What is there already may have
// been made by a process that was killed before it could sync: as long as the log has no topics, the
// directories of its run are synced again, and those above them where that is allowed.
Status create_durably(FileSystem& files, const std::string& directory, bool has_topics) {
  constexpr int kOwnLevels = 3;  // <data directory>/<solution>/<run>/log
  std::vector<std::string> parents;
  for (std::string at = directory; !files.exists(at); at = parent_path(at)) {
    parents.push_back(parent_path(at));
    if (parents.back() == at) break;
  }
  TM_TRY(files.create_directories(directory));
  for (const std::string& parent : parents) TM_TRY(files.sync_directory(parent));
  if (has_topics) return {};
  std::string at = directory;
  for (int level = 0; parent_path(at) != at; ++level) {
    at = parent_path(at);
    Status synced = files.sync_directory(at);
    if (synced.ok()) continue;
    if (level < kOwnLevels) return synced;
    break;
  }
  return {};
}

Offset offset_of(const OffsetMap& offsets, const TopicPartition& tp) {
  auto found = offsets.find(tp);
  return found == offsets.end() ? Offset(0) : found->second;
}

}  // namespace

Status LogImpl::recover() {
  TM_TRY(check_options(shared_.options));
  FileSystem& files = shared_.files;
  TM_TRY(create_durably(files, shared_.directory, files.exists(path(kTopicsName))));
  TM_ASSIGN(TopicsFile known, TopicsFile::load(files, path(kTopicsName)));
  TM_TRY(check_directory(known));
  TM_ASSIGN(OffsetMap log_starts, read_offset_checkpoint(files, path(kLogStartName)));
  TM_ASSIGN(OffsetMap recovery_points, read_offset_checkpoint(files, path(kRecoveryPointName)));
  CleanShutdown clean = CleanShutdown::load(files, path(kCleanShutdownName));
  bool was_clean = known.leader_epoch.value() >= 0 && clean.leader_epoch == known.leader_epoch;
  bool synced_rolls = was_clean || known.durability == Durability::kSync;

  bool failed_sync = files.exists(path(kFailedSyncName));

  // From here on the clean shutdown file is stale: its epoch is not this one. What recovery may
  // rely on stays the weaker of then and now until everything is synced.
  Durability now = shared_.options.durability;
  noted_durability_ = !was_clean && strength(known.durability) < strength(now) ? known.durability : now;
  shared_.leader_epoch = LeaderEpoch(known.leader_epoch.value() + 1);
  known.leader_epoch = shared_.leader_epoch;
  known.durability = noted_durability_;
  Status saved = known.save(files, path(kTopicsName));
  if (!saved.ok() && saved.error().code == Code::kDiskFull) {
    give_back_room(known);
    saved = known.save(files, path(kTopicsName));
  }
  TM_TRY(std::move(saved));
  TM_TRY(finish_deletions(&known));

  for (const auto& [name, entry] : known.topics) {
    TM_TRY(recover_topic(name, entry, synced_rolls, log_starts, recovery_points, was_clean ? &clean : nullptr,
                         failed_sync));
  }
  if (!topics_.contains(kTransactionsTopic)) {
    TopicConfig config;
    config.timestamp_type = TimestampType::kCreateTime;
    TM_TRY(add_topic(std::string(kTransactionsTopic), config));
  }
  std::vector<std::shared_ptr<PartitionLog>> partitions = all_partitions();
  TM_TRY(coordinator_->recover(find({std::string(kTransactionsTopic), Partition(0)}), !synced_rolls,
                               partitions));
  TM_TRY(shared_.group.wait(shared_.group.ticket()));
  if (failed_sync) TM_TRY(files.remove(path(kFailedSyncName)));
  if (noted_durability_ != now || !known.topics.empty()) {
    noted_durability_ = now;
    TM_TRY(save_topics());
  }
  last_sync_us_ = last_checkpoint_us_ = last_expiry_us_ = shared_.clock.wall_us();
  return save_recovery_points();
}

// A directory with segments but without the file that names its topics is not a new log.
Status LogImpl::check_directory(const TopicsFile& known) const {
  if (known.leader_epoch.value() >= 0) return {};
  TM_ASSIGN(auto names, shared_.files.list(shared_.directory));
  for (const std::string& name : names) {
    std::string metadata = join_path(path(name), kPartitionMetadataName);
    if (!shared_.files.exists(metadata)) continue;
    return external_error(path(kTopicsName) + ": missing, but " + path(name) +
                              " holds a partition; restore the file or move the directory away",
                          Code::kCorrupt);
  }
  return {};
}

// A process that was killed has left the room that it kept behind its active segments. No byte of them
// changes. What fails leaves less room, and is said by whoever finds none.
void LogImpl::give_back_room(const TopicsFile& known) {
  FileSystem& files = shared_.files;
  for (const auto& [name, entry] : known.topics) {
    for (int32_t i = 0; i < entry.config.partitions; ++i) {
      const std::string directory = path(TopicPartition{name, Partition(i)}.to_string());
      auto names = files.list(directory);
      if (!names.ok()) continue;
      auto active = std::find_if(names->rbegin(), names->rend(),
                                 [](const std::string& file) { return file.ends_with(kLogSuffix); });
      if (active == names->rend()) continue;
      auto file = files.open(join_path(directory, *active), OpenMode::kReadWrite);
      if (!file.ok()) continue;
      auto size = (*file)->size();
      if (size.ok()) (void)(*file)->truncate(*size).ok();
    }
  }
}

// Removes the files of topics whose deletion is noted, and then the notes.
Status LogImpl::finish_deletions(TopicsFile* known) {
  FileSystem& files = shared_.files;
  bool any = false;
  for (const auto& [name, entry] : known->topics) {
    if (!entry.deleting) continue;
    any = true;
    for (int32_t i = 0; i < entry.config.partitions; ++i) {
      std::string directory = path(TopicPartition{name, Partition(i)}.to_string());
      if (files.exists(directory)) TM_TRY(files.remove_tree(directory));
    }
  }
  if (!any) return {};
  TM_TRY(files.sync_directory(shared_.directory));
  std::erase_if(known->topics, [](const auto& topic) { return topic.second.deleting; });
  return known->save(files, path(kTopicsName));
}

Status LogImpl::recover_topic(const std::string& name, const TopicEntry& entry, bool synced_rolls,
                              const OffsetMap& log_starts, const OffsetMap& recovery_points,
                              const CleanShutdown* clean, bool failed_sync) {
  Topic topic;
  topic.entry = entry;
  for (int32_t i = 0; i < entry.config.partitions; ++i) {
    TopicPartition tp{name, Partition(i)};
    if (!shared_.files.exists(path(tp.to_string()))) {
      return external_error(path(tp.to_string()) + ": the partition's directory is missing", Code::kCorrupt);
    }
    RecoveryInput input;
    input.log_start = offset_of(log_starts, tp);
    input.recovery_point = offset_of(recovery_points, tp);
    input.synced_rolls = synced_rolls;
    input.failed_sync = failed_sync;
    if (clean != nullptr && clean->ends.contains(tp)) input.clean = clean->ends.at(tp);
    TM_ASSIGN(auto partition, PartitionLog::recover(shared_, tp, entry.config, input));
    topic.partitions.push_back(std::move(partition));
  }
  std::unique_lock lock(topics_mutex_);
  topics_[name] = std::move(topic);
  return {};
}

}  // namespace tidemill::log
