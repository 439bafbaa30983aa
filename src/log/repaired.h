// Which offsets of a partition repair cut, and with them the gaps that its segments may have.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "event/position.h"

namespace tidemill::log {

class RepairedOffsets {
 public:
  // Where the file is missing: none. Errors: kCorrupt.
  static Result<RepairedOffsets> load(FileSystem& files, const std::string& path);
  // Atomically and durably.
  Status save(FileSystem& files, const std::string& path) const;

  void add(Offset from, Offset to);
  // Whether every offset of [from, to) was cut.
  bool cover(Offset from, Offset to) const;

 private:
  std::vector<std::pair<Offset, Offset>> ranges_;  // [first, end), by first, apart from one another
};

// Where a batch need not continue the one before it: repair cut what stood between, or everything there was
// deleted (a log that lost its end goes on at its start).
struct Gaps {
  const RepairedOffsets& repaired;
  Offset log_start;
  bool allow(Offset from, Offset to) const { return to <= log_start || repaired.cover(from, to); }
};

}  // namespace tidemill::log
