#include "log/segment.h"

namespace tidemill::log {
namespace {

// An index is written behind its segment in steps of this many entries.
constexpr size_t kFlushEntries = 512;

int32_t relative(const Segment& segment, int64_t offset) {
  int64_t value = offset - segment.base.value();
  TM_CHECK(value >= 0 && value <= INT32_MAX, "offset does not fit its segment");
  return static_cast<int32_t>(value);
}

void note_timestamp(Segment& segment, const BatchHeader& header) {
  if (header.max_timestamp_ms <= segment.max_timestamp_ms) return;
  segment.max_timestamp_ms = header.max_timestamp_ms;
  segment.max_timestamp_offset = Offset(header.last_offset());
}

// Kafka's rule: an entry when more than the interval was written since the last one.
template <class AddOffset, class AddTime>
void index_batch(Segment& segment, const BatchHeader& header, uint64_t position, uint32_t interval_bytes,
                 uint64_t& bytes_since_entry, AddOffset add_offset, AddTime add_time) {
  note_timestamp(segment, header);
  if (bytes_since_entry > interval_bytes) {
    add_offset(OffsetEntry{relative(segment, header.last_offset()), static_cast<int32_t>(position)});
    add_time();
    bytes_since_entry = 0;
  }
  bytes_since_entry += header.size_bytes();
}

// Times rise strictly, and so do their offsets.
bool next_time(const Segment& segment, const std::vector<TimeEntry>& times, TimeEntry* entry) {
  if (segment.max_timestamp_ms < 0) return false;
  if (!times.empty() && times.back().timestamp_ms >= segment.max_timestamp_ms) return false;
  *entry = {segment.max_timestamp_ms, relative(segment, segment.max_timestamp_offset.value())};
  return true;
}

}  // namespace

Status SegmentIndexes::open(FileSystem& files, const Segment& segment, std::vector<OffsetEntry> offsets,
                            std::vector<TimeEntry> times, std::vector<AbortedTransaction> aborted) {
  TM_TRY(offsets_.open(files, segment.path(kIndexSuffix), std::move(offsets)));
  TM_TRY(times_.open(files, segment.path(kTimeIndexSuffix), std::move(times)));
  TM_TRY(aborted_.open(files, segment.path(kTxnIndexSuffix), std::move(aborted)));
  bytes_since_entry_ = 0;
  return {};
}

void SegmentIndexes::add_time(const Segment& segment) {
  TimeEntry entry;
  if (next_time(segment, times_.entries(), &entry)) times_.add(entry);
}

void SegmentIndexes::add(Segment& segment, const BatchHeader& header, uint64_t position,
                         uint32_t interval_bytes) {
  index_batch(
      segment, header, position, interval_bytes, bytes_since_entry_,
      [&](const OffsetEntry& entry) { offsets_.add(entry); }, [&] { add_time(segment); });
  if (offsets_.pending() >= kFlushEntries) {
    // A full disk may refuse this; the entries stay in memory and are written with the next ones.
    Status flushed = flush();
    static_cast<void>(flushed.ok());
  }
}

Status SegmentIndexes::add_aborted(const AbortedTransaction& transaction) {
  aborted_.add(transaction);
  return aborted_.flush();
}

Status SegmentIndexes::seal(const Segment& segment) {
  add_time(segment);
  return flush();
}

// A time index without entries says that the three are not whole: so it is emptied first and written last.
Status SegmentIndexes::replace(const Segment& segment) {
  TM_TRY(times_.sync());
  TM_TRY(offsets_.flush());
  TM_TRY(offsets_.sync());
  TM_TRY(aborted_.flush());
  TM_TRY(aborted_.sync());
  TM_TRY(seal(segment));
  return times_.sync();
}

Status SegmentIndexes::flush() {
  TM_TRY(offsets_.flush());
  TM_TRY(times_.flush());
  return aborted_.flush();
}

Status SegmentIndexes::sync() {
  TM_TRY(offsets_.sync());
  TM_TRY(times_.sync());
  return aborted_.sync();
}

void IndexRebuild::add(Segment& segment, const BatchHeader& header, uint32_t interval_bytes) {
  index_batch(
      segment, header, position_, interval_bytes, bytes_since_entry_,
      [&](const OffsetEntry& entry) { offsets_.push_back(entry); },
      [&] {
        TimeEntry entry;
        if (next_time(segment, times_, &entry)) times_.push_back(entry);
      });
  position_ += header.size_bytes();
}

Status IndexRebuild::into(FileSystem& files, const Segment& segment, SegmentIndexes* indexes) {
  return indexes->open(files, segment, std::move(offsets_), std::move(times_), std::move(aborted_));
}

Status IndexRebuild::write(FileSystem& files, const Segment& segment) {
  SegmentIndexes indexes;
  TM_TRY(into(files, segment, &indexes));
  return indexes.replace(segment);
}

}  // namespace tidemill::log
