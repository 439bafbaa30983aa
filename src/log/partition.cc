#include "log/partition.h"

#include <algorithm>

namespace tidemill::log {

PartitionLog::PartitionLog(Shared& shared, TopicPartition tp, const TopicConfig& config)
    : shared_(shared),
      tp_(std::move(tp)),
      directory_(join_path(shared.directory, tp_.to_string())),
      config_(config) {}

Result<std::shared_ptr<PartitionLog>> PartitionLog::create(Shared& shared, const TopicPartition& tp,
                                                           const TopicConfig& config, const TopicId& id) {
  auto partition = std::make_shared<PartitionLog>(shared, tp, config);
  FileSystem& files = shared.files;
  TM_TRY(files.create_directories(partition->directory_));
  TM_ASSIGN(auto names, files.list(partition->directory_));
  for (const std::string& name : names) {
    if (!name.ends_with(kLogSuffix)) continue;
    TM_ASSIGN(auto file, files.open(partition->path(name), OpenMode::kRead));
    TM_ASSIGN(uint64_t size, file->size());
    if (size > 0) {
      return user_error(partition->path(name) + ": holds data of no topic; move the directory away",
                        Code::kExists);
    }
  }
  for (const std::string& name : names) TM_TRY(files.remove(partition->path(name)));
  TM_TRY(write_file_atomically(files, partition->path(kPartitionMetadataName),
                               "version: 0\ntopic_id: " + topic_id_text(id)));
  std::lock_guard lock(partition->mutex_);
  TM_ASSIGN(Segment segment, partition->create_segment(Offset(0), &partition->indexes_));
  partition->segments_.push_back(std::move(segment));
  partition->active_since_us_ = shared.clock.wall_us();
  TM_TRY(files.sync_directory(partition->directory_));
  return partition;
}

Result<Segment> PartitionLog::create_segment(Offset base, std::shared_ptr<SegmentIndexes>* indexes) {
  Segment segment;
  segment.base = base;
  segment.stem = path(segment_stem(base));
  TM_ASSIGN(auto file, shared_.files.open(segment.path(kLogSuffix), OpenMode::kCreate));
  segment.file = std::move(file);
  segment.file->keep_room(kRoomAhead);
  TM_TRY(segment.file->truncate(0));
  auto fresh = std::make_shared<SegmentIndexes>();
  TM_TRY(fresh->open(shared_.files, segment));
  *indexes = std::move(fresh);
  return segment;
}

Status PartitionLog::check_usable() const {
  TM_TRY(shared_.fatal.check());
  if (deleted_) return user_error("topic " + tp_.topic + " was deleted", Code::kNotFound);
  return {};
}

Offset PartitionLog::last_stable() const {
  std::optional<Offset> open = producers_.first_open();
  return open ? std::min(*open, high_watermark_) : high_watermark_;
}

void PartitionLog::advance_visible() {
  high_watermark_ = shared_.sync_mode() ? durable_end_ : log_end_;
  TM_CHECK(log_start_ <= high_watermark_ && high_watermark_ <= log_end_);
  shared_.visible.bump();
}

PartitionInfo PartitionLog::info() const {
  std::lock_guard lock(mutex_);
  PartitionInfo info;
  info.id = tp_;
  info.log_start = log_start_;
  info.last_stable = std::max(log_start_, last_stable());
  info.high_watermark = high_watermark_;
  info.log_end = log_end_;
  info.leader_epoch = shared_.leader_epoch;
  info.segments = segments_.size();
  for (const Segment& segment : segments_) info.size_bytes += segment.size;
  return info;
}

Result<Offset> PartitionLog::leader_epoch_end(LeaderEpoch epoch) const {
  std::lock_guard lock(mutex_);
  if (epoch > shared_.leader_epoch) {
    return external_error(tp_.to_string() + ": leader epoch " + std::to_string(epoch.value()) +
                              " is above the current one, " + std::to_string(shared_.leader_epoch.value()),
                          Code::kNotFound);
  }
  return std::max(log_start_, epochs_.end_of(epoch, log_end_));
}

std::optional<LeaderEpoch> PartitionLog::epoch_before(Offset offset) const {
  return epochs_.epoch_of(Offset(std::max<int64_t>(0, offset.value() - 1)));
}

std::optional<int32_t> PartitionLog::last_sequence(Producer producer) const {
  std::lock_guard lock(mutex_);
  return producers_.last_sequence(producer.id, producer.epoch);
}

void PartitionLog::for_each_producer(const std::function<void(int64_t, int16_t)>& each) const {
  std::lock_guard lock(mutex_);
  producers_.for_each(each);
}

std::optional<PartitionLog::Extent> PartitionLog::open_transaction(int64_t producer_id) const {
  std::lock_guard lock(mutex_);
  auto open = producers_.open_transaction(producer_id);
  if (!open) return std::nullopt;
  return Extent{*open, last_ticket_};
}

std::vector<ProducerStates::Open> PartitionLog::open_transactions() const {
  std::lock_guard lock(mutex_);
  return producers_.open_transactions();
}

uint64_t PartitionLog::size_bytes() const {
  std::lock_guard lock(mutex_);
  uint64_t total = 0;
  for (const Segment& segment : segments_) total += segment.size;
  return total;
}

Offset PartitionLog::durable_end() const {
  std::lock_guard lock(mutex_);
  return durable_end_;
}

void PartitionLog::set_retention(const TopicConfig& config) {
  std::lock_guard lock(mutex_);
  config_.retention_us = config.retention_us;
  config_.retention_bytes = config.retention_bytes;
}

void PartitionLog::mark_deleted() {
  std::lock_guard lock(mutex_);
  deleted_ = true;
}

}  // namespace tidemill::log
