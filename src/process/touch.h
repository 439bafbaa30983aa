// The one change that dedup's state knows: an id was seen within a key.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "pipeline/operator.h"
#include "process/id.h"

namespace tidemill::process {

uint64_t hash_key(std::string_view key);

// Borrows key and id.
struct Touch {
  std::string_view key;
  uint64_t key_hash = 0;  // hash_key(key)
  Id id;
  int64_t time_ms = 0;
};

enum class Touched {
  kNew,        // not held: kept now
  kRefreshed,  // held: the most recent now
  kUnchanged,  // held, and nothing changed
};

// What stands first in every delta of dedup.
enum class DeltaKind : uint8_t {
  kTouches = 1,       // by count
  kRecords = 2,       // by count: LruStore::snapshot
  kTimedTouches = 3,  // by time
};

// The most bytes that a key and an id may have together, so that deltas stay below pipeline::kMostDeltaBytes.
inline constexpr size_t kMostTouchBytes = 256u << 10;

// Writes touches as deltas (format: docs/operators.md), each of kDeltaBytes and one touch at most. Keeps its
// buffer.
class TouchWriter {
 public:
  static constexpr size_t kDeltaBytes = 256u << 10;

  explicit TouchWriter(bool timed) : timed_(timed) {}
  void add(const Touch& touch, pipeline::DeltaWriter& deltas);
  // Hands on what is left.
  void finish(pipeline::DeltaWriter& deltas);

 private:
  // A key is written once per delta; this remembers the recent ones. One that was pushed out is written
  // again.
  struct KnownKey {
    uint64_t delta = 0;  // number of the delta that it belongs to
    uint32_t number = 0;
    size_t at = 0;  // of its bytes in delta_
    size_t size = 0;
  };

  bool timed_;
  std::string delta_;
  uint64_t delta_number_ = 1;
  uint32_t keys_ = 0;
  int64_t last_time_ms_ = 0;
  std::array<KnownKey, 1024> known_;
};

// Calls each(touch) for the touches of a delta, without its kind. Errors: kCorrupt, and those of `each`.
template <class Each>
Status read_touches(std::string_view delta, bool timed, const Each& each) {
  ByteReader reader(delta);
  std::vector<Touch> keys;
  int64_t time_ms = 0;
  while (reader.remaining() > 0) {
    uint64_t head = reader.varuint();
    uint64_t number = head >> 1;
    if (number == 0) {
      std::string_view key = reader.sized();
      keys.push_back(Touch{key, hash_key(key), Id(), 0});
      number = keys.size();
    }
    if (timed)
      time_ms = static_cast<int64_t>(static_cast<uint64_t>(time_ms) + static_cast<uint64_t>(reader.varint()));
    bool packed = (head & 1) != 0;
    std::string_view id = packed ? reader.bytes(sizeof(Uuid)) : reader.sized();
    if (!reader.ok() || number > keys.size()) return internal_error("malformed dedup delta", Code::kCorrupt);
    Touch touch = keys[static_cast<size_t>(number - 1)];
    touch.id = packed ? Id(load_uuid(id.data())) : Id::raw(id);
    touch.time_ms = time_ms;
    each(touch);
  }
  return {};
}

}  // namespace tidemill::process
