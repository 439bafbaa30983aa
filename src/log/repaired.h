// Which offsets of a partition repair cut: the only gaps that its segments may have.
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

}  // namespace tidemill::log
