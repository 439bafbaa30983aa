// From the text of a solution file to a Solution, with every problem at once.
#pragma once

#include <optional>
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
  std::string written = {};      // the path as the user wrote it; empty: as it is
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
  // Which of the file's `targets`; empty: none, the file as it stands; absent: kDefaultTarget if there is
  // one, else none.
  std::optional<std::string> target = {};
};
inline constexpr std::string_view kDefaultTarget = "embedded";

// A setting as it is in force.
struct ShownSetting {
  std::string path;    // "process.2.dedup.last"
  std::string value;   // "***" where it is a secret
  std::string origin;  // "default", "relay.yaml:12", "relay.yaml:40, size 10", "--set", "as event.key"
};

// One of the file's `targets`, `variants` or `sizes`.
struct Preset {
  std::string name;
  std::string settings;  // "simulate.rate 1000, simulate.instances 1"
};

struct Loaded {
  Solution solution;
  std::string file;
  std::string target, variant, size;             // in force; empty: none
  std::vector<Preset> targets, variants, sizes;  // that the file has
  // What the file reads and serves without any target.
  SourceKind file_ingest = SourceKind::kLog;
  SinkKind file_serve = SinkKind::kNull;
  std::vector<ShownSetting> settings;
};

// Precedence, from weak to strong: default, file, target, variant, size, overrides. Errors: kUser, kInvalid;
// the message holds one line for each problem ("file:line: path: what is wrong; what would be right"). Pure
// but for the environment. Targets, variants and sizes that were not chosen are checked too.
Result<Loaded> load_solution(const LoadRequest& request);

// Whether it needs nothing but this program: what it is where its file has no `targets`.
bool is_embedded(const Solution& solution);
// "log in in place of Kafka", for the source and the sink: of what `replaces` says, and of what a target
// changed.
std::vector<std::string> replacements(const Loaded& loaded);

// For a terminal: one line a setting.
std::string show_text(const Loaded& loaded);
// {"solution": …, "file": …, "size": …, "settings": [{"path": …, "value": …, "origin": …}]}
std::string show_json(const Loaded& loaded);

}  // namespace tidemill::solution
