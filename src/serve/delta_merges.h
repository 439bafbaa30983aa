// Which small files of a Delta table are merged next: a decision from the files alone, without I/O.
//
// A file is small below `target_bytes`. While a table grows, the smallest files of a partition are merged
// where they are enough to make a whole one, or many and alike in size: each merge of those doubles the
// largest of them at least, so that a row is written again about log2(target / size of all `fewest_files`)
// times, and few small files stay. What stays is merged when the partition is quiet, or when it is asked for,
// down to one.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "serve/delta_actions.h"

namespace tidemill::serve {

struct DeltaMergeRules {
  int64_t target_bytes = 128ll << 20;
  size_t fewest_files = 16;
  // A partition is quiet when its newest small file is so old; longer, up to a day, where one file is larger
  // than all others together, and would be written again for little.
  int64_t quiet_us = 600'000'000;
  bool all = false;  // partitions need not be quiet
};

// Two files or more of one partition; none: nothing is worth it now. `passed_over`: paths of files that stay
// as they are; `only`: where given, all others do, too. `now_ms`: since 1970 UTC.
std::vector<DeltaAdd> choose_merge(const std::map<std::string, DeltaAdd>& files, const DeltaMergeRules& rules,
                                   int64_t now_ms, const std::set<std::string>& passed_over,
                                   const std::set<std::string>* only = nullptr);

}  // namespace tidemill::serve
