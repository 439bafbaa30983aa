#include "log/repaired.h"

#include <algorithm>

#include "log/checkpoints.h"

namespace tidemill::log {

void RepairedOffsets::add(Offset from, Offset to) {
  if (to <= from) return;
  ranges_.emplace_back(from, to);
  std::sort(ranges_.begin(), ranges_.end());
  std::vector<std::pair<Offset, Offset>> merged;
  for (const auto& range : ranges_) {
    if (merged.empty() || merged.back().second < range.first) {
      merged.push_back(range);
    } else {
      merged.back().second = std::max(merged.back().second, range.second);
    }
  }
  ranges_ = std::move(merged);
}

bool RepairedOffsets::cover(Offset from, Offset to) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const auto& range) { return range.first <= from && to <= range.second; });
}

Result<RepairedOffsets> RepairedOffsets::load(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto lines, read_checkpoint(files, path, 2));
  RepairedOffsets repaired;
  for (const auto& line : lines) {
    std::optional<int64_t> from = parse_integer(line[0]);
    std::optional<int64_t> to = parse_integer(line[1]);
    if (!from || !to || *from < 0 || *to <= *from) {
      return external_error(path + ": not lines of a first offset and the one behind the last",
                            Code::kCorrupt);
    }
    repaired.add(Offset(*from), Offset(*to));
  }
  return repaired;
}

Status RepairedOffsets::save(FileSystem& files, const std::string& path) const {
  std::vector<std::vector<std::string>> lines;
  for (const auto& [from, to] : ranges_) {
    lines.push_back({std::to_string(from.value()), std::to_string(to.value())});
  }
  return write_checkpoint(files, path, lines);
}

}  // namespace tidemill::log
