#include "log/segment_scan.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "log/format.h"

namespace tidemill::log {
namespace {

using namespace record_batch_layout;

constexpr size_t kChunk = 1 << 20;

// Whether the header can be that of a batch in this segment, whatever its checksum says.
bool plausible(const BatchHeader& header, Offset base, Offset expected) {
  if (header.length < static_cast<int32_t>(kRecords - kLogOverhead)) return false;
  if (header.last_offset_delta < 0 || header.base_offset < expected.value()) return false;
  return header.base_offset - base.value() <= INT32_MAX - int64_t{header.last_offset_delta};
}

}  // namespace

SegmentReader::SegmentReader(File& file, uint64_t size, Offset base, Offset expected, const Gaps* gaps,
                             uint64_t position)
    : file_(file), size_(size), base_(base), expected_(expected), gaps_(gaps), position_(position) {}

SegmentReader::Step SegmentReader::damaged(std::string what) {
  what_ = std::move(what);
  return Step::kDamaged;
}

Result<bool> SegmentReader::load(size_t size) {
  if (size > size_ - position_) return false;
  uint64_t buffered_end = buffer_start_ + buffer_.size();
  if (position_ >= buffer_start_ && position_ + size <= buffered_end) return true;
  size_t want = static_cast<size_t>(std::min<uint64_t>(std::max(size, kChunk), size_ - position_));
  buffer_.resize(want);
  buffer_start_ = position_;
  TM_ASSIGN(size_t read, file_.read_at(position_, buffer_.data(), want));
  buffer_.resize(read);
  return read >= size;
}

Result<SegmentReader::Step> SegmentReader::next() {
  batch_ = {};
  if (position_ == size_) return Step::kEnd;
  TM_ASSIGN(bool whole_header, load(kRecords));
  if (!whole_header) {
    cut_short_ = true;
    return damaged("the file ends inside a batch header");
  }
  std::string_view bytes = std::string_view(buffer_).substr(position_ - buffer_start_);
  auto header = parse_batch_header(bytes);
  if (!header.ok()) return damaged("no batch header: " + header.error().message);
  if (!header->has_value()) return damaged("no batch header");
  header_ = **header;
  if (!plausible(header_, base_, base_)) return damaged("no batch header: lengths or offsets out of range");
  TM_ASSIGN(bool whole, load(header_.size_bytes()));
  if (!whole) {
    cut_short_ = true;
    return damaged("a batch of " + std::to_string(header_.size_bytes()) + " bytes, but only " +
                   std::to_string(size_ - position_) + " are left");
  }
  batch_ = std::string_view(buffer_).substr(position_ - buffer_start_, header_.size_bytes());
  if (Status checked = check_batch(header_, batch_); !checked.ok()) {
    batch_ = {};
    return damaged(checked.error().message);
  }
  // No checksum covers a batch's offset: that it continues the one before is what can be checked.
  Offset first(header_.base_offset);
  bool gap = first > expected_ && (gaps_ == nullptr || gaps_->allow(expected_, first));
  if (first != expected_ && !gap) {
    batch_ = {};
    misplaced_ = true;
    return damaged("offset " + std::to_string(first.value()) + " where " + std::to_string(expected_.value()) +
                   " should follow");
  }
  batch_position_ = position_;
  expected_ = Offset(header_.last_offset() + 1);
  position_ += batch_.size();
  return Step::kBatch;
}

namespace {

// Tries whether a whole batch stands at `position`. `budget` bounds the bytes checked in one
// search: bytes made to look like headers must not make it quadratic.
Result<std::optional<Damage::Resume>> whole_batch_at(File& file, uint64_t size, Offset base, Offset expected,
                                                     uint64_t position, std::string_view bytes,
                                                     uint64_t& budget) {
  std::optional<Damage::Resume> none;
  auto header = parse_batch_header(bytes);
  if (!header.ok() || !header->has_value() || !plausible(**header, base, expected)) return none;
  uint64_t batch_size = (*header)->size_bytes();
  if (batch_size > size - position || batch_size > budget) return none;
  budget -= batch_size;
  SegmentReader reader(file, size, base, expected, nullptr, position);
  TM_ASSIGN(auto step, reader.next());
  if (step != SegmentReader::Step::kBatch) return none;
  return std::optional(Damage::Resume{position, Offset(reader.header().base_offset)});
}

Result<std::optional<Damage::Resume>> find_whole_batch(File& file, uint64_t size, Offset base,
                                                       Offset expected, uint64_t damaged_at) {
  uint64_t budget = 4 * size + (64u << 20);
  std::string buffer;
  uint64_t start = damaged_at;
  while (size - start > kRecords) {
    buffer.resize(static_cast<size_t>(std::min<uint64_t>(kChunk, size - start)));
    TM_ASSIGN(size_t read, file.read_at(start, buffer.data(), buffer.size()));
    buffer.resize(read);
    if (buffer.size() < kRecords) break;
    std::string_view view = buffer;
    size_t last = buffer.size() - kRecords;
    for (size_t i = start == damaged_at ? 1 : 0; i <= last; ++i) {
      if (view[i + kMagic] != 2) continue;
      TM_ASSIGN(auto found, whole_batch_at(file, size, base, expected, start + i, view.substr(i), budget));
      if (found) return found;
    }
    start += last + 1;
  }
  return std::optional<Damage::Resume>();
}

// Whether some sector of [from, to) is zero from the stretch's first byte in it to the sector's
// end. Segments only grow, so a sector that missed its last writes reads as what it held before
// them, then zeros; damage to bytes that were whole does not look like that.
Result<bool> has_unwritten_sector(File& file, uint64_t size, uint64_t from, uint64_t to, Offset expected) {
  char first_bytes[8];
  store_be(first_bytes, expected.value());
  char sector[kSectorBytes];
  for (uint64_t at = from; at < to;) {
    uint64_t end = std::min((at / kSectorBytes + 1) * kSectorBytes, size);
    TM_ASSIGN(size_t read, file.read_at(at, sector, static_cast<size_t>(end - at)));
    std::string_view bytes(sector, read);
    bool zero = bytes.find_first_not_of('\0') == std::string_view::npos;
    // The first bytes of an offset are zero by nature: they prove nothing.
    bool natural = at == from && read <= sizeof first_bytes &&
                   std::string_view(first_bytes, read).find_first_not_of('\0') == std::string_view::npos;
    if (zero && !natural) return true;
    at = end;
  }
  return false;
}

// Whether a batch that seems to reach beyond the file is whole, and only its length is wrong, which no
// checksum covers.
Result<bool> whole_but_for_its_length(File& file, uint64_t size, uint64_t position, uint32_t expected_crc) {
  constexpr size_t kCovered = kAttributes;
  if (size - position < kRecords) return false;
  uint32_t crc = 0;
  std::string buffer;
  for (uint64_t at = position + kCovered; at < size;) {
    buffer.resize(static_cast<size_t>(std::min<uint64_t>(kChunk, size - at)));
    TM_ASSIGN(size_t read, file.read_at(at, buffer.data(), buffer.size()));
    if (read == 0) return false;
    crc = crc32c(std::string_view(buffer).substr(0, read), crc);
    at += read;
  }
  return crc == expected_crc;
}

}  // namespace

Result<std::optional<BatchHeader>> header_at(File& file, uint64_t size, uint64_t position) {
  std::optional<BatchHeader> none;
  if (position > size || size - position < kRecords) return none;
  char bytes[kRecords];
  TM_ASSIGN(size_t read, file.read_at(position, bytes, sizeof bytes));
  auto header = parse_batch_header({bytes, read});
  if (!header.ok() || !header->has_value()) return none;
  if (!plausible(**header, Offset((*header)->base_offset), Offset(0))) return none;
  if ((*header)->size_bytes() > size - position) return none;
  return std::optional(**header);
}

Result<Damage> examine_damage(File& file, uint64_t size, Offset base, const SegmentReader& reader) {
  Damage damage;
  damage.position = reader.position();
  damage.expected = reader.expected();
  damage.what = reader.what();
  damage.misplaced = reader.misplaced();
  TM_ASSIGN(damage.resume, find_whole_batch(file, size, base, damage.expected, damage.position));
  uint64_t end = damage.resume ? damage.resume->position : size;
  if (reader.too_high()) return damage;  // bytes that were never written are zero
  TM_ASSIGN(damage.torn, has_unwritten_sector(file, size, damage.position, end, damage.expected));
  if (!reader.cut_short() || damage.resume) return damage;
  damage.torn = true;
  if (size - damage.position < kRecords) return damage;
  TM_ASSIGN(bool whole, whole_but_for_its_length(file, size, damage.position, reader.header().crc));
  damage.torn = !whole;
  return damage;
}

}  // namespace tidemill::log
