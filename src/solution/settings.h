// Every setting of a solution file, in one table: its path, type, default, bounds and meaning, and
// where in a Solution it lives. Parsing, --set, `show`, the JSON Schema for editors and the reference in
// docs/solution-file.md are all made from it.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "solution/config.h"

namespace tidemill::solution {

enum class ValueType : uint8_t {
  kSwitch,    // true or false
  kCount,     // a whole number
  kNumber,    // a decimal number
  kRate,      // events per second
  kDuration,  // 100ms; microseconds inside
  kBytes,     // 64MiB
  kTime,      // 2026-11-21T09:00:00Z; microseconds inside
  kText,
  kChoice,  // one of a few names
  kList,    // of names
  kPairs,   // name: text
  kFields,  // the event's fields (fields.h)
};

// What a setting's value is read from and written to. `step` is the operator that a setting under
// `process` belongs to, else null.
struct Target {
  Solution* solution = nullptr;
  OperatorConfig* step = nullptr;
};

struct IntegerAccess {  // kSwitch, kCount, kDuration, kBytes, kTime, kChoice (the choice's index)
  std::function<int64_t(Target)> get;
  std::function<void(Target, int64_t)> set;
};
struct RealAccess {  // kNumber, kRate
  std::function<double(Target)> get;
  std::function<void(Target, double)> set;
};
struct TextAccess {
  std::function<std::string&(Target)> at;
};
struct ListAccess {
  std::function<std::vector<std::string>&(Target)> at;
};
struct PairsAccess {
  std::function<std::vector<std::pair<std::string, std::string>>&(Target)> at;
};
struct FieldsAccess {
  std::function<std::vector<Field>&(Target)> at;
};

// A value as somebody wrote it: one text for most types, several for a list.
struct Given {
  std::vector<std::string> items;
  std::vector<std::pair<std::string, std::string>> pairs;
};

struct Setting {
  // A word that may stand for a value: `off`, `max`, `auto`.
  struct Word {
    std::string name;
    double value;  // what it stands for; of a text, the empty one
  };

  std::string path;  // "simulate.rate"; an operator's: "process.dedup.last"
  ValueType type = ValueType::kText;
  std::string help;                  // one line
  std::string derived;               // says the default where other settings decide it
  std::vector<std::string> choices;  // of kChoice; of kList: what its items may be (empty: anything)
  std::vector<Word> words;
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
  bool verbatim = false;  // ${…} in it is not the environment's
  bool secret = false;    // its value is never printed
  std::variant<IntegerAccess, RealAccess, TextAccess, ListAccess, PairsAccess, FieldsAccess> access;

  // Stores the value, or says "what is wrong; what would be right" and stores nothing. `shown` is how the
  // message may cite the text. Precondition: type is not kFields.
  std::optional<std::string> set(Target target, const Given& given, const std::string* shown = nullptr) const;
  // The value as the file would have it.
  std::string get(Target target) const;
  // What may stand here, after "give": "a number and a unit as 100ms, 2s or 5m, or forever".
  std::string expected() const;
  // "a duration"; of a choice "one of its values".
  std::string noun() const;
  // "1 to 10000", "at least 1ms", or empty.
  std::string bounds() const;
  // A number in the setting's own notation.
  std::string format(double value) const;
};

// All of them, in the order of the reference. Made once; thread-safe.
const std::vector<Setting>& all_settings();
// Null: none of this path. Indexes of steps are not part of the path.
const Setting* find_setting(std::string_view path);
// Whether settings lie below it: "serve", "serve.duckdb", "serve.null".
bool is_section(std::string_view path);
// The last names of what lies directly in a section; "" is the whole file.
std::vector<std::string> names_in(std::string_view section);
// The whole paths of the settings whose last name this is.
std::vector<std::string> paths_named(std::string_view name);
// The setting that a section's one-word form sets (`event: telemetry`, `filter: …`), or null.
const Setting* shorthand_of(std::string_view section);
// One line about a section; empty where there is nothing to say.
std::string_view section_help(std::string_view section);

// A Solution as it is before any file is read, and its one step for each kind of operator, to take defaults
// from.
std::string default_text(const Setting& setting);

// Names of operators, sources and sinks in a file; the index is the enum's value.
const std::vector<std::string>& operator_names();
const std::vector<std::string>& source_names();
const std::vector<std::string>& sink_names();

}  // namespace tidemill::solution
