// The state of dedup by time: every (key, id) that was seen within the horizon.
//
// Memory. One log of entries (time, key, id) in order of time, in chunks, and an index of one 8-byte
// word for each: about 65 bytes for a UUID within a key of 25 bytes. A refreshed id is written
// again at the end and its old entry is void. What leaves the horizon leaves the front of the log, keys with
// it, so memory is bounded by what came within the horizon.
//
// Time is the partition's: the greatest record timestamp so far. It never goes back; an older
// timestamp counts as that time.
//
// Not thread-safe.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>

#include "process/touch.h"

namespace tidemill::process {

class HorizonStore {
 public:
  // An entry is forgotten when the time is more than `horizon_ms` after it was last seen.
  explicit HorizonStore(uint64_t horizon_ms);
  HorizonStore(const HorizonStore&) = delete;
  HorizonStore& operator=(const HorizonStore&) = delete;

  Touched touch(const Touch& touch);
  void prefetch_index(const Touch& touch) const;
  void prefetch_record(const Touch& touch) const;

  size_t ids() const { return ids_; }
  size_t memory_bytes() const { return sizeof *this + index_bytes_ + chunk_bytes_; }

  // Everything held, in order of time: the touches that rebuild it.
  void snapshot(pipeline::DeltaWriter& deltas) const;

 private:
  // tag of the pair's hash (24 bits), address (40): number of the chunk (24, counted on), place in it (16).
  struct Slot {
    mutable uint64_t word = 0;
    uint32_t tag() const { return static_cast<uint32_t>(word >> 40); }
    uint64_t address() const { return word & kAddressMask; }
    void set_address(uint64_t address) const { word = (word & ~kAddressMask) | address; }
  };
  struct ByPair {
    const Touch* touch;
    uint32_t tag;
  };
  struct ByTag {
    uint32_t tag;
  };
  struct Hash {
    using is_transparent = void;
    template <class T>
    size_t operator()(const T& lookup) const {
      return spread(lookup.tag);
    }
    size_t operator()(const Slot& slot) const { return spread(slot.tag()); }
    static size_t spread(uint32_t tag) {
      uint64_t mixed = (tag + uint64_t{1}) * 0x9e3779b97f4a7c15;
      return mixed ^ (mixed >> 32);
    }
  };
  struct Equal {
    using is_transparent = void;
    const HorizonStore* store;
    bool operator()(const Slot& a, const Slot& b) const { return a.word == b.word; }
    bool operator()(const Slot& slot, const ByPair& by) const;
    bool operator()(const Slot& slot, const ByTag& by) const { return slot.tag() == by.tag; }
  };
  using Shard = absl::flat_hash_set<Slot, Hash, Equal>;
  struct Chunk {
    std::unique_ptr<char[]> bytes;
    size_t capacity = 0;
    size_t used = 0;
  };
  // A decoded entry.
  struct Entry {
    bool live = false;
    int64_t seen_ms = 0;
    std::string_view key;
    Id id;
    size_t size_bytes = 0;
  };

  static constexpr size_t kShards = 64;
  static constexpr size_t kChunkBytes = 64 * 1024;
  static constexpr uint64_t kAddressMask = (uint64_t{1} << 40) - 1,
                            kChunkNumberMask = (uint64_t{1} << 24) - 1;

  static uint64_t hash_of(const Touch& touch);
  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash) & 0xffffff; }
  static size_t shard_of(uint64_t hash) { return hash >> 58; }

  const Chunk& chunk_of(uint64_t address) const;
  char* at(uint64_t address) const { return chunk_of(address).bytes.get() + (address & 0xffff); }
  static Entry decode(const Chunk& chunk, size_t from);
  Entry entry_at(uint64_t address) const { return decode(chunk_of(address), address & 0xffff); }
  uint64_t append(const Touch& touch);
  void evict();
  bool expired(int64_t seen_ms) const {
    return static_cast<uint64_t>(now_ms_) - static_cast<uint64_t>(seen_ms) > horizon_ms_;
  }

  const uint64_t horizon_ms_;
  int64_t now_ms_ = INT64_MIN;
  std::deque<Chunk> chunks_;
  uint64_t first_chunk_ = 0;  // number of chunks_.front()
  size_t front_ = 0;          // where the oldest entry begins in it
  std::array<Shard, kShards> shards_;
  size_t ids_ = 0;
  size_t index_bytes_ = 0;
  size_t chunk_bytes_ = 0;
};

}  // namespace tidemill::process
