// A solution while its file is being read: the values, where each came from, and the way back from a
// setting to its place. Internal to loading.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "solution/config.h"
#include "solution/problem.h"
#include "solution/settings.h"
#include "solution/yaml.h"

namespace tidemill::solution {

// Where somebody wrote something: a line of the file, or an option.
struct Place {
  int line = 0;
  std::string option;  // "--set simulate.rate=5"; empty: the file
  std::string preset;  // "size 10", "variant keep", "target local": of the file's `sizes` and its like
};

struct Origin {
  Place place;
  std::string text;     // "solutions/relay.yaml:12", "size 10 (…:40)", "--set", "as event.key"
  bool hidden = false;  // the value is a secret
};

// A target, a variant or a size.
struct PresetDraft {
  std::string name;
  int line = 0;
  std::vector<YamlEntry> settings;  // path → value; but of a size also the whole of `process`
};

struct Draft {
  Solution solution;
  // By path, steps numbered from 1: "process.2.dedup.last". What is absent has its default.
  std::map<std::string, Origin> origins;
  std::map<std::string, int> sections;  // lines of the sections that the file has
  std::vector<PresetDraft> targets, variants, sizes;
  SourceKind file_ingest = SourceKind::kLog;  // before any target
  SinkKind file_serve = SinkKind::kNull;
  // Of solution.process, their numbers in the file: what is no operator there is left out here.
  std::vector<size_t> step_numbers;

  // Whether the file, under some target, reads or serves this: "ingest", "kafka".
  bool is_elsewhere(const std::string& choice, const std::string& kind) const;
  bool given(const std::string& path) const { return origins.contains(path); }
  bool has_section(const std::string& path) const { return sections.contains(path); }
  // A default that follows from something else; kept if the setting was given.
  void derived(const std::string& path, const std::string& from);
  // Reports at the setting's own place, or at the nearest section around it.
  void report(Problems& problems, const std::string& path, std::string message) const;
};

void report_at(Problems& problems, const Place& place, std::string path, std::string message);

std::vector<std::string> names_of(const std::vector<PresetDraft>& presets);

// "process.2.dedup": the step at `index` of solution.process.
std::string step_path(const Draft& draft, size_t index);
std::string join_name(std::string_view section, std::string_view name);

}  // namespace tidemill::solution
