// The verifier's own reader of the files and Parquet sinks' journal (docs/formats/files.md): which files are
// committed, and up to where.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace tidemill::verify {

// The newest file of a chain.
struct JournalFile {
  int64_t start = 0;
  uint64_t length_bytes = 0;  // committed
  uint32_t crc32c = 0;        // of those bytes
  bool closed = false;
};
// A Parquet file that came with its epoch.
struct JournalWholeFile {
  std::string name;  // below the sink's directory
  uint64_t size_bytes = 0;
};
struct JournalState {
  std::optional<JournalFile> rows;
  std::vector<JournalWholeFile> files;  // of the newest epoch
  std::optional<JournalFile> dead;
};
// By topic and partition.
using JournalStates = std::map<std::pair<std::string, int32_t>, JournalState>;

// The folder of a partition's files: what is not a letter, a digit, '.', '_' or '-' of the topic is %XX, as
// is a first '.'.
std::string partition_folder(std::string_view topic, int32_t partition);

// The states after the last whole record; a torn one at the end was never committed. Errors: kCorrupt.
Result<JournalStates> read_journal(std::string_view bytes);

}  // namespace tidemill::verify
