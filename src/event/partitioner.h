// Which partition a key belongs to: Kafka's default for Java producers, so that a topic written by
// us and by them keeps each key in one place.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "event/position.h"

namespace tidemill {

// The 32-bit murmur2 of org.apache.kafka.common.utils.Utils (seed 0x9747b28c).
uint32_t murmur2(std::string_view bytes);

// (murmur2(key) & 0x7fffffff) mod partitions. Precondition: partitions > 0.
inline Partition partition_for_key(std::string_view key, int32_t partitions) {
  TM_CHECK(partitions > 0);
  return Partition(static_cast<int32_t>((murmur2(key) & 0x7fffffffu) % static_cast<uint32_t>(partitions)));
}

}  // namespace tidemill
