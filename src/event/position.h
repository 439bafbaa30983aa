// Where an event stands: (topic, partition, offset, leader epoch).
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>

#include "base/strong.h"

namespace tidemill {

using Offset = Strong<struct OffsetTag, int64_t>;
using Partition = Strong<struct PartitionTag, int32_t>;
// Rises whenever a log may have lost what was not yet durable; a position carries it so that
// offsets handed out twice are told apart (design point 7).
using LeaderEpoch = Strong<struct LeaderEpochTag, int32_t>;

struct TopicPartition {
  std::string topic;
  Partition partition;
  auto operator<=>(const TopicPartition&) const = default;
  std::string to_string() const { return topic + "-" + std::to_string(partition.value()); }
};

// The next offset to read of one partition, and the leader epoch of the last event read.
struct Position {
  Offset offset;
  LeaderEpoch leader_epoch;
  auto operator<=>(const Position&) const = default;
};

// Microseconds since 1970-01-01T00:00:00Z.
using TimestampUs = int64_t;

}  // namespace tidemill

template <>
struct std::hash<tidemill::TopicPartition> {
  size_t operator()(const tidemill::TopicPartition& tp) const {
    return std::hash<std::string>{}(tp.topic) * 31 + static_cast<size_t>(tp.partition.value());
  }
};
