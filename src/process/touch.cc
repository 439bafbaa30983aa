#include "process/touch.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace tidemill::process {

uint64_t hash_key(std::string_view key) {
  return XXH3_64bits(key.data(), key.size());
}

void TouchWriter::add(const Touch& touch, pipeline::DeltaWriter& deltas) {
  if (delta_.empty())
    delta_.push_back(static_cast<char>(timed_ ? DeltaKind::kTimedTouches : DeltaKind::kTouches));
  ByteWriter writer(delta_);
  uint64_t packed = touch.id.packed() ? 1 : 0;
  KnownKey& known = known_[(touch.key_hash >> 24) % known_.size()];
  if (known.delta == delta_number_ && std::string_view(delta_).substr(known.at, known.size) == touch.key) {
    writer.varuint(static_cast<uint64_t>(known.number) << 1 | packed);
  } else {
    writer.varuint(packed);
    writer.sized(touch.key);
    known = {delta_number_, ++keys_, delta_.size() - touch.key.size(), touch.key.size()};
  }
  if (timed_) {
    writer.varint(
        static_cast<int64_t>(static_cast<uint64_t>(touch.time_ms) - static_cast<uint64_t>(last_time_ms_)));
    last_time_ms_ = touch.time_ms;
  }
  if (packed != 0) {
    delta_.append(reinterpret_cast<const char*>(&touch.id.uuid()), sizeof(Uuid));
  } else {
    writer.sized(touch.id.text());
  }
  if (delta_.size() >= kDeltaBytes) finish(deltas);
}

void TouchWriter::finish(pipeline::DeltaWriter& deltas) {
  if (delta_.empty()) return;
  deltas.add(delta_);
  delta_.clear();
  ++delta_number_;
  keys_ = 0;
  last_time_ms_ = 0;
}

}  // namespace tidemill::process
