// Reading a partition: whole batches, checksums verified, only what is visible.
#include <algorithm>

#include "base/logging.h"
#include "log/partition.h"

namespace tidemill::log {
namespace {

// Sealed segments that a partition keeps open for its readers.
constexpr size_t kOpenSealedSegments = 4;

// Moves the batches that stay to the front.
template <class Spans>
void drop_skipped(const Spans& spans, std::string& bytes) {
  size_t kept = 0;
  for (const auto& span : spans) {
    if (span.skip) continue;
    if (kept != span.start) std::copy_n(bytes.data() + span.start, span.size, bytes.data() + kept);
    kept += span.size;
  }
  bytes.resize(kept);
}

}  // namespace

Result<PartitionLog::Cursor> PartitionLog::cursor_locked(size_t number, uint64_t position, Offset next) {
  Segment& segment = segments_[number];
  if (!segment.file) {
    TM_ASSIGN(auto file, shared_.files.open(segment.path(kLogSuffix), OpenMode::kRead));
    segment.file = std::move(file);
    size_t open = 0;
    for (size_t i = segments_.size() - 1; i-- > 0;) {  // readers keep what they hold
      if (segments_[i].file && i != number && ++open >= kOpenSealedSegments) segments_[i].file.reset();
    }
  }
  Offset end = number + 1 < segments_.size() ? segments_[number + 1].base : log_end_;
  return Cursor{segment.file, segment.base, position, segment.size, std::max(next, segment.base),
                end,          log_start_};
}

size_t PartitionLog::segment_of_locked(Offset offset) const {
  auto above = std::upper_bound(segments_.begin(), segments_.end(), offset,
                                [](Offset value, const Segment& segment) { return value < segment.base; });
  return above == segments_.begin() ? size_t{0} : static_cast<size_t>(above - segments_.begin()) - 1;
}

// No checksum covers an index: an entry counts where a batch stands that ends as it says. Else the segment
// is read from its start.
Status PartitionLog::seek_locked(Offset offset, Cursor* cursor) {
  const Segment& segment = segments_[segment_of_locked(cursor->base)];
  int64_t key = offset.since(segment.base);
  std::optional<OffsetEntry> entry;
  if (&segment != &active()) {
    TM_ASSIGN(entry, search_index<OffsetEntry>(shared_.files, segment.path(kIndexSuffix), key));
  } else {
    const std::vector<OffsetEntry>& entries = indexes_->offsets();
    auto above =
        std::upper_bound(entries.begin(), entries.end(), key,
                         [](int64_t value, const OffsetEntry& one) { return value < one.relative_offset; });
    if (above != entries.begin()) entry = *std::prev(above);
  }
  if (!entry) return {};
  auto position = static_cast<uint64_t>(static_cast<uint32_t>(entry->position));
  TM_ASSIGN(auto header, header_at(*cursor->file, cursor->limit, position));
  if (header && header->last_offset() == segment.base.next(entry->relative_offset).value()) {
    cursor->position = position;
    cursor->next = Offset(header->base_offset);
    return {};
  }
  log_warning(
      segment.path(kIndexSuffix) + ": no batch ends at offset " +
      std::to_string(segment.base.next(entry->relative_offset).value()) + " at byte " +
      std::to_string(entry->position) +
      " of the segment, which is read from its start; remove the index, and the next opening makes it anew");
  return {};
}

Result<std::optional<PartitionLog::Found>> PartitionLog::find_batch_locked(size_t number, At at,
                                                                           Offset offset) {
  std::optional<Found> none;
  if (offset < segments_[number].base) return none;
  TM_ASSIGN(Cursor cursor, cursor_locked(number, 0, segments_[number].base));
  TM_TRY(seek_locked(offset, &cursor));
  while (true) {
    TM_ASSIGN(auto header, header_at(*cursor.file, cursor.limit, cursor.position));
    if (!header || header->base_offset > offset.value()) return none;
    if (header->last_offset() >= offset.value()) {
      int64_t named = at == At::kFirst ? header->base_offset : header->last_offset();
      if (named != offset.value()) return none;
      return std::optional(Found{*header, cursor.position, cursor.file});
    }
    cursor.position += header->size_bytes();
  }
}

Result<PartitionLog::Cursor> PartitionLog::locate_locked(Offset from) {
  for (const ReadHint& hint : hints_) {
    if (hint.offset != from) continue;
    size_t number = segment_of_locked(hint.base);
    if (segments_[number].base != hint.base) continue;
    return cursor_locked(number, hint.position, from);
  }
  size_t number = segment_of_locked(from);
  TM_ASSIGN(Cursor cursor, cursor_locked(number, 0, segments_[number].base));
  if (from > cursor.base) TM_TRY(seek_locked(from, &cursor));
  return cursor;
}

Result<std::optional<PartitionLog::Cursor>> PartitionLog::next_segment(Offset base) {
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < segments_.size(); ++i) {
    if (segments_[i].base <= base) continue;
    TM_ASSIGN(Cursor cursor, cursor_locked(i, 0, segments_[i].base));
    return std::optional(std::move(cursor));
  }
  return std::optional<Cursor>();
}

void PartitionLog::note_hint_locked(Offset offset, const Cursor& cursor) {
  for (ReadHint& hint : hints_) {
    if (hint.offset == offset) {
      hint = {offset, cursor.base, cursor.position};
      return;
    }
  }
  hints_[next_hint_++ % hints_.size()] = {offset, cursor.base, cursor.position};
}

bool PartitionLog::aborted_locked(int64_t producer_id, Offset offset) const {
  auto found = aborted_.find(producer_id);
  if (found == aborted_.end()) return false;
  return std::any_of(found->second.begin(), found->second.end(),
                     [&](const auto& range) { return range.first <= offset && offset <= range.second; });
}

// Reads from the cursor on until there is at least one batch at or after `from`, and moves the
// cursor behind what was taken. Needs no lock: what the cursor covers does not change.
Status PartitionLog::gather(Cursor& cursor, Offset from, Offset visible, size_t max_bytes, std::string& bytes,
                            Gathered* out) {
  while (out->spans.empty() && !out->stopped) {
    if (cursor.position >= cursor.limit) {
      TM_ASSIGN(auto next, next_segment(cursor.base));
      if (!next) return {};
      cursor = std::move(*next);
      continue;
    }
    size_t want = static_cast<size_t>(std::min<uint64_t>(std::max(max_bytes, record_batch_layout::kRecords),
                                                         cursor.limit - cursor.position));
    size_t done = 0;
    size_t held = 0;
    while (true) {
      if (bytes.size() < want) bytes.resize(want);  // never less: what grows again is zero-filled again
      TM_ASSIGN(size_t read, cursor.file->read_at(cursor.position + held, bytes.data() + held, want - held));
      auto damaged = [&](const std::string& what) {
        return corrupt_segment(cursor.file->path(), cursor.position + done, what);
      };
      if (read < want - held) return damaged("the file ends early");
      held = want;
      size_t needed = 0;
      while (done < want) {
        std::string_view rest(bytes.data() + done, want - done);
        auto header = parse_batch_header(rest);
        if (!header.ok()) return damaged(header.error().message);
        if (!header->has_value()) break;
        const BatchHeader& batch = **header;
        // No checksum covers a batch's offset: that it continues the one before is what can be checked.
        if (batch.base_offset != cursor.next.value() || cursor.next >= cursor.end) {
          Offset first(batch.base_offset);
          bool gap = first > cursor.next && first < cursor.end &&
                     Gaps{repaired_, cursor.log_start}.allow(cursor.next, first);
          if (!gap) {
            return damaged("offset " + std::to_string(first.value()) + " where " +
                           std::to_string(cursor.next.value()) + " should follow");
          }
        }
        if (batch.base_offset >= visible.value()) {
          out->stopped = true;
          break;
        }
        if (batch.length < 0 || batch.size_bytes() > cursor.limit - cursor.position - done) {
          return damaged("a batch longer than the segment");
        }
        if (batch.size_bytes() > rest.size()) {
          needed = done + batch.size_bytes();
          break;
        }
        if (batch.last_offset() >= from.value()) {
          std::string_view whole = rest.substr(0, batch.size_bytes());
          if (Status checked = check_batch(batch, whole); !checked.ok())
            return damaged(checked.error().message);
          out->spans.push_back({done, whole.size(), batch.producer_id, Offset(batch.base_offset),
                                LeaderEpoch(batch.leader_epoch), batch.transactional(), batch.control()});
          out->end = {Offset(batch.last_offset() + 1), LeaderEpoch(batch.leader_epoch)};
        }
        done += batch.size_bytes();
        cursor.next = Offset(batch.last_offset() + 1);
      }
      // The rest of the batch that reaches over what was asked for: else what is here of it would be
      // read again next time.
      if (needed == 0) break;
      want = needed;
    }
    cursor.position += done;
    if (done == 0 && !out->stopped) {
      return corrupt_segment(cursor.file->path(), cursor.position, "the segment ends inside a batch");
    }
  }
  return {};
}

Result<Fetched> PartitionLog::read(Offset from, size_t max_bytes, Isolation isolation) {
  static const auto kNothing = std::make_shared<const std::string>();
  Cursor cursor;
  Offset visible;
  Fetched fetched;
  fetched.batches = kNothing;
  fetched.first = from;
  {
    std::lock_guard lock(mutex_);
    TM_TRY(check_usable());
    if (from < log_start_ || from > log_end_) {
      return user_error(tp_.to_string() + ": offset " + std::to_string(from.value()) + " is outside " +
                            std::to_string(log_start_.value()) + " to " + std::to_string(log_end_.value()),
                        Code::kOutOfRange);
    }
    visible = isolation == Isolation::kReadCommitted ? last_stable() : high_watermark_;
    fetched.leader_epoch = epoch_before(from).value_or(shared_.leader_epoch);
    fetched.end = {from, fetched.leader_epoch};
    if (from >= visible) {
      fetched.at_end = true;
      return fetched;
    }
    TM_ASSIGN(cursor, locate_locked(from));
  }
  auto bytes = shared_.buffers->take();
  Gathered gathered;
  gathered.end = fetched.end;
  TM_TRY(gather(cursor, from, visible, max_bytes, *bytes, &gathered));
  std::vector<Span>& spans = gathered.spans;
  fetched.end = gathered.end;
  fetched.at_end = gathered.stopped || spans.empty() || gathered.end.offset >= visible;

  bool any_skipped = false;
  {
    std::lock_guard lock(mutex_);
    note_hint_locked(gathered.end.offset, cursor);
    // No checksum covers a batch's leader epoch: the partition's own list counts, and recovery may have put
    // a later one there (doubt_from).
    for (const Span& span : spans) {
      LeaderEpoch epoch = epochs_.epoch_of(span.base).value_or(span.leader_epoch);
      if (epoch != span.leader_epoch) {
        set_batch_position(bytes->data() + span.start, span.base.value(), epoch.value());
      }
      fetched.leader_epoch = fetched.end.leader_epoch = epoch;
    }
    bool committed_only = isolation == Isolation::kReadCommitted && !aborted_.empty();
    for (Span& span : spans) {
      if (committed_only && span.transactional)
        span.skip = span.skip || aborted_locked(span.producer_id, span.base);
      any_skipped = any_skipped || span.skip;
    }
  }
  auto first = std::find_if(spans.begin(), spans.end(), [](const Span& span) { return !span.skip; });
  if (first == spans.end()) return fetched;
  fetched.first = first->base;
  if (any_skipped || spans.front().start != 0) {
    drop_skipped(spans, *bytes);
  } else {
    bytes->resize(spans.back().start + spans.back().size);
  }
  fetched.batches = shared_.buffers->share(std::move(bytes));
  return fetched;
}

Result<Offset> PartitionLog::offset_for_time(int64_t timestamp_ms) {
  Cursor cursor;
  Offset end;
  {
    std::lock_guard lock(mutex_);
    TM_TRY(check_usable());
    end = high_watermark_;
    size_t number = 0;
    while (number < segments_.size() && segments_[number].max_timestamp_ms < timestamp_ms) ++number;
    if (number == segments_.size()) return end;
    Segment& segment = segments_[number];
    // Every batch up to the last time entry below the timestamp is too old.
    std::optional<TimeEntry> before;
    if (number + 1 < segments_.size()) {
      TM_ASSIGN(before,
                search_index<TimeEntry>(shared_.files, segment.path(kTimeIndexSuffix), timestamp_ms - 1));
    } else {
      for (const TimeEntry& entry : indexes_->times()) {
        if (entry.timestamp_ms < timestamp_ms) before = entry;
      }
    }
    TM_ASSIGN(cursor, cursor_locked(number, 0, segment.base));
    if (before) {
      TM_ASSIGN(bool holds, time_entry_holds(number, *before));
      if (holds) TM_TRY(seek_locked(segment.base.next(before->relative_offset), &cursor));
    }
  }
  while (true) {
    if (cursor.position >= cursor.limit) {
      TM_ASSIGN(auto next, next_segment(cursor.base));
      if (!next) return end;
      cursor = std::move(*next);
      continue;
    }
    char bytes[record_batch_layout::kRecords];
    TM_ASSIGN(size_t read, cursor.file->read_at(cursor.position, bytes, sizeof bytes));
    auto header = parse_batch_header({bytes, read});
    if (!header.ok() || !header->has_value() || (*header)->length < 0) {
      return corrupt_segment(cursor.file->path(), cursor.position, "no batch header");
    }
    if ((*header)->base_offset >= end.value()) return end;
    if ((*header)->max_timestamp_ms >= timestamp_ms && !(*header)->control()) {
      std::lock_guard lock(mutex_);
      return std::max(log_start_, Offset((*header)->base_offset));
    }
    cursor.position += (*header)->size_bytes();
  }
}

Status PartitionLog::replay(const std::function<Status(const BatchHeader&, std::string_view)>& visit) {
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < segments_.size(); ++i) {
    TM_ASSIGN(Cursor cursor, cursor_locked(i, 0, segments_[i].base));
    Gaps gaps{repaired_, log_start_};
    SegmentReader reader(*cursor.file, cursor.limit, cursor.base, cursor.base, &gaps);
    while (true) {
      TM_ASSIGN(auto step, reader.next());
      if (step == SegmentReader::Step::kEnd) break;
      if (step == SegmentReader::Step::kDamaged) {
        return corrupt_segment(cursor.file->path(), reader.position(), reader.what());
      }
      if (reader.header().last_offset() < log_start_.value()) continue;
      TM_TRY(visit(reader.header(), reader.bytes()));
    }
  }
  return {};
}

}  // namespace tidemill::log
