#include "verify/segment_reader.h"

#include <algorithm>
#include <charconv>

#include "base/bytes.h"

namespace tidemill::verify {
namespace {

constexpr uint64_t kMarkBytes = 256 << 10;
constexpr size_t kStemDigits = 20;

Error at_place(Error error, const std::string& path, uint64_t position) {
  return std::move(error).within(path + " at byte " + std::to_string(position));
}

// "00000000000000000042.log" → 42; -1 for every other name.
int64_t segment_base(const std::string& name) {
  if (name.size() != kStemDigits + 4 || !name.ends_with(".log")) return -1;
  int64_t base = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + kStemDigits, base);
  return error == std::errc{} && end == name.data() + kStemDigits ? base : -1;
}

}  // namespace

// What is only known while the files are gone through.
struct PartitionFiles::Scan {
  int64_t visible_end = -1;
  int64_t next_offset = -1;         // after the last batch; -1: none yet
  std::map<int64_t, int64_t> open;  // first offset of each open transaction, by producer id
  std::string bytes;
  bool done = false;
  bool beyond() const { return visible_end >= 0 && next_offset >= visible_end; }
};

Status PartitionFiles::end_transaction(const BatchInfo& batch, std::string_view bytes, Scan* scan) {
  TM_ASSIGN(bool commits, control_commits(bytes));
  auto open = scan->open.find(batch.producer_id);
  if (open == scan->open.end()) return ok_status();
  if (!commits) aborted_[batch.producer_id].push_back({open->second, batch.last_offset});
  scan->open.erase(open);
  return ok_status();
}

Status PartitionFiles::scan_segment(size_t number, Scan* scan) {
  Segment& segment = segments_[number];
  bool last = number + 1 == segments_.size();
  TM_ASSIGN(uint64_t size, segment.file->size());
  uint64_t marked = 0;
  char header[kBatchHeaderSize];
  uint64_t position = 0;
  while (position < size) {
    TM_ASSIGN(size_t got, segment.file->read_at(position, header, sizeof header));
    if (got < sizeof header) break;
    auto parsed = read_batch_header(std::string_view(header, got));
    if (!parsed.ok()) {
      // Readers of a log that is being written see whole batches up to visible_end only; without
      // that bound, what cannot be read at the very end is a torn tail.
      if (last && (scan->visible_end < 0 || scan->beyond())) break;
      return at_place(std::move(parsed).error(), segment.path, position);
    }
    const BatchInfo& batch = *parsed;
    if (position + batch.size_bytes > size) break;
    if (scan->next_offset >= 0 && batch.base_offset < scan->next_offset) {
      return at_place(internal_error("offset " + std::to_string(batch.base_offset) + " after offset " +
                                         std::to_string(scan->next_offset - 1),
                                     Code::kCorrupt),
                      segment.path, position);
    }
    if (scan->visible_end >= 0 && batch.base_offset >= scan->visible_end) {
      // What lies beyond is read only to learn how transactions ended that began before.
      if (scan->open.empty()) {
        scan->done = true;
        break;
      }
      if (!batch.control()) {
        scan->next_offset = batch.last_offset + 1;
        position += batch.size_bytes;
        continue;
      }
    }
    bool beyond = scan->beyond();
    if (scan->next_offset < 0)
      begin_ = batch.base_offset;
    else if (batch.base_offset > scan->next_offset && !beyond)
      gaps_.emplace_back(scan->next_offset, batch.base_offset);
    if (!beyond && (position == 0 || position - marked >= kMarkBytes)) {
      marks_.push_back({batch.base_offset, number, position});
      marked = position;
    }
    if (batch.control()) {
      scan->bytes.resize(batch.size_bytes);
      TM_ASSIGN(size_t all, segment.file->read_at(position, scan->bytes.data(), batch.size_bytes));
      if (all < batch.size_bytes) break;
      Status ended = end_transaction(batch, scan->bytes, scan);
      if (!ended.ok()) return at_place(std::move(ended).error(), segment.path, position);
    } else if (batch.transactional()) {
      scan->open.emplace(batch.producer_id, batch.base_offset);
    }
    scan->next_offset = batch.last_offset + 1;
    position += batch.size_bytes;
  }
  segment.size_bytes = position;
  if (!last && !scan->done && position < size) {
    return at_place(internal_error("a batch is cut off inside the log", Code::kCorrupt), segment.path,
                    position);
  }
  return ok_status();
}

Result<std::unique_ptr<PartitionFiles>> PartitionFiles::open(FileSystem& files, const std::string& directory,
                                                             int64_t visible_end) {
  auto out = std::unique_ptr<PartitionFiles>(new PartitionFiles);
  out->directory_ = directory;
  TM_ASSIGN(std::vector<std::string> names, files.list(directory));
  for (const std::string& name : names) {
    int64_t base = segment_base(name);
    if (base >= 0) out->segments_.push_back({base, join_path(directory, name), 0, nullptr});
  }
  std::sort(out->segments_.begin(), out->segments_.end(),
            [](const Segment& a, const Segment& b) { return a.base_offset < b.base_offset; });
  Scan scan;
  scan.visible_end = visible_end;
  for (size_t n = 0; n < out->segments_.size() && !scan.done; ++n) {
    Segment& segment = out->segments_[n];
    TM_ASSIGN(segment.file, files.open(segment.path, OpenMode::kRead));
    TM_TRY(out->scan_segment(n, &scan));
  }
  int64_t stable = scan.next_offset;
  if (stable < 0) stable = out->segments_.empty() ? 0 : out->segments_.front().base_offset;
  if (scan.next_offset < 0) out->begin_ = stable;
  if (visible_end > stable && !scan.done) {
    return external_error(directory + ": the log ends at offset " + std::to_string(stable) +
                              " where readers saw " + std::to_string(visible_end),
                          Code::kOutOfRange);
  }
  for (const auto& [producer, first] : scan.open) {
    if (first < visible_end) {
      return external_error(directory + ": the transaction of producer " + std::to_string(producer) +
                            " at offset " + std::to_string(first) + " has no end, but readers saw beyond it");
    }
    stable = std::min(stable, first);
  }
  out->end_ = visible_end >= 0 ? visible_end : stable;
  return out;
}

bool PartitionFiles::aborted(const BatchInfo& batch) const {
  if (!batch.transactional()) return false;
  auto found = aborted_.find(batch.producer_id);
  if (found == aborted_.end()) return false;
  auto after = std::upper_bound(found->second.begin(), found->second.end(), batch.base_offset,
                                [](int64_t offset, const Aborted& each) { return offset < each.first; });
  return after != found->second.begin() && batch.base_offset <= std::prev(after)->last;
}

Status RecordReader::seek(int64_t offset) {
  auto after =
      std::upper_bound(files_.marks_.begin(), files_.marks_.end(), offset,
                       [](int64_t wanted, const PartitionFiles::Mark& mark) { return wanted < mark.offset; });
  if (after != files_.marks_.begin()) --after;
  segment_ = after == files_.marks_.end() ? files_.segments_.size() : after->segment;
  position_ = after == files_.marks_.end() ? 0 : after->position;
  from_ = offset;
  loaded_end_ = after == files_.marks_.end() ? files_.end_ : after->offset;
  records_.clear();
  next_ = 0;
  return ok_status();
}

Result<bool> RecordReader::load() {
  char header[kBatchHeaderSize];
  for (;;) {
    while (segment_ < files_.segments_.size() && position_ >= files_.segments_[segment_].size_bytes) {
      ++segment_;
      position_ = 0;
    }
    if (segment_ >= files_.segments_.size()) return false;
    const PartitionFiles::Segment& segment = files_.segments_[segment_];
    TM_ASSIGN(size_t got, segment.file->read_at(position_, header, sizeof header));
    auto parsed = read_batch_header(std::string_view(header, got));
    if (!parsed.ok()) return at_place(std::move(parsed).error(), segment.path, position_);
    const BatchInfo& batch = *parsed;
    if (batch.base_offset >= files_.end_) return false;
    uint64_t position = position_;
    position_ += batch.size_bytes;
    loaded_end_ = batch.last_offset + 1;
    if (batch.last_offset < from_ || batch.control() || files_.aborted(batch)) continue;
    batch_.resize(batch.size_bytes);
    TM_ASSIGN(size_t all, segment.file->read_at(position, batch_.data(), batch_.size()));
    batch_.resize(all);
    Status read = read_batch(batch_, &scratch_, &records_);
    if (!read.ok()) return at_place(std::move(read).error(), segment.path, position);
    next_ = 0;
    if (!records_.empty()) return true;
  }
}

Result<const LogRecord*> RecordReader::next() {
  for (;;) {
    while (next_ < records_.size()) {
      const LogRecord& record = records_[next_++];
      if (record.offset < from_) continue;
      if (record.offset >= files_.end_) return static_cast<const LogRecord*>(nullptr);
      return &record;
    }
    TM_ASSIGN(bool more, load());
    if (!more) return static_cast<const LogRecord*>(nullptr);
  }
}

Result<const LogRecord*> RecordReader::at(int64_t offset) {
  if (offset < files_.begin_ || offset >= files_.end_) return static_cast<const LogRecord*>(nullptr);
  bool behind = !records_.empty() ? offset < records_.front().offset : offset < loaded_end_;
  // Far ahead, a mark saves reading what lies between.
  constexpr int64_t kFar = 100'000;
  if (behind || offset > loaded_end_ + kFar || segment_ >= files_.segments_.size()) TM_TRY(seek(offset));
  while (offset >= loaded_end_) {
    from_ = std::max(from_, offset);
    TM_ASSIGN(bool more, load());
    if (!more) return static_cast<const LogRecord*>(nullptr);
  }
  auto found =
      std::lower_bound(records_.begin(), records_.end(), offset,
                       [](const LogRecord& record, int64_t wanted) { return record.offset < wanted; });
  if (found == records_.end() || found->offset != offset) return static_cast<const LogRecord*>(nullptr);
  return &*found;
}

}  // namespace tidemill::verify
