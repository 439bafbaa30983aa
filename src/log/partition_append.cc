// Writing to a partition: checks, offsets, the active segment, its roll and its sync.
#include <algorithm>

#include "base/canary.h"
#include "base/steps.h"
#include "log/partition.h"

namespace tidemill::log {
namespace {

// What the log asks of a batch from a producer, before any lock is taken.
Result<BatchHeader> check_appended(std::string_view batch, const Options& options, bool sealed) {
  auto malformed = [](const std::string& what) { return user_error("append: the batch " + what); };
  auto parsed = parse_batch_header(batch);
  if (!parsed.ok()) return malformed("is malformed: " + parsed.error().message);
  if (!parsed->has_value()) return malformed("is shorter than a batch header");
  BatchHeader header = **parsed;
  if (header.length < 0 || header.size_bytes() != batch.size())
    return malformed("is not exactly one whole batch");
  if (batch.size() > options.max_batch_bytes) {
    return malformed("has " + std::to_string(batch.size()) + " bytes, more than max_batch_bytes " +
                     std::to_string(options.max_batch_bytes));
  }
  if (header.count < 1 || header.last_offset_delta != header.count - 1)
    return malformed("has no consecutive offsets");
  if (header.control()) return malformed("is a control batch");
  if (header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0)) {
    return malformed("has a producer id without epoch and sequence");
  }
  if (header.producer_id < 0 && header.transactional())
    return malformed("is transactional without a producer id");
  if (sealed) {
    if (Status checked = check_batch(header, batch); !checked.ok()) return malformed(checked.error().message);
  }
  return header;
}

}  // namespace

Result<Appended> PartitionLog::append(std::string& batch, bool sealed) {
  TM_ASSIGN(BatchHeader header, check_appended(batch, shared_.options, sealed));
  if (!sealed && config_.timestamp_type == TimestampType::kCreateTime) {
    seal_batch(batch.data(), batch.size());
    sealed = true;
  }
  std::lock_guard lock(mutex_);
  TM_TRY(check_usable());
  if (header.producer_id >= 0) {
    if (header.transactional()) {
      TM_TRY(shared_.gate->enter({header.producer_id, header.producer_epoch}, tp_));
    }
    TM_ASSIGN(auto duplicate, producers_.check(header));
    if (duplicate) {
      return Appended{duplicate->first_offset(), duplicate->last_offset, true, shared_.group.ticket()};
    }
  }
  TM_ASSIGN(Appended appended, write_locked(batch, header, sealed));
  producers_.appended(header);
  advance_visible_if_weak();
  return appended;
}

Result<Appended> PartitionLog::append_own(std::string& batch) {
  auto parsed = parse_batch_header(batch);
  TM_CHECK(parsed.ok() && parsed->has_value() && (*parsed)->size_bytes() == batch.size());
  BatchHeader header = **parsed;
  std::lock_guard lock(mutex_);
  TM_TRY(check_usable());
  TM_ASSIGN(Appended appended, write_locked(batch, header, true));
  advance_visible_if_weak();
  return appended;
}

Result<uint64_t> PartitionLog::append_marker(Producer producer, bool commit) {
  std::lock_guard lock(mutex_);
  TM_TRY(shared_.fatal.check());
  if (deleted_ || !producers_.open_transaction(producer.id)) return uint64_t{0};
  last_append_ms_ = std::max(last_append_ms_, shared_.now_ms());
  std::string batch = make_transaction_marker(commit, producer.id, producer.epoch, last_append_ms_, 0);
  auto parsed = parse_batch_header(batch);
  TM_CHECK(parsed.ok() && parsed->has_value());
  BatchHeader header = **parsed;
  TM_ASSIGN(Appended appended, write_locked(batch, header, true));
  auto aborted =
      producers_.completed(producer.id, producer.epoch, commit, appended.first, header.max_timestamp_ms);
  if (aborted) {
    aborted_[producer.id].emplace_back(aborted->first, aborted->last);
    aborted->last_stable = producers_.first_open().value_or(log_end_);
    // The marker decides; where the index cannot be written now, sealing the segment tries again.
    Status indexed = indexes_->add_aborted(*aborted);
    static_cast<void>(indexed.ok());
  }
  advance_visible_if_weak();
  shared_.visible.bump();
  return appended.sync_ticket;
}

void PartitionLog::advance_visible_if_weak() {
  if (!shared_.sync_mode()) advance_visible();
}

// Offsets, time and checksum into the batch, the batch into the active segment. After an error
// nothing is appended.
Result<Appended> PartitionLog::write_locked(std::string& batch, BatchHeader& header, bool sealed) {
  uint64_t limit = std::min(shared_.options.segment_bytes, kMaxSegmentBytes);
  bool full = active().size + batch.size() > limit;
  bool too_far = log_end_.since(active().base) + header.last_offset_delta > INT32_MAX;
  if (!active().empty() && (full || too_far)) TM_TRY(roll_locked());
  if (!epoch_begun_) TM_TRY(begin_epoch());

  if (config_.timestamp_type == TimestampType::kLogAppendTime && !header.control()) {
    last_append_ms_ = std::max(last_append_ms_, shared_.now_ms());
    set_batch_append_time(batch.data(), last_append_ms_);
    header.attributes = static_cast<int16_t>(header.attributes | record_batch_layout::kTimestampTypeBit);
    header.max_timestamp_ms = last_append_ms_;
    sealed = false;
  }
  if (!sealed) seal_batch(batch.data(), batch.size());
  set_batch_position(batch.data(), log_end_.value(), shared_.leader_epoch.value());
  header.base_offset = log_end_.value();
  header.leader_epoch = shared_.leader_epoch.value();

  TM_TRY(write_bytes(batch));
  if (active().empty()) active_since_us_ = shared_.clock.wall_us();
  indexes_->add(active(), header, active().size, shared_.options.index_interval_bytes);
  active().size += batch.size();
  log_end_ = Offset(header.last_offset() + 1);
  last_ticket_ = shared_.group.written(shared_from_this());
  return Appended{Offset(header.base_offset), Offset(header.last_offset()), false, last_ticket_};
}

Status PartitionLog::write_bytes(std::string_view batch) {
  File& file = *active().file;
  Status written = file.write_at(active().size, batch);
  if (written.ok()) return written;
  // The cut is synced before anything else is written here: else a crash could leave parts of the
  // refused bytes under later ones, which would look like damage.
  Status cut = file.truncate(active().size);
  if (cut.ok()) cut = file.sync();
  if (!cut.ok()) return shared_.fatal.set(std::move(cut).error());
  return written;
}

Status PartitionLog::begin_epoch() {
  LeaderEpochs next = epochs_;
  next.assign(shared_.leader_epoch, log_end_);
  TM_TRY(next.save(shared_.files, path(kEpochCheckpointName)));
  epochs_ = std::move(next);
  epoch_begun_ = true;
  return {};
}

Status PartitionLog::doubt_from(Offset first) {
  std::lock_guard lock(mutex_);
  LeaderEpochs next = epochs_;
  next.truncate_from_end(first);
  next.assign(shared_.leader_epoch, first);
  TM_TRY(next.save(shared_.files, path(kEpochCheckpointName)));
  epochs_ = std::move(next);
  epoch_begun_ = true;
  return {};
}

Status PartitionLog::roll() {
  std::lock_guard lock(mutex_);
  TM_TRY(check_usable());
  if (active().empty()) return {};
  return roll_locked();
}

// The old segment is whole and (under kSync) durable before the new one exists: recovery relies on
// it. After an error the old segment is still the active one.
Status PartitionLog::roll_locked() {
  TM_TRY(indexes_->seal(active()));
  if (shared_.sync_mode() && !canary(Canary::kRollWithoutSync)) {
    Status synced = active().file->sync();
    if (synced.ok()) synced = indexes_->sync();
    if (!synced.ok()) return shared_.fatal.set(std::move(synced).error());
  }
  std::string snapshot = path(segment_stem(log_end_)) + std::string(kSnapshotSuffix);
  TM_TRY(write_file_atomically(shared_.files, snapshot, producers_.encode()));

  std::shared_ptr<SegmentIndexes> indexes;
  auto created = create_segment(log_end_, &indexes);
  Status listed = created.ok() ? shared_.files.sync_directory(directory_) : ok_status();
  if (!created.ok() || !listed.ok()) {
    discard_segment_files(log_end_);
    if (!created.ok()) return std::move(created).error();
    return shared_.fatal.set(std::move(listed).error());
  }
  if (shared_.sync_mode()) {
    durable_end_ = log_end_;
    advance_visible();
  } else {
    unsynced_.push_back({active().file, indexes_, log_end_});
  }
  active().file.reset();
  segments_.push_back(std::move(created).value());
  indexes_ = std::move(indexes);
  active_since_us_ = shared_.clock.wall_us();
  commit_step("log.roll");
  return {};
}

void PartitionLog::discard_segment_files(Offset base) {
  for (std::string_view suffix : {kLogSuffix, kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix}) {
    // What stays behind is empty: recovery removes it.
    Status removed = shared_.files.remove(path(segment_stem(base)) + std::string(suffix));
    static_cast<void>(removed.ok());
  }
}

Status PartitionLog::sync_segments(const std::vector<Unsynced>& segments) {
  for (const Unsynced& segment : segments) {
    TM_TRY(segment.file->sync());
    TM_TRY(segment.indexes->sync());
  }
  return {};
}

Status PartitionLog::sync_written() {
  std::vector<Unsynced> sealed;
  std::shared_ptr<File> file;
  Offset end;
  {
    std::lock_guard lock(mutex_);
    if (deleted_) return {};
    sealed.swap(unsynced_);
    file = active().file;
    end = log_end_;
  }
  TM_TRY(sync_segments(sealed));
  TM_TRY(file->sync());
  std::lock_guard lock(mutex_);
  durable_end_ = std::max(durable_end_, end);
  if (shared_.sync_mode()) advance_visible();
  return {};
}

Status PartitionLog::sync_sealed() {
  std::vector<Unsynced> sealed;
  {
    std::lock_guard lock(mutex_);
    if (deleted_ || unsynced_.empty()) return {};
    sealed.swap(unsynced_);
  }
  TM_TRY(sync_segments(sealed));
  std::lock_guard lock(mutex_);
  durable_end_ = std::max(durable_end_, sealed.back().end);
  return {};
}

}  // namespace tidemill::log
