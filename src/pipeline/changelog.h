// The changelog of keyed state: frames of deltas, and snapshots, per input partition.
// Record format: docs/formats/changelog.md. Used by its task's two threads, one at a time.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "pipeline/epoch.h"

namespace tidemill::pipeline {

// One record of the changelog, decoded. A frame or snapshot may span several (its parts).
struct ChangelogRecord {
  enum Kind : uint8_t { kFrame = 1, kSnapshot = 2 };
  Kind kind = kFrame;
  Epoch epoch;
  Incarnation incarnation;
  Position end;  // input position after the epoch
  Counters counters;
  uint32_t part = 0;
  bool last_part = true;
  std::string_view deltas;  // (operator, sized bytes) …; borrowed
};

inline constexpr size_t kChangelogPartBytes = 4u << 20;
inline constexpr size_t kChangelogHeaderBytes = 128;

// Records of at most `part_bytes` of deltas for one frame or snapshot; at least one, however empty. Errors:
// one delta alone is larger; it names the operator, by its number from 1.
Result<std::vector<std::string>> encode_changelog(ChangelogRecord record, std::string_view deltas,
                                                  size_t part_bytes = kChangelogPartBytes);
Result<ChangelogRecord> decode_changelog(std::string_view value);
// Calls `each(operator index, delta)`; stops at the first error.
Status for_each_delta(std::string_view deltas, const std::function<Status(uint32_t, std::string_view)>& each);

class Changelog {
 public:
  virtual ~Changelog() = default;
  // The largest record that it takes; encode_changelog makes none larger than its part_bytes and
  // kChangelogHeaderBytes.
  virtual size_t max_record_bytes() const = 0;
  // Appends records to the input partition's changelog; durable after the next sync().
  virtual Status append(const TopicPartition& source, const std::vector<std::string>& records) = 0;
  virtual Status sync() = 0;
  // Reads from the first kept record to the end that is there now, committed ones only.
  virtual Status read(const TopicPartition& source,
                      const std::function<Status(int64_t at, std::string_view value)>& each) = 0;
  // The end: a position that later records are at or after.
  virtual Result<int64_t> end(const TopicPartition& source) = 0;
  // Records before `at` are needed no more.
  virtual Status truncate_before(const TopicPartition& source, int64_t at) = 0;
};

}  // namespace tidemill::pipeline
