#include "serve/delta_merges.h"

#include <algorithm>

namespace tidemill::serve {
namespace {

using SmallFiles = std::vector<const DeltaAdd*>;  // of one partition, the smallest first

bool is_quiet(const SmallFiles& small, const DeltaMergeRules& rules, int64_t now_ms) {
  constexpr int64_t kLongestMs = 24ll * 3600 * 1000;
  int64_t newest_ms = 0, others = 0;
  for (const DeltaAdd* file : small) {
    newest_ms = std::max(newest_ms, file->modified_ms);
    others += file->size_bytes;
  }
  const int64_t largest = small.back()->size_bytes;
  others -= largest;
  const int64_t times = std::max<int64_t>(1, largest / std::max<int64_t>(1, others));
  const int64_t quiet_ms = rules.quiet_us / 1000;
  return now_ms - newest_ms >=
         (times > kLongestMs / std::max<int64_t>(1, quiet_ms) ? kLongestMs : quiet_ms * times);
}

// How many of the smallest are merged.
size_t worth_merging(const SmallFiles& small, const DeltaMergeRules& rules, bool all) {
  size_t most = 0;
  int64_t bytes = 0;
  for (size_t n = 0; n < small.size() && bytes < rules.target_bytes; ++n) {
    const bool alike = small[n]->size_bytes <= bytes;
    bytes += small[n]->size_bytes;
    if (all || bytes >= rules.target_bytes || (alike && n + 1 >= rules.fewest_files)) most = n + 1;
  }
  return most;
}

}  // namespace

std::vector<DeltaAdd> choose_merge(const std::map<std::string, DeltaAdd>& files, const DeltaMergeRules& rules,
                                   int64_t now_ms, const std::set<std::string>& passed_over,
                                   const std::set<std::string>* only) {
  std::map<DeltaPartition, SmallFiles> partitions;
  for (const auto& [path, file] : files) {
    const bool may = !passed_over.contains(path) && (only == nullptr || only->contains(path));
    if (may && file.size_bytes < rules.target_bytes) partitions[file.partition].push_back(&file);
  }
  for (auto& [partition, small] : partitions) {
    std::stable_sort(small.begin(), small.end(), [](const DeltaAdd* one, const DeltaAdd* other) {
      return one->size_bytes < other->size_bytes;
    });
    const size_t most = worth_merging(small, rules, rules.all || is_quiet(small, rules, now_ms));
    if (most < 2) continue;
    std::vector<DeltaAdd> chosen;
    for (size_t n = 0; n < most; ++n) chosen.push_back(*small[n]);
    return chosen;
  }
  return {};
}

}  // namespace tidemill::serve
