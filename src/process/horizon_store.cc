#include "process/horizon_store.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace tidemill::process {
namespace {

// An entry: flags (1 byte), time (8), key size, id size unless packed (varuints), key, id.
constexpr uint8_t kLive = 1, kPacked = 2;
constexpr size_t kMostHeader = 1 + 8 + 10 + 10;

}  // namespace

bool HorizonStore::Equal::operator()(const Slot& slot, const ByPair& by) const {
  if (slot.tag() != by.tag) return false;
  Entry entry = store->entry_at(slot.address());
  return entry.key == by.touch->key && entry.id == by.touch->id;
}

HorizonStore::HorizonStore(uint64_t horizon_ms) : horizon_ms_(horizon_ms) {
  for (Shard& shard : shards_) shard = Shard(0, Hash{}, Equal{this});
}

uint64_t HorizonStore::hash_of(const Touch& touch) {
  uint64_t mixed = (touch.key_hash ^ std::rotl(touch.id.hash(), 32)) * 0x9e3779b97f4a7c15;
  return (mixed ^ (mixed >> 32)) * 0xd6e8feb86659fd93;
}

const HorizonStore::Chunk& HorizonStore::chunk_of(uint64_t address) const {
  // Chunk numbers are cut to 24 bits; fewer chunks than that are ever alive.
  return chunks_[((address >> 16) - first_chunk_) & kChunkNumberMask];
}

HorizonStore::Entry HorizonStore::decode(const Chunk& chunk, size_t from) {
  ByteReader reader(std::string_view(chunk.bytes.get() + from, chunk.used - from));
  Entry entry;
  auto flags = reader.le<uint8_t>();
  entry.live = (flags & kLive) != 0;
  entry.seen_ms = reader.le<int64_t>();
  auto key_size = static_cast<size_t>(reader.varuint());
  size_t id_size = (flags & kPacked) != 0 ? sizeof(Uuid) : static_cast<size_t>(reader.varuint());
  entry.key = reader.bytes(key_size);
  std::string_view id = reader.bytes(id_size);
  TM_CHECK(reader.ok(), "entries are whole");
  entry.id = (flags & kPacked) != 0 ? Id(load_uuid(id.data())) : Id::raw(id);
  entry.size_bytes = chunk.used - from - reader.remaining();
  return entry;
}

uint64_t HorizonStore::append(const Touch& touch) {
  bool packed = touch.id.packed();
  size_t id_size = packed ? sizeof(Uuid) : touch.id.text().size();
  size_t most = kMostHeader + touch.key.size() + id_size;
  if (chunks_.empty() || chunks_.back().capacity - chunks_.back().used < most) {
    size_t capacity = std::max(kChunkBytes, most);
    // Not initialised, so that it costs resident memory only as it fills.
    chunks_.push_back(Chunk{std::unique_ptr<char[]>(new char[capacity]), capacity, 0});
    chunk_bytes_ += capacity;
    TM_CHECK(chunks_.size() <= kChunkNumberMask);
  }
  Chunk& chunk = chunks_.back();
  uint64_t address = ((first_chunk_ + chunks_.size() - 1) & kChunkNumberMask) << 16 | chunk.used;
  char* to = chunk.bytes.get() + chunk.used;
  *to++ = static_cast<char>(packed ? kLive | kPacked : kLive);
  std::memcpy(to, &now_ms_, sizeof now_ms_);
  to = put_varuint(to + sizeof now_ms_, touch.key.size());
  if (!packed) to = put_varuint(to, id_size);
  std::memcpy(to, touch.key.data(), touch.key.size());
  to += touch.key.size();
  std::memcpy(to, packed ? reinterpret_cast<const char*>(&touch.id.uuid()) : touch.id.text().data(), id_size);
  chunk.used = static_cast<size_t>(to + id_size - chunk.bytes.get());
  return address;
}

void HorizonStore::evict() {
  while (!chunks_.empty()) {
    Chunk& chunk = chunks_.front();
    if (front_ == chunk.used) {
      chunk_bytes_ -= chunk.capacity;
      chunks_.pop_front();
      ++first_chunk_;
      front_ = 0;
      continue;
    }
    Entry entry = decode(chunk, front_);
    if (entry.live) {
      if (!expired(entry.seen_ms)) return;
      Touch touch{entry.key, hash_key(entry.key), entry.id, 0};
      uint64_t hash = hash_of(touch);
      size_t erased = shards_[shard_of(hash)].erase(ByPair{&touch, tag_of(hash)});
      TM_CHECK(erased == 1, "every live entry is in the index");
      --ids_;
    }
    front_ += entry.size_bytes;
  }
}

Touched HorizonStore::touch(const Touch& touch) {
  now_ms_ = std::max(now_ms_, touch.time_ms);
  evict();
  uint64_t hash = hash_of(touch);
  Shard& shard = shards_[shard_of(hash)];
  auto found = shard.find(ByPair{&touch, tag_of(hash)});
  if (found != shard.end()) {
    if (entry_at(found->address()).seen_ms == now_ms_) return Touched::kUnchanged;
    char* flags = at(found->address());
    *flags = static_cast<char>(*flags & ~kLive);
    found->set_address(append(touch));
    return Touched::kRefreshed;
  }
  Slot slot{static_cast<uint64_t>(tag_of(hash)) << 40};
  slot.set_address(append(touch));
  size_t before = shard.capacity();
  shard.insert(slot);
  index_bytes_ += (shard.capacity() - before) * (sizeof(Slot) + 1);
  ++ids_;
  return Touched::kNew;
}

void HorizonStore::prefetch_index(const Touch& touch) const {
  uint64_t hash = hash_of(touch);
  shards_[shard_of(hash)].prefetch(ByTag{tag_of(hash)});
}

void HorizonStore::prefetch_record(const Touch& touch) const {
  uint64_t hash = hash_of(touch);
  const Shard& shard = shards_[shard_of(hash)];
  auto found = shard.find(ByTag{tag_of(hash)});
  if (found != shard.end()) __builtin_prefetch(at(found->address()));
}

void HorizonStore::snapshot(pipeline::DeltaWriter& deltas) const {
  TouchWriter writer(true);
  for (size_t i = 0; i < chunks_.size(); ++i) {
    const Chunk& chunk = chunks_[i];
    for (size_t from = i == 0 ? front_ : 0; from < chunk.used;) {
      Entry entry = decode(chunk, from);
      from += entry.size_bytes;
      if (entry.live) writer.add(Touch{entry.key, hash_key(entry.key), entry.id, entry.seen_ms}, deltas);
    }
  }
  writer.finish(deltas);
}

}  // namespace tidemill::process
