// What a partition keeps: retention, its start, rolls of idle segments, and its orderly end.
#include <algorithm>
#include <iterator>

#include "log/partition.h"

namespace tidemill::log {

Offset PartitionLog::log_start() const {
  std::lock_guard lock(mutex_);
  return log_start_;
}

// Segments that lie wholly below leave the list; their files go once log_start is durable.
void PartitionLog::raise_log_start_locked(Offset to) {
  log_start_ = std::max(log_start_, to);
  while (segments_.size() > 1 && segments_[1].base <= log_start_) {
    to_remove_.push_back(std::move(segments_.front()));
    segments_.erase(segments_.begin());
  }
  epochs_.truncate_from_start(log_start_);
  for (auto& [producer, ranges] : aborted_) {
    std::erase_if(ranges, [&](const auto& range) { return range.second < log_start_; });
  }
  std::erase_if(aborted_, [](const auto& entry) { return entry.second.empty(); });
}

Result<bool> PartitionLog::retain(std::optional<Offset> hold) {
  std::lock_guard lock(mutex_);
  TM_TRY(check_usable());
  Offset limit = last_stable();
  if (hold) limit = std::min(limit, *hold);
  uint64_t total = 0;
  for (const Segment& segment : segments_) total += segment.size;
  int64_t now_ms = shared_.now_ms();
  auto expired = [&](const Segment& segment) {
    if (config_.retention_us >= 0 && segment.max_timestamp_ms >= 0 &&
        now_ms - segment.max_timestamp_ms > config_.retention_us / 1000) {
      return true;
    }
    return config_.retention_bytes >= 0 &&
           total - segment.size >= static_cast<uint64_t>(config_.retention_bytes);
  };
  // A segment that still grows goes too, once all of it is too old: it is sealed first.
  bool all_old = config_.retention_us >= 0 && !active().empty() && active().max_timestamp_ms >= 0 &&
                 now_ms - active().max_timestamp_ms > config_.retention_us / 1000;
  if (all_old && log_end_ <= limit) TM_TRY(roll_locked());
  Offset start = log_start_;
  for (size_t i = 0; i + 1 < segments_.size(); ++i) {
    if (segments_[i + 1].base > limit || !expired(segments_[i])) break;
    total -= segments_[i].size;
    start = segments_[i + 1].base;
  }
  if (start == log_start_) return false;
  raise_log_start_locked(start);
  return true;
}

Status PartitionLog::delete_records(Offset before) {
  std::lock_guard lock(mutex_);
  TM_TRY(check_usable());
  if (before > high_watermark_) {
    return user_error(tp_.to_string() + ": cannot delete up to offset " + std::to_string(before.value()) +
                          ": the high watermark is " + std::to_string(high_watermark_.value()),
                      Code::kOutOfRange);
  }
  raise_log_start_locked(before);
  return {};
}

Status PartitionLog::remove_deleted() {
  std::vector<Segment> segments;
  {
    std::lock_guard lock(mutex_);
    segments.swap(to_remove_);
  }
  // The oldest first, and each durably before the next: should log_start not have become durable
  // (the disk is full), the log still begins with a segment behind which nothing is missing. So one that
  // cannot be removed now is the first to be tried again.
  for (auto segment = segments.begin(); segment != segments.end(); ++segment) {
    Status removed = remove_files(*segment);
    if (removed.ok()) continue;
    std::lock_guard lock(mutex_);
    to_remove_.insert(to_remove_.begin(), std::make_move_iterator(segment),
                      std::make_move_iterator(segments.end()));
    return removed;
  }
  return {};
}

// Renamed before removed: what recovery and readers take for a segment is never half of one.
Status PartitionLog::remove_files(const Segment& segment) {
  constexpr std::string_view kSuffixes[] = {kLogSuffix, kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix,
                                            kSnapshotSuffix};
  FileSystem& files = shared_.files;
  for (std::string_view suffix : kSuffixes) {
    std::string name = segment.path(suffix);
    Status renamed = files.rename(name, name + std::string(kDeletedSuffix));
    if (!renamed.ok() && renamed.error().code != Code::kNotFound) return renamed;
  }
  for (std::string_view suffix : kSuffixes) {
    Status removed = files.remove(segment.path(suffix) + std::string(kDeletedSuffix));
    if (!removed.ok() && removed.error().code != Code::kNotFound) return removed;
  }
  return files.sync_directory(directory_);
}

Status PartitionLog::roll_if_old() {
  std::lock_guard lock(mutex_);
  TM_TRY(check_usable());
  if (active().empty() || shared_.clock.wall_us() - active_since_us_ < shared_.options.segment_us) return {};
  return roll_locked();
}

void PartitionLog::expire_producers(int64_t before_ms, const std::function<bool(int64_t)>& keep) {
  std::lock_guard lock(mutex_);
  producers_.expire(before_ms, keep);
}

Result<CleanShutdown::End> PartitionLog::close() {
  if (Status synced = sync_written(); !synced.ok()) return shared_.fatal.set(std::move(synced).error());
  std::lock_guard lock(mutex_);
  TM_TRY(check_usable());
  TM_TRY(indexes_->seal(active()));
  TM_TRY(indexes_->sync());
  std::string snapshot = path(segment_stem(log_end_)) + std::string(kSnapshotSuffix);
  TM_TRY(write_file_atomically(shared_.files, snapshot, producers_.encode()));
  if (epoch_begun_) TM_TRY(epochs_.save(shared_.files, path(kEpochCheckpointName)));
  return CleanShutdown::End{log_end_, active().base, active().size};
}

}  // namespace tidemill::log
