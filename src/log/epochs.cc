#include "log/epochs.h"

#include "log/checkpoints.h"

namespace tidemill::log {

bool LeaderEpochs::assign(LeaderEpoch epoch, Offset start) {
  if (!entries_.empty() && entries_.back().epoch >= epoch) return false;
  while (!entries_.empty() && entries_.back().start >= start) entries_.pop_back();
  entries_.push_back({epoch, start});
  return true;
}

void LeaderEpochs::truncate_from_end(Offset end) {
  while (!entries_.empty() && entries_.back().start >= end) entries_.pop_back();
}

void LeaderEpochs::truncate_from_start(Offset start) {
  size_t below = 0;
  while (below < entries_.size() && entries_[below].start <= start) ++below;
  if (below == 0) return;
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<ptrdiff_t>(below - 1));
  entries_.front().start = start;
}

std::optional<LeaderEpoch> LeaderEpochs::latest() const {
  if (entries_.empty()) return std::nullopt;
  return entries_.back().epoch;
}

std::optional<LeaderEpoch> LeaderEpochs::epoch_of(Offset offset) const {
  if (entries_.empty()) return std::nullopt;
  for (size_t i = entries_.size(); i-- > 0;) {
    if (entries_[i].start <= offset) return entries_[i].epoch;
  }
  return entries_.front().epoch;
}

Offset LeaderEpochs::end_of(LeaderEpoch epoch, Offset log_end) const {
  for (const Entry& entry : entries_) {
    if (entry.epoch > epoch) return entry.start;
  }
  return log_end;
}

Result<LeaderEpochs> LeaderEpochs::load(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto lines, read_checkpoint(files, path, 2));
  LeaderEpochs epochs;
  for (const auto& line : lines) {
    std::optional<int64_t> epoch = parse_integer(line[0]);
    std::optional<int64_t> start = parse_integer(line[1]);
    bool fits = epoch && start && *epoch >= 0 && *epoch <= INT32_MAX && *start >= 0;
    if (!fits || !epochs.assign(LeaderEpoch(static_cast<int32_t>(*epoch)), Offset(*start))) {
      return external_error(path + ": not a list of rising epochs", Code::kCorrupt);
    }
  }
  return epochs;
}

Status LeaderEpochs::save(FileSystem& files, const std::string& path) const {
  std::vector<std::vector<std::string>> lines;
  for (const Entry& entry : entries_) {
    lines.push_back({std::to_string(entry.epoch.value()), std::to_string(entry.start.value())});
  }
  return write_checkpoint(files, path, lines);
}

}  // namespace tidemill::log
