// The verifier's own reader of the files sink's journal (docs/formats/files.md): which files are committed,
// and up to where.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace tidemill::verify {

// The newest file of a chain.
struct JournalFile {
  int64_t start = 0;
  uint64_t length_bytes = 0;  // committed
  uint32_t crc32c = 0;        // of those bytes
  bool closed = false;
};
struct JournalState {
  std::optional<JournalFile> rows;
  std::optional<JournalFile> dead;
};
// By topic and partition.
using JournalStates = std::map<std::pair<std::string, int32_t>, JournalState>;

// The states after the last whole record; a torn one at the end was never committed. Errors: kCorrupt.
Result<JournalStates> read_journal(std::string_view bytes);

}  // namespace tidemill::verify
