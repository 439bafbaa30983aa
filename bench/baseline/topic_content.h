// What a topic's files hold, read by code of the benchmarks' own: every answer is checked by it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace baseline {

// Sums, so that they do not depend on the order of partitions.
struct Content {
  uint64_t records = 0;
  uint64_t bytes = 0;   // of values
  uint64_t values = 0;  // sum of the XXH3 of every value
  void add(std::string_view value);
  bool operator==(const Content&) const = default;
};

// The records of one batch, as they are.
void add_batch(const std::string& batch, Content* content);

// The *.log files of a partition's directory, in offset order.
std::vector<std::string> segment_files(const std::string& directory);

// Reads every batch that is not a control batch; wrong checksums and offsets that do not rise end the
// program. Values are taken without the members enqueuedAt and processedAt at their end where `spliced`.
Content read_topic(const std::vector<std::string>& partitions, bool spliced);

}  // namespace baseline
