// YAML text as a tree of nodes with their lines. Made for files that people write: one document, text
// keys, no key twice; aliases are expanded within a bound. What a scalar means (a number, a switch, a
// name) is for the setting that it is given to, so `on`, `007` and `1e3` stay the text that they are.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "solution/problem.h"

namespace tidemill::solution {

struct YamlEntry;

struct YamlNode {
  enum Kind { kNothing, kScalar, kList, kMap };
  Kind kind = kNothing;
  std::string text;  // of a scalar; of a plain `null` or `~` (kNothing) as it stands; else empty
  int line = 0;      // from 1
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  // in the file's order

  const YamlNode* find(std::string_view key) const;  // null: absent, or not a map
  // "a list", "a map", "text", "nothing".
  std::string_view kind_name() const;
};

struct YamlEntry {
  std::string key;
  int line = 0;
  YamlNode value;
};

inline constexpr size_t kMaxYamlBytes = 1 << 20;
inline constexpr size_t kMaxYamlNodes = 50'000;  // after aliases are expanded
inline constexpr int kMaxYamlDepth = 32;

// The document's root; nothing of it where `problems` gained some that leave no tree (wrong syntax,
// limits). Never throws; bounded time and memory whatever the text.
YamlNode parse_yaml(std::string_view text, Problems& problems);

}  // namespace tidemill::solution
