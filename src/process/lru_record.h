// One key of LruStore in its block of memory: u32 key size, u16 count, u16 oldest, key, tags, cells.
//
//   capacity C   as many ids as the block has room for, `last` at most
//   tags         C × 2 bytes: 15 bits of the id's hash, and (lowest bit) whether it is a packed UUID; so many
//                that another id's tag is rarely the same, for each cell looked at costs a cache miss
//   cells        C × 16 bytes: the UUID; or an id of up to 15 bytes, its length in the last byte; or
//                pointer and length of a longer id, 0xff in the last byte
//
// The ids are a ring: slots 0 … count-1 are used, `oldest` is not 0 only when count = C = last.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "process/id.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace tidemill::process {

class LruRecord {
 public:
  static constexpr size_t kTagsAtOnce = 8;
  static constexpr size_t kLongOverhead = 16;  // about what the heap adds to a long id

  LruRecord() = default;
  LruRecord(char* block, size_t block_bytes, size_t last)
      : block_(block),
        key_size_(load<uint32_t>(block)),
        capacity_(std::min(last, room(block_bytes, key_size_))) {}

  static size_t bytes_for(size_t key_size, size_t ids) { return kHeader + key_size + ids * kPerId; }
  // An empty record; the block is large enough for it.
  static void initialise(char* block, std::string_view key) {
    TM_CHECK(key.size() <= UINT32_MAX);
    store(block, static_cast<uint32_t>(key.size()));
    store(block + 4, uint16_t{0});
    store(block + 6, uint16_t{0});
    std::memcpy(block + kHeader, key.data(), key.size());
  }
  static std::string_view key_of(const char* block) { return {block + kHeader, load<uint32_t>(block)}; }

  std::string_view key() const { return {block_ + kHeader, key_size_}; }
  size_t count() const { return load<uint16_t>(block_ + 4); }
  size_t capacity() const { return capacity_; }
  void set_count(size_t count) { store(block_ + 4, static_cast<uint16_t>(count)); }
  // The slot of the id that is the n-th oldest.
  size_t physical(size_t order) const {
    size_t at = oldest() + order;
    return at >= count() ? at - count() : at;
  }

  uint16_t tag(size_t at) const { return load<uint16_t>(tags() + at * kTagBytes); }
  void set_tag(size_t at, uint16_t tag) { store(tags() + at * kTagBytes, tag); }
  char* cell(size_t at) const { return tags() + capacity_ * kTagBytes + at * sizeof(Uuid); }

  // Whether slot from + i (of kTagsAtOnce, below count) has this tag: bit 2i.
  uint32_t match_tags(size_t from, uint16_t tag) const;
  static size_t slot_of_match(uint32_t matches) { return static_cast<size_t>(std::countr_zero(matches)) / 2; }
  // Makes the id in this slot the most recent; false where it was already.
  bool make_newest(size_t at);
  // A full ring: the oldest id's slot becomes the newest's, and is returned.
  size_t drop_oldest() {
    size_t at = oldest();
    store(block_ + 6, static_cast<uint16_t>(at + 1 == count() ? 0 : at + 1));
    return at;
  }
  // The same key and ids in a larger, uninitialised block. Precondition: old.oldest() == 0.
  void copy_from(const LruRecord& old) {
    TM_CHECK(old.oldest() == 0);
    initialise(block_, old.key());
    key_size_ = old.key_size_;
    TM_CHECK(old.count() <= capacity_);
    std::memcpy(tags(), old.tags(), old.count() * kTagBytes);
    std::memcpy(cell(0), old.cell(0), old.count() * sizeof(Uuid));
    set_count(old.count());
  }
  // A block that is to be filled by copy_from().
  static LruRecord empty(char* block, size_t block_bytes, size_t last, size_t key_size) {
    LruRecord record;
    record.block_ = block;
    record.key_size_ = key_size;
    record.capacity_ = std::min(last, room(block_bytes, key_size));
    return record;
  }

  // Ids in cells.
  static uint16_t tag_of(const Id& id) {
    return static_cast<uint16_t>((id.hash() >> 49) << 1 | (id.packed() ? 1 : 0));
  }
  static bool is_packed(uint16_t tag) { return (tag & 1) != 0; }
  static bool is_long(uint16_t tag, const char* cell) {
    return !is_packed(tag) && static_cast<uint8_t>(cell[kLengthAt]) == kLongMark;
  }
  static Id read(uint16_t tag, const char* cell) {
    if (is_packed(tag)) return Id(load<Uuid>(cell));
    if (is_long(tag, cell)) return Id::raw({load<const char*>(cell), load<uint32_t>(cell + 8)});
    return Id::raw({cell, static_cast<size_t>(cell[kLengthAt])});
  }
  // Whether the cell, whose tag is this id's, holds it: compared in full.
  static bool holds(const char* cell, const Id& id) {
    if (id.packed()) return load<Uuid>(cell) == id.uuid();
    return read(0, cell).text() == id.text();
  }
  // False where the id is too long for the cell.
  static bool write_short(char* cell, const Id& id) {
    if (id.packed()) {
      store(cell, id.uuid());
      return true;
    }
    if (id.text().size() > kLengthAt) return false;
    std::memset(cell, 0, sizeof(Uuid));
    std::memcpy(cell, id.text().data(), id.text().size());
    cell[kLengthAt] = static_cast<char>(id.text().size());
    return true;
  }
  static void write_long(char* cell, std::string_view text) {
    TM_CHECK(text.size() <= UINT32_MAX);
    char* copy = new char[text.size()];
    std::memcpy(copy, text.data(), text.size());
    std::memset(cell, 0, sizeof(Uuid));
    store(cell, copy);
    store(cell + 8, static_cast<uint32_t>(text.size()));
    cell[kLengthAt] = static_cast<char>(kLongMark);
  }
  static void free_long(const char* cell) { delete[] load<char*>(cell); }

 private:
  static constexpr size_t kHeader = 8, kTagBytes = sizeof(uint16_t), kPerId = kTagBytes + sizeof(Uuid),
                          kLengthAt = 15;
  static constexpr uint8_t kLongMark = 0xff;

  // Blocks are not aligned.
  template <class T>
  static T load(const char* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }
  template <class T>
  static void store(char* to, const T& value) {
    std::memcpy(to, &value, sizeof value);
  }
  static size_t room(size_t block_bytes, size_t key_size) {
    return (block_bytes - kHeader - key_size) / kPerId;
  }
  size_t oldest() const { return load<uint16_t>(block_ + 6); }
  char* tags() const { return block_ + kHeader + key_size_; }

  char* block_ = nullptr;
  size_t key_size_ = 0;
  size_t capacity_ = 0;
};

inline uint32_t LruRecord::match_tags(size_t from, uint16_t tag) const {
  // Reads past the tags end in the cells: from + 8 <= capacity + 8 × capacity.
  const char* at = tags() + from * kTagBytes;
  uint32_t matches = 0;
#if defined(__SSE2__)
  __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  matches = static_cast<uint32_t>(
      _mm_movemask_epi8(_mm_cmpeq_epi16(eight, _mm_set1_epi16(static_cast<int16_t>(tag)))));
  matches &= 0x5555;
#else
  for (size_t i = 0; i < kTagsAtOnce; ++i) {
    matches |= static_cast<uint32_t>(load<uint16_t>(at + i * kTagBytes) == tag) << (2 * i);
  }
#endif
  size_t left = count() - from;
  return left >= kTagsAtOnce ? matches : matches & ((1u << (2 * left)) - 1);
}

inline bool LruRecord::make_newest(size_t at) {
  size_t size = count();
  size_t first = oldest();
  size_t newest = first == 0 ? size - 1 : first - 1;
  if (at == newest) return false;
  uint16_t moved_tag = tag(at);
  Uuid moved = load<Uuid>(cell(at));
  if (at < newest) {
    std::memmove(tags() + at * kTagBytes, tags() + (at + 1) * kTagBytes, (newest - at) * kTagBytes);
    std::memmove(cell(at), cell(at + 1), (newest - at) * sizeof(Uuid));
  } else {
    while (at != newest) {
      size_t next = at + 1 == size ? 0 : at + 1;
      set_tag(at, tag(next));
      std::memcpy(cell(at), cell(next), sizeof(Uuid));
      at = next;
    }
  }
  set_tag(newest, moved_tag);
  store(cell(newest), moved);
  return true;
}

}  // namespace tidemill::process
