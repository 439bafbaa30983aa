#include "process/lru_store.h"

#include <algorithm>

namespace tidemill::process {
namespace {

constexpr size_t kRunIds = 4096;  // of a key that stand together in a snapshot

size_t common_prefix(std::string_view a, std::string_view b) {
  size_t most = std::min(a.size(), b.size());
  return static_cast<size_t>(
      std::mismatch(a.begin(), a.begin() + static_cast<ptrdiff_t>(most), b.begin()).first - a.begin());
}

Error corrupt() {
  return internal_error("malformed dedup state", Code::kCorrupt);
}

void write_id(std::string* out, const Id& id) {
  ByteWriter writer(*out);
  if (id.packed()) {
    writer.varuint(0);
    out->append(reinterpret_cast<const char*>(&id.uuid()), sizeof(Uuid));
  } else {
    writer.varuint(id.text().size() + 1);
    writer.bytes(id.text());
  }
}

Uuid read_uuid(ByteReader& reader) {
  std::string_view bytes = reader.bytes(sizeof(Uuid));
  return reader.ok() ? load_uuid(bytes.data()) : Uuid();
}

Id read_id(ByteReader& reader) {
  uint64_t size = reader.varuint();
  if (size == 0) return Id(read_uuid(reader));
  return Id::raw(reader.bytes(static_cast<size_t>(size - 1)));
}

// The bytes of `count` ids, checked to be there.
Result<std::string_view> skip_ids(ByteReader& reader, bool packed, uint64_t count) {
  const char* first = reader.position();
  if (count == 0 || count > reader.remaining()) return corrupt();
  if (packed) {
    reader.bytes(static_cast<size_t>(count) * sizeof(Uuid));
  } else {
    for (uint64_t i = 0; i < count && reader.ok(); ++i) read_id(reader);
  }
  if (!reader.ok()) return corrupt();
  return std::string_view(first, static_cast<size_t>(reader.position() - first));
}

}  // namespace

bool LruStore::Equal::operator()(const Slot& slot, const ByKey& by) const {
  return slot.tag() == by.tag && LruRecord::key_of(pools->at(slot.ref())) == by.key;
}

LruStore::LruStore(uint32_t last) : last_(last) {
  TM_CHECK(last >= 1 && last <= kMaxLast);
  for (Shard& shard : shards_) shard = Shard(0, Hash{}, Equal{&pools_});
}

LruStore::~LruStore() {
  for (size_t c = 1; c < RecordPools::kClasses && long_ids_ > 0; ++c) {
    auto size_class = static_cast<uint8_t>(c);
    for (uint32_t i = 0; i < pools_.count(size_class); ++i) {
      LruRecord record = view({size_class, i});
      for (size_t id = 0; id < record.count(); ++id) release_cell(record.tag(id), record.cell(id));
    }
  }
}

LruRecord LruStore::view(RecordPools::Ref ref) const {
  return LruRecord(pools_.at(ref), RecordPools::class_bytes(ref.size_class), last_);
}

const LruStore::Slot* LruStore::find(std::string_view key, uint64_t hash) const {
  const Shard& in = shard(hash);
  auto found = in.find(ByKey{key, tag_of(hash)});
  return found == in.end() ? nullptr : &*found;
}

void LruStore::prefetch_index(const Touch& touch) const {
  shard(touch.key_hash).prefetch(ByTag{tag_of(touch.key_hash)});
}

void LruStore::prefetch_record(const Touch& touch) const {
  const Shard& in = shard(touch.key_hash);
  auto found = in.find(ByTag{tag_of(touch.key_hash)});
  if (found == in.end()) return;
  const char* record = pools_.at(found->ref());
  __builtin_prefetch(record);
  __builtin_prefetch(record + 64);
  __builtin_prefetch(record + 128);
  __builtin_prefetch(record + 192);
}

Touched LruStore::touch(const Touch& touch) {
  if (const Slot* slot = find(touch.key, touch.key_hash)) return touch_record(*slot, touch.id);
  LruRecord record = create(touch.key, touch.key_hash, 1);
  append(record, touch.id);
  return Touched::kNew;
}

Touched LruStore::touch_record(const Slot& slot, const Id& id) {
  LruRecord record = view(slot.ref());
  uint16_t tag = LruRecord::tag_of(id);
  for (size_t from = 0; from < record.count(); from += LruRecord::kTagsAtOnce) {
    for (uint32_t matches = record.match_tags(from, tag); matches != 0; matches &= matches - 1) {
      size_t at = from + LruRecord::slot_of_match(matches);
      if (!LruRecord::holds(record.cell(at), id)) continue;
      return record.make_newest(at) ? Touched::kRefreshed : Touched::kUnchanged;
    }
  }
  if (record.count() < last_ && record.count() == record.capacity()) record = grow(slot);
  append(record, id);
  return Touched::kNew;
}

LruRecord LruStore::create(std::string_view key, uint64_t hash, size_t ids) {
  RecordPools::Ref ref = pools_.allocate(RecordPools::class_for(LruRecord::bytes_for(key.size(), ids)));
  LruRecord::initialise(pools_.at(ref), key);
  Slot slot{static_cast<uint64_t>(tag_of(hash)) << 40};
  slot.set_ref(ref);
  Shard& in = shard(hash);
  size_t before = in.capacity();
  in.insert(slot);
  index_bytes_ += (in.capacity() - before) * (sizeof(Slot) + 1);
  ++keys_;
  return view(ref);
}

LruRecord LruStore::grow(const Slot& slot) {
  RecordPools::Ref old_ref = slot.ref();
  LruRecord old = view(old_ref);
  RecordPools::Ref ref =
      pools_.allocate(RecordPools::class_for(LruRecord::bytes_for(old.key().size(), old.count() + 1)));
  LruRecord::empty(pools_.at(ref), RecordPools::class_bytes(ref.size_class), last_, old.key().size())
      .copy_from(old);
  slot.set_ref(ref);
  RecordPools::Ref moved_from;
  if (pools_.free(old_ref, &moved_from)) {
    uint64_t hash = hash_key(LruRecord::key_of(pools_.at(old_ref)));
    auto moved = shard(hash).find(ByRef{tag_of(hash), moved_from});
    TM_CHECK(moved != shard(hash).end(), "every record is in the index");
    moved->set_ref(old_ref);
  }
  return view(ref);
}

void LruStore::append(LruRecord& record, const Id& id) {
  size_t at = record.count();
  if (at == last_) {
    at = record.drop_oldest();
    release_cell(record.tag(at), record.cell(at));
  } else {
    TM_CHECK(at < record.capacity());
    record.set_count(at + 1);
  }
  record.set_tag(at, LruRecord::tag_of(id));
  write_cell(record.cell(at), id);
}

void LruStore::write_cell(char* cell, const Id& id) {
  if (!LruRecord::write_short(cell, id)) {
    long_id_bytes_ += id.text().size() + LruRecord::kLongOverhead;
    ++long_ids_;
    LruRecord::write_long(cell, id.text());
  }
}

void LruStore::release_cell(uint16_t tag, const char* cell) {
  if (!LruRecord::is_long(tag, cell)) return;
  long_id_bytes_ -= LruRecord::read(tag, cell).text().size() + LruRecord::kLongOverhead;
  --long_ids_;
  LruRecord::free_long(cell);
}

void LruStore::snapshot(std::string_view head, size_t piece_bytes,
                        const std::function<void(std::string_view piece)>& emit) const {
  std::string piece(head);
  std::string_view last_key;
  auto begin_ids = [&](std::string_view key, size_t count, bool packed) {
    ByteWriter writer(piece);
    size_t shared = common_prefix(last_key, key);
    writer.varuint(shared);
    writer.sized(key.substr(shared));
    writer.varuint(count << 1 | (packed ? 1 : 0));
    last_key = key;
  };
  auto end_piece_if = [&](size_t limit) {
    if (piece.size() <= limit) return;
    emit(piece);
    piece = head;
    last_key = {};
  };
  for (size_t c = 1; c < RecordPools::kClasses; ++c) {
    auto size_class = static_cast<uint8_t>(c);
    for (uint32_t i = 0; i < pools_.count(size_class); ++i) {
      LruRecord record = view({size_class, i});
      bool packed = true;
      bool any_long = false;
      for (size_t id = 0; id < record.count(); ++id) {
        packed &= LruRecord::is_packed(record.tag(id));
        any_long |= LruRecord::is_long(record.tag(id), record.cell(id));
      }
      // Long ids one by one, so that no piece is much larger than the longest id; others in runs.
      const size_t run = any_long ? 1 : kRunIds;
      for (size_t order = 0; order < record.count(); ++order) {
        if (order % run == 0) {
          end_piece_if(piece_bytes);
          begin_ids(record.key(), std::min<size_t>(run, record.count() - order), packed);
        }
        size_t at = record.physical(order);
        if (packed) {
          piece.append(record.cell(at), sizeof(Uuid));
        } else {
          write_id(&piece, LruRecord::read(record.tag(at), record.cell(at)));
        }
      }
      end_piece_if(piece_bytes);
    }
  }
  end_piece_if(head.size());
}

Status LruStore::load(std::string_view piece) {
  // Some records at once, so that the cache misses of the index overlap.
  constexpr size_t kWindow = 32;
  struct Loading {
    size_t key_at = 0;
    size_t key_size = 0;
    uint64_t hash = 0;
    bool packed = false;
    uint64_t count = 0;
    std::string_view ids;
  };
  ByteReader reader(piece);
  std::string keys;
  std::array<Loading, kWindow> window;
  size_t loading = 0;
  auto load_window = [&] {
    for (size_t i = 0; i < loading; ++i) {
      const Loading& one = window[i];
      load_record(std::string_view(keys).substr(one.key_at, one.key_size), one.hash, one.packed, one.count,
                  one.ids);
    }
    // The last key stays: the next one may share its beginning.
    const Loading& last = window[loading - 1];
    keys.erase(0, last.key_at);
    window[0].key_at = 0;
    window[0].key_size = last.key_size;
    loading = 0;
  };
  Loading before;
  while (reader.remaining() > 0) {
    if (loading == kWindow) {
      load_window();
      before = window[0];
    }
    uint64_t shared = reader.varuint();
    std::string_view rest = reader.sized();
    uint64_t head = reader.varuint();
    if (!reader.ok() || shared > before.key_size) return corrupt();
    Loading& one = window[loading];
    one.key_at = keys.size();
    one.key_size = static_cast<size_t>(shared) + rest.size();
    keys.append(keys, before.key_at, static_cast<size_t>(shared));
    keys.append(rest);
    one.packed = (head & 1) != 0;
    one.count = head >> 1;
    TM_ASSIGN(one.ids, skip_ids(reader, one.packed, one.count));
    one.hash = hash_key(std::string_view(keys).substr(one.key_at));
    shard(one.hash).prefetch(ByTag{tag_of(one.hash)});
    before = one;
    ++loading;
  }
  if (loading > 0) load_window();
  return {};
}

void LruStore::load_record(std::string_view key, uint64_t hash, bool packed, uint64_t count,
                           std::string_view ids) {
  ByteReader reader(ids);
  uint64_t skipped = count > last_ ? count - last_ : 0;
  const Slot* slot = find(key, hash);
  LruRecord record;
  if (slot == nullptr) record = create(key, hash, static_cast<size_t>(count - skipped));
  for (uint64_t i = 0; i < count; ++i) {
    Id id = packed ? Id(read_uuid(reader)) : read_id(reader);
    if (i < skipped) continue;
    if (slot == nullptr) {
      append(record, id);
    } else {
      touch_record(*slot, id);
    }
  }
}

}  // namespace tidemill::process
