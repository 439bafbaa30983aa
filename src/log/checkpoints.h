// Kafka's checkpoint files: text, "0", the number of lines, then the lines, words apart by spaces.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "event/position.h"
#include "log/format.h"

namespace tidemill::log {

// Every line has `words` words. A missing file has no lines. Errors: kCorrupt.
Result<std::vector<std::vector<std::string>>> read_checkpoint(FileSystem& files, const std::string& path,
                                                              size_t words);
// Atomically and durably.
Status write_checkpoint(FileSystem& files, const std::string& path,
                        const std::vector<std::vector<std::string>>& lines);

// "topic partition offset" lines.
using OffsetMap = std::map<TopicPartition, Offset>;
Result<OffsetMap> read_offset_checkpoint(FileSystem& files, const std::string& path);
Status write_offset_checkpoint(FileSystem& files, const std::string& path, const OffsetMap& offsets);

}  // namespace tidemill::log
