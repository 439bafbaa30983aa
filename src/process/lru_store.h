// The state of dedup by count: for every key its last N ids, in order of recency.
//
// Memory. Each key has one record in RecordPools: key, then a ring of N at most. A slot of the ring
// has a tag (15 bits of the id's hash and whether it is a packed UUID) and 16 bytes: the UUID, or an
// id of up to 15 bytes, or a pointer to a longer one. The index is one 8-byte word per key. So 10 M
// keys of 25 bytes with one UUID each take about 70 bytes a key, and a key with 100 UUIDs 1.9 kB.
//
// Lookups compare tags 8 at a time and then whole ids; keys are compared whole as well.
// Not thread-safe.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "base/result.h"
#include "process/lru_record.h"
#include "process/record_pools.h"
#include "process/touch.h"

namespace tidemill::process {

class LruStore {
 public:
  static constexpr uint32_t kMaxLast = 65'535;

  // Keeps the `last` (1 … kMaxLast) ids of every key.
  explicit LruStore(uint32_t last);
  ~LruStore();
  LruStore(const LruStore&) = delete;
  LruStore& operator=(const LruStore&) = delete;

  // The time is of no account.
  Touched touch(const Touch& touch);

  // Hints that this touch comes soon: first the index, some touches later the record.
  void prefetch_index(const Touch& touch) const;
  void prefetch_record(const Touch& touch) const;

  size_t keys() const { return keys_; }
  size_t memory_bytes() const { return sizeof *this + pools_.memory_bytes() + index_bytes_ + long_id_bytes_; }

  // The keys with their ids, oldest first, in pieces of about `piece_bytes`, each behind `head`; a
  // key may go on in the next piece. Loading the pieces (without head) in order into an empty store
  // gives one whose snapshot is the same, byte for byte. Format: docs/operators.md.
  void snapshot(std::string_view head, size_t piece_bytes,
                const std::function<void(std::string_view piece)>& emit) const;
  // Loads one piece. A store with a smaller `last` keeps the most recent ids. Errors: kCorrupt.
  Status load(std::string_view piece);

 private:
  // tag of the key's hash (24 bits), size class (8), index in it (32).
  struct Slot {
    mutable uint64_t word = 0;  // where the record lies may change; the tag does not
    uint32_t tag() const { return static_cast<uint32_t>(word >> 40); }
    RecordPools::Ref ref() const { return {static_cast<uint8_t>(word >> 32), static_cast<uint32_t>(word)}; }
    void set_ref(RecordPools::Ref ref) const {
      word = (word >> 40 << 40) | (static_cast<uint64_t>(ref.size_class) << 32) | ref.index;
    }
  };
  struct ByKey {
    std::string_view key;
    uint32_t tag;
  };
  struct ByRef {
    uint32_t tag;
    RecordPools::Ref ref;
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
    const RecordPools* pools;
    bool operator()(const Slot& a, const Slot& b) const { return a.word == b.word; }
    bool operator()(const Slot& slot, const ByKey& by) const;
    bool operator()(const Slot& slot, const ByRef& by) const {
      return slot.tag() == by.tag && slot.ref() == by.ref;
    }
    bool operator()(const Slot& slot, const ByTag& by) const { return slot.tag() == by.tag; }
  };
  using Shard = absl::flat_hash_set<Slot, Hash, Equal>;
  // Many small indexes instead of one: each grows by itself, so that no event waits for a large one.
  static constexpr size_t kShards = 64;

  Shard& shard(uint64_t hash) { return shards_[hash >> 58]; }
  const Shard& shard(uint64_t hash) const { return shards_[hash >> 58]; }
  static uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash) & 0xffffff; }

  LruRecord view(RecordPools::Ref ref) const;
  const Slot* find(std::string_view key, uint64_t hash) const;
  LruRecord create(std::string_view key, uint64_t hash, size_t ids);
  LruRecord grow(const Slot& slot);
  void append(LruRecord& record, const Id& id);
  Touched touch_record(const Slot& slot, const Id& id);
  void load_record(std::string_view key, uint64_t hash, bool packed, uint64_t count, std::string_view ids);

  void write_cell(char* cell, const Id& id);
  void release_cell(uint16_t tag, const char* cell);

  const uint32_t last_;
  RecordPools pools_;
  std::array<Shard, kShards> shards_;
  size_t keys_ = 0;
  size_t index_bytes_ = 0;
  size_t long_ids_ = 0;
  size_t long_id_bytes_ = 0;
};

}  // namespace tidemill::process
