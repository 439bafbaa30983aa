// Opening a partition: what a crash left becomes a log again. docs/formats/log.md, "Recovery".
//
// A crash may lose or tear any write that was not synced. What was synced is known from the
// recovery point, and under Durability::kSync from the segments themselves: a segment is synced
// before the next one exists. Damage there is corruption: it is reported, never cut.
#include <algorithm>

#include "base/canary.h"
#include "base/logging.h"
#include "log/partition.h"

namespace tidemill::log {
namespace {

// The same bytes to the same places.
Status write_again(File& file, uint64_t size) {
  std::string buffer(static_cast<size_t>(std::min<uint64_t>(size, 1u << 20)), '\0');
  for (uint64_t at = 0; at < size;) {
    size_t want = static_cast<size_t>(std::min<uint64_t>(buffer.size(), size - at));
    TM_ASSIGN(size_t read, file.read_at(at, buffer.data(), want));
    if (read == 0) return external_error(file.path() + ": ends early");
    TM_TRY(file.write_at(at, std::string_view(buffer).substr(0, read)));
    at += read;
  }
  return {};
}

}  // namespace

Result<std::shared_ptr<PartitionLog>> PartitionLog::recover(Shared& shared, const TopicPartition& tp,
                                                            const TopicConfig& config,
                                                            const RecoveryInput& input) {
  auto partition = std::make_shared<PartitionLog>(shared, tp, config);
  std::lock_guard lock(partition->mutex_);
  TM_TRY(partition->recover_files(input));
  return partition;
}

Status PartitionLog::recover_files(RecoveryInput input) {
  TM_TRY(list_segments(input));
  TM_ASSIGN(repaired_, RepairedOffsets::load(shared_.files, path(kRepairedName)));
  auto epochs = LeaderEpochs::load(shared_.files, path(kEpochCheckpointName));
  bool epochs_lost = !epochs.ok();
  if (epochs.ok()) {
    epochs_ = std::move(epochs).value();
  } else if (epochs.error().code == Code::kCorrupt) {
    log_warning(epochs.error().message + "; rebuilding it from the segments");
  } else {
    return std::move(epochs).error();
  }
  bool clean = false;
  if (input.clean && !epochs_lost) {
    TM_ASSIGN(clean, open_clean(*input.clean));
  }
  if (!clean) {
    // What an opening as clean has loaded before it gave up is of the log's end.
    producers_ = ProducerStates();
    aborted_.clear();
    if (input.synced_rolls) input.recovery_point = std::max(input.recovery_point, segments_.back().base);
    size_t first = segments_.size() - 1;
    // Without synced rolls the recovery point says nothing of the indexes of the segment that ends there.
    auto known = [&](Offset base) {
      return input.synced_rolls ? base <= input.recovery_point : base < input.recovery_point;
    };
    while (first > 0 && !known(segments_[first].base)) --first;
    if (epochs_lost) first = 0;
    bool found = false;
    while (true) {
      TM_ASSIGN(found, load_producers(segments_[first].base));
      if (found || first == 0) break;
      --first;
    }
    if (!found && segments_[first].base > Offset(0)) {
      log_warning(path(segment_stem(segments_[first].base)) +
                  ".snapshot: missing or damaged; retries of older batches are not recognised");
    }
    TM_TRY(scan_from(first, input));
    TM_TRY(check_sealed(std::min(first, segments_.size() - 1)));
  } else {
    TM_TRY(check_sealed(segments_.size() - 1));
  }
  // What repair cut at the end is not handed out again.
  if (repaired_.cover(log_end_, input.recovery_point)) log_end_ = std::max(log_end_, input.recovery_point);
  if (log_end_ < input.recovery_point) {
    return corrupt_segment(active().path(kLogSuffix), active().size,
                           "the log ends at offset " + std::to_string(log_end_.value()) +
                               ", but offsets up to " + std::to_string(input.recovery_point.value()) +
                               " were durable");
  }
  epochs_.truncate_from_end(log_end_);
  epochs_.truncate_from_start(log_start_);
  TM_TRY(remove_stale_snapshots());
  if (input.first_lost && segments_.front().base != *input.first_lost) {
    TM_TRY(remove_segment_files(*input.first_lost));
  }
  if (!clean) TM_TRY(shared_.files.sync_directory(directory_));
  durable_end_ = log_end_;
  high_watermark_ = log_end_;
  last_append_ms_ = active().max_timestamp_ms;
  active_since_us_ = shared_.clock.wall_us();
  return {};
}

// Finds the segments; removes what an interrupted roll or deletion left.
Status PartitionLog::list_segments(RecoveryInput& input) {
  FileSystem& files = shared_.files;
  TM_ASSIGN(auto names, files.list(directory_));
  for (const std::string& name : names) {
    if (name.ends_with(kDeletedSuffix) || name.ends_with(kTemporarySuffix)) TM_TRY(files.remove(path(name)));
    std::optional<Offset> base = parse_segment_name(name, kLogSuffix);
    if (!base) continue;
    Segment segment;
    segment.base = *base;
    segment.stem = path(segment_stem(*base));
    TM_ASSIGN(auto file, files.open(path(name), OpenMode::kReadWrite));
    TM_ASSIGN(segment.size, file->size());
    if (segment.size > kMaxSegmentBytes)
      return corrupt_segment(path(name), kMaxSegmentBytes, "longer than a segment can be");
    segments_.push_back(std::move(segment));
  }
  std::sort(segments_.begin(), segments_.end(),
            [](const Segment& a, const Segment& b) { return a.base < b.base; });
  while (segments_.size() > 1 && segments_[1].base <= input.log_start) {
    TM_TRY(remove_segment_files(segments_.front().base));
    segments_.erase(segments_.begin());
  }
  // An empty segment beside others comes from a roll that a crash or a full disk cut short. What
  // it followed was already whole.
  for (size_t i = segments_.size(); i-- > 0 && segments_.size() > 1;) {
    if (!segments_[i].empty()) continue;
    if (input.synced_rolls && i > 0) input.recovery_point = std::max(input.recovery_point, segments_[i].base);
    if (i == 0) {
      input.first_lost = segments_[i].base;  // its file tells that until what followed it is cut
    } else {
      TM_TRY(remove_segment_files(segments_[i].base));
    }
    segments_.erase(segments_.begin() + static_cast<ptrdiff_t>(i));
  }
  if (segments_.empty()) {
    TM_ASSIGN(Segment segment, create_segment(input.log_start, &indexes_));
    segments_.push_back(std::move(segment));
  }
  log_start_ = std::max(input.log_start, segments_.front().base);
  return {};
}

Status PartitionLog::remove_segment_files(Offset base) {
  for (std::string_view suffix : {kLogSuffix, kIndexSuffix, kTimeIndexSuffix, kTxnIndexSuffix}) {
    Status removed = shared_.files.remove(path(segment_stem(base)) + std::string(suffix));
    if (!removed.ok() && removed.error().code != Code::kNotFound) return removed;
  }
  return {};
}

// The state that a clean shutdown left. False where anything differs from what it noted.
Result<bool> PartitionLog::open_clean(const CleanShutdown::End& end) {
  Segment& segment = active();
  if (segment.base != end.active_base || segment.size != end.active_size || end.log_end < segment.base)
    return false;
  TM_ASSIGN(bool loaded, load_producers(end.log_end));
  if (!loaded) return false;
  auto offsets = read_index<OffsetEntry>(shared_.files, segment.path(kIndexSuffix));
  auto times = read_index<TimeEntry>(shared_.files, segment.path(kTimeIndexSuffix));
  auto aborted = read_index<AbortedTransaction>(shared_.files, segment.path(kTxnIndexSuffix));
  if (!offsets.ok() || !times.ok() || !aborted.ok()) return false;
  if (!times->empty()) {
    segment.max_timestamp_ms = times->back().timestamp_ms;
    segment.max_timestamp_offset = segment.base.next(times->back().relative_offset);
  } else if (!segment.empty()) {
    return false;
  }
  TM_ASSIGN(auto file, shared_.files.open(segment.path(kLogSuffix), OpenMode::kReadWrite));
  segment.file = std::move(file);
  segment.file->keep_room(kRoomAhead);
  std::vector<AbortedTransaction> transactions = *aborted;
  std::optional<TimeEntry> newest;
  if (!times->empty()) newest = times->back();
  indexes_ = std::make_shared<SegmentIndexes>();
  TM_TRY(indexes_->open(shared_.files, segment, std::move(*offsets), std::move(*times), std::move(*aborted)));
  log_end_ = end.log_end;
  const size_t number = segments_.size() - 1;
  if (newest) {
    TM_ASSIGN(bool holds, time_entry_holds(number, *newest));
    if (!holds) return false;
  }
  for (const AbortedTransaction& transaction : transactions) {
    TM_ASSIGN(bool holds, aborted_entry_holds(number, transaction));
    if (!holds) return false;
  }
  for (const AbortedTransaction& transaction : transactions) {
    aborted_[transaction.producer_id].emplace_back(transaction.first, transaction.last);
  }
  return true;
}

// Kafka's snapshots hold what was known of producers when the offset was the log's end. nullopt: missing or
// damaged.
Result<std::optional<ProducerStates>> PartitionLog::read_producers(Offset at) const {
  std::optional<ProducerStates> none;
  std::string name = path(segment_stem(at)) + std::string(kSnapshotSuffix);
  auto content = read_file(shared_.files, name);
  if (!content.ok()) {
    if (content.error().code == Code::kNotFound) return none;
    return std::move(content).error();
  }
  auto decoded = ProducerStates::decode(name, *content);
  if (!decoded.ok()) return none;
  return std::optional(std::move(decoded).value());
}

Result<bool> PartitionLog::load_producers(Offset at) {
  TM_ASSIGN(auto found, read_producers(at));
  if (found) producers_ = std::move(*found);
  return found.has_value();
}

// Reads every batch from segment `number` on, and rebuilds everything that follows from them.
Status PartitionLog::scan_from(size_t number, const RecoveryInput& input) {
  std::optional<Scanned> last;
  log_end_ = segments_[number].base;
  if (number == 0 && input.first_lost) log_end_ = std::min(log_end_, *input.first_lost);
  for (; number < segments_.size(); ++number) {
    TM_ASSIGN(bool lost, lost_before(number, input));
    if (lost) {
      TM_TRY(remove_from(number));
      break;
    }
    if (last) TM_TRY(last->indexes.write(shared_.files, segments_[number - 1]));
    TM_ASSIGN(last, scan_segment(number, input));
  }
  if (!last) {
    // What was loaded of producers knows of batches that are lost: their retries are new.
    producers_ = ProducerStates();
    TM_ASSIGN(bool found, load_producers(log_end_));
    static_cast<void>(found);
    if (input.first_lost) TM_TRY(remove_segment_files(*input.first_lost));
    TM_ASSIGN(Segment segment, create_segment(log_end_, &indexes_));
    segments_.push_back(std::move(segment));
  } else {
    indexes_ = std::make_shared<SegmentIndexes>();
    std::vector<OffsetEntry> trusted;
    if (canary(Canary::kIndexTrusted)) {
      auto found = read_index<OffsetEntry>(shared_.files, active().path(kIndexSuffix));
      if (found.ok()) trusted = std::move(found).value();
    }
    TM_TRY(last->indexes.into(shared_.files, active(), indexes_.get()));
    if (!trusted.empty()) TM_TRY(indexes_->open(shared_.files, active(), std::move(trusted)));
    active().file = std::move(last->file);
    active().file->keep_room(kRoomAhead);
  }
  log_start_ = std::max(input.log_start, segments_.front().base);
  log_end_ = std::max(log_end_, log_start_);
  return {};
}

// Whether a crash lost what stood before this segment. Only repair leaves gaps, and notes them; under
// synced rolls nothing before the last segment can be lost.
Result<bool> PartitionLog::lost_before(size_t number, const RecoveryInput& input) const {
  const Segment& segment = segments_[number];
  if (segment.base == log_end_ || repaired_.cover(log_end_, segment.base)) return false;
  bool weak = !input.synced_rolls && segment.base > input.recovery_point;
  if (weak && segment.base > log_end_ && log_end_ >= input.recovery_point) return true;
  if (number == 0 && !weak) return false;  // what stood before was deleted
  TM_TRY(check_seam(segments_[number == 0 ? 0 : number - 1], log_end_, segment.base));
  return false;
}

Status PartitionLog::check_seam(const Segment& segment, Offset end, Offset next_base) const {
  if (end == next_base || repaired_.cover(end, next_base)) return {};
  if (end > next_base) {
    return corrupt_segment(segment.path(kLogSuffix), segment.size,
                           "ends at offset " + std::to_string(end.value()) +
                               ", but the next segment begins at " + std::to_string(next_base.value()));
  }
  return corrupt_segment(segment.path(kLogSuffix), segment.size,
                         "ends at offset " + std::to_string(end.value()) +
                             ", and the next segment begins at " + std::to_string(next_base.value()) +
                             ": what stood between was durable, and is lost");
}

// Where the log is cut here, this becomes the last segment.
Result<PartitionLog::Scanned> PartitionLog::scan_segment(size_t number, const RecoveryInput& input) {
  Segment& segment = segments_[number];
  segment.max_timestamp_ms = -1;
  TM_ASSIGN(auto opened, shared_.files.open(segment.path(kLogSuffix), OpenMode::kReadWrite));
  Scanned scanned;
  scanned.file = std::move(opened);
  log_end_ = std::max(segment.base, log_end_);
  Gaps gaps{repaired_, log_start_};
  SegmentReader reader(*scanned.file, segment.size, segment.base, log_end_, &gaps);
  while (true) {
    TM_ASSIGN(auto step, reader.next());
    if (step == SegmentReader::Step::kEnd) break;
    if (step == SegmentReader::Step::kDamaged) {
      TM_ASSIGN(Damage damage, examine_damage(*scanned.file, segment.size, segment.base, reader));
      TM_TRY(judge(damage, number, input));
      if (canary(Canary::kTornTailAccepted)) break;
      TM_TRY(remove_from(number + 1));
      TM_TRY(scanned.file->truncate(damage.position));
      segment.size = damage.position;
      break;
    }
    TM_TRY(note_batch(reader.header(), reader.bytes(), segment, scanned.indexes));
    log_end_ = reader.expected();
  }
  if (input.failed_sync) TM_TRY(write_again(*scanned.file, segment.size));
  // Also where nothing was cut: the process may have died before the system wrote this out, and
  // durable is only what is synced.
  TM_TRY(scanned.file->sync());
  return scanned;
}

// From the end backwards, so that a crash in between leaves no hole.
Status PartitionLog::remove_from(size_t number) {
  while (segments_.size() > number) {
    log_warning(segments_.back().path(kLogSuffix) + ": removed: it follows writes that a crash lost");
    TM_TRY(remove_segment_files(segments_.back().base));
    TM_TRY(shared_.files.sync_directory(directory_));
    segments_.pop_back();
  }
  return {};
}

Status PartitionLog::note_batch(const BatchHeader& header, std::string_view batch, Segment& segment,
                                IndexRebuild& indexes) {
  indexes.add(segment, header, shared_.options.index_interval_bytes);
  LeaderEpoch epoch(header.leader_epoch);
  if (header.leader_epoch >= 0 && epoch < shared_.leader_epoch) {
    epochs_.assign(epoch, Offset(header.base_offset));
  }
  if (!header.control()) {
    producers_.appended(header);
    return {};
  }
  auto commits = transaction_marker_commits(header, batch);
  if (!commits.ok()) return std::move(commits).error().within(segment.path(kLogSuffix));
  auto aborted = producers_.completed(header.producer_id, header.producer_epoch, *commits,
                                      Offset(header.base_offset), header.max_timestamp_ms);
  if (aborted) {
    aborted->last_stable = producers_.first_open().value_or(Offset(header.last_offset() + 1));
    aborted_[header.producer_id].emplace_back(aborted->first, aborted->last);
    indexes.add_aborted(*aborted);
  }
  return {};
}

// Whether the damage is what a crash leaves of writes that nobody relied on. Else: kCorrupt.
Status PartitionLog::judge(const Damage& damage, size_t number, const RecoveryInput& input) const {
  const Segment& segment = segments_[number];
  bool last = number + 1 == segments_.size();
  auto corrupt = [&](const std::string& why) {
    return corrupt_segment(segment.path(kLogSuffix), damage.position, damage.what + " (" + why + ")");
  };
  if (damage.expected < input.recovery_point) {
    return corrupt("durable up to offset " + std::to_string(input.recovery_point.value()));
  }
  if (!last && input.synced_rolls) return corrupt("the segment is not the last one");
  // What a crash tears lacks a part: a sector that was never written, or the file's end.
  if (!damage.torn) {
    if (damage.misplaced) return corrupt("the batch itself is whole");
    return corrupt(damage.resume || !last ? "whole batches follow" : "no part of it was left unwritten");
  }
  log_info(segment.path(kLogSuffix) + ": byte " + std::to_string(damage.position) + ": cutting " +
           std::to_string(segment.size - damage.position) +
           " bytes that a crash left unwritten: " + damage.what);
  return {};
}

// Segments below `end` were sealed and synced: their indexes are trusted where they are whole, and lead
// to the segment's end, where the next one must begin: else a disk lost what it had called durable.
Status PartitionLog::check_sealed(size_t end) {
  for (size_t i = 0; i < end; ++i) {
    Segment& segment = segments_[i];
    if (segment.max_timestamp_ms >= 0) continue;  // scanned
    TM_ASSIGN(bool whole, sealed_indexes_whole(i, segments_[i + 1].base));
    if (whole) continue;
    log_info(segment.path(kIndexSuffix) + ": missing or stale: rebuilding the segment's indexes");
    TM_ASSIGN(auto file, shared_.files.open(segment.path(kLogSuffix), OpenMode::kRead));
    IndexRebuild indexes;
    Gaps gaps{repaired_, log_start_};
    SegmentReader reader(*file, segment.size, segment.base, segment.base, &gaps);
    ProducerStates now = std::move(producers_);
    TM_TRY(load_producers(segment.base));
    Status read;
    while (read.ok()) {
      auto step = reader.next();
      if (!step.ok()) {
        read = std::move(step).error();
      } else if (*step == SegmentReader::Step::kEnd) {
        read = check_seam(segment, reader.expected(), segments_[i + 1].base);
        break;
      } else if (*step == SegmentReader::Step::kDamaged) {
        read = corrupt_segment(segment.path(kLogSuffix), reader.position(), reader.what());
      } else {
        read = note_batch(reader.header(), reader.bytes(), segment, indexes);
      }
    }
    producers_ = std::move(now);
    TM_TRY(std::move(read));
    TM_TRY(indexes.write(shared_.files, segment));
  }
  return {};
}

// No checksum covers an index: what is taken from it is compared with the batches that it names.
Result<bool> PartitionLog::sealed_indexes_whole(size_t number, Offset end) {
  Segment& segment = segments_[number];
  auto offset = last_entry<OffsetEntry>(shared_.files, segment.path(kIndexSuffix));
  auto time = last_entry<TimeEntry>(shared_.files, segment.path(kTimeIndexSuffix));
  auto aborted = read_index<AbortedTransaction>(shared_.files, segment.path(kTxnIndexSuffix));
  if (!offset.ok() || !time.ok() || !aborted.ok() || !time->has_value()) return false;
  TM_ASSIGN(bool holds, ends_at(segment, *offset, end));
  if (!holds) return false;
  TM_ASSIGN(holds, time_entry_holds(number, **time));
  if (!holds) return false;
  for (const AbortedTransaction& entry : *aborted) {
    TM_ASSIGN(holds, aborted_entry_holds(number, entry));
    if (!holds) return false;
  }
  segment.max_timestamp_ms = (*time)->timestamp_ms;
  segment.max_timestamp_offset = segment.base.next((*time)->relative_offset);
  for (const AbortedTransaction& transaction : *aborted) {
    aborted_[transaction.producer_id].emplace_back(transaction.first, transaction.last);
  }
  return true;
}

Result<bool> PartitionLog::time_entry_holds(size_t number, const TimeEntry& entry) {
  Offset last = segments_[number].base.next(entry.relative_offset);
  TM_ASSIGN(auto found, find_batch_locked(number, At::kLast, last));
  return found && found->header.max_timestamp_ms == entry.timestamp_ms;
}

Result<bool> PartitionLog::aborted_entry_holds(size_t number, const AbortedTransaction& entry) {
  TM_ASSIGN(auto marker, find_batch_locked(number, At::kFirst, entry.last));
  if (!marker || !marker->header.control() || marker->header.producer_id != entry.producer_id) return false;
  std::string bytes(marker->header.size_bytes(), '\0');
  TM_ASSIGN(size_t read, marker->file->read_at(marker->position, bytes.data(), bytes.size()));
  if (read < bytes.size() || !check_batch(marker->header, bytes).ok()) return false;
  auto commits = transaction_marker_commits(marker->header, bytes);
  if (!commits.ok() || *commits || entry.first > entry.last) return false;
  if (entry.first < segments_[number].base) {
    // Begun in an earlier segment. Without its snapshot it could not be made anew: then its marker must do.
    TM_ASSIGN(auto producers, read_producers(segments_[number].base));
    auto open = producers ? producers->open_transaction(entry.producer_id) : std::nullopt;
    return !producers || (open && open->first == entry.first);
  }
  TM_ASSIGN(auto first, find_batch_locked(number, At::kFirst, entry.first));
  return first && first->header.transactional() && !first->header.control() &&
         first->header.producer_id == entry.producer_id;
}

// Whether whole batches lead from the index entry (or the segment's start) to the file's end, and there to
// where the next segment begins.
Result<bool> PartitionLog::ends_at(const Segment& segment, const std::optional<OffsetEntry>& from,
                                   Offset next_base) const {
  TM_ASSIGN(auto file, shared_.files.open(segment.path(kLogSuffix), OpenMode::kRead));
  uint64_t position = 0;
  Offset expected = segment.base;
  if (from) {
    if (from->position < 0) return false;
    position = static_cast<uint64_t>(from->position);
    TM_ASSIGN(auto header, header_at(*file, segment.size, position));
    if (!header || header->last_offset() != segment.base.next(from->relative_offset).value()) return false;
    expected = Offset(header->base_offset);
  }
  Gaps gaps{repaired_, log_start_};
  SegmentReader reader(*file, segment.size, segment.base, expected, &gaps, position);
  while (true) {
    TM_ASSIGN(auto step, reader.next());
    if (step == SegmentReader::Step::kBatch) continue;
    return step == SegmentReader::Step::kEnd && check_seam(segment, reader.expected(), next_base).ok();
  }
}

Status PartitionLog::remove_stale_snapshots() {
  TM_ASSIGN(auto names, shared_.files.list(directory_));
  for (const std::string& name : names) {
    std::optional<Offset> at = parse_segment_name(name, kSnapshotSuffix);
    if (!at) continue;
    bool wanted = std::any_of(segments_.begin(), segments_.end(),
                              [&](const Segment& segment) { return segment.base == *at; });
    if (!wanted) TM_TRY(shared_.files.remove(path(name)));
  }
  return {};
}

}  // namespace tidemill::log
