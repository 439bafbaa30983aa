// From the text of a solution file to a Solution, with every problem at once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "solution/config.h"
#include "solution/environment.h"

namespace tidemill::solution {

// A setting given beside the file; later ones win.
struct Override {
  std::string path;              // "simulate.rate", "process.dedup.last"
  std::string value;             // as the file would have it; a list as a,b
  std::string option = "--set";  // what the user wrote it with, for messages: "--rate"
};
// "simulate.rate=5000". Errors: kUser, no '='.
Result<Override> parse_set(std::string_view text);

struct LoadRequest {
  std::string file;  // as messages name it
  std::string text;
  // Which of the file's `sizes`; empty: the size 1 if there is one, else none.
  std::string size;
  std::vector<Override> overrides;
  Environment environment = process_environment();
  // Which of the file's `variants`; empty: none.
  std::string variant = {};
};

// A setting as it is in force.
struct ShownSetting {
  std::string path;    // "process.2.dedup.last"
  std::string value;   // "***" where it is a secret
  std::string origin;  // "default", "relay.yaml:12", "relay.yaml:40, size 10", "--set", "as event.key"
};

struct Loaded {
  Solution solution;
  std::string file;
  std::string size, variant;                 // in force; empty: none
  std::vector<std::string> sizes, variants;  // that the file has
  std::vector<ShownSetting> settings;
};

// Precedence, from weak to strong: default, file, variant, size, overrides. Errors: kUser, kInvalid; the
// message holds one line for each problem ("file:line: path: what is wrong; what would be right"). Pure but
// for the environment. Sizes that were not chosen are checked too.
Result<Loaded> load_solution(const LoadRequest& request);

// For a terminal: one line a setting.
std::string show_text(const Loaded& loaded);
// {"solution": …, "file": …, "size": …, "settings": [{"path": …, "value": …, "origin": …}]}
std::string show_json(const Loaded& loaded);

}  // namespace tidemill::solution
