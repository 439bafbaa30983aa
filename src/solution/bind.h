// From nodes of YAML, or one text of an option, to the values of a Draft. Internal to loading.
#pragma once

#include <string>
#include <string_view>

#include "solution/draft.h"
#include "solution/environment.h"

namespace tidemill::solution {

// Collects every problem and goes on: a value that is wrong keeps its default.
class Binder {
 public:
  Binder(Draft& draft, Problems& problems, const Environment& environment)
      : draft_(draft), problems_(problems), environment_(environment) {}

  // The whole file.
  void bind_file(const YamlNode& root);
  // One setting of `targets`, `variants` or `sizes`, or of an option: "process.dedup.last" is the only
  // dedup's, "process.2.dedup.last" the second operator's. `value` is a text or a list.
  void bind_path(const std::string& path, const YamlNode& value, const Place& place);
  // All steps anew.
  void replace_process(const YamlEntry& entry);

 private:
  // A section of settings: `in_table` is its path there, `shown` in the file (steps are numbered).
  struct Section {
    std::string in_table;
    std::string shown;
    Target target;
  };

  void bind_entry(const Section& section, const YamlEntry& entry);
  void bind_section(const Section& section, const YamlNode& node);
  void bind_process(const YamlEntry& entry);
  void bind_step(const YamlNode& item, size_t number);
  void bind_presets(const YamlEntry& entry, const std::string& what, std::vector<PresetDraft>* into);
  void bind_choice_section(const Section& section, const YamlEntry& entry);
  void give(const Setting& setting, const Section& in, const YamlNode& node, const Place& place);
  void give_fields(const Setting& setting, const Section& in, const std::string& shown, const YamlNode& node);
  bool read_texts(const Setting& setting, const std::string& shown, const YamlNode& node, const Place& place,
                  Given& given, Origin& origin);
  std::optional<std::string> read_text(const Setting& setting, const std::string& shown, const YamlNode& node,
                                       const Place& place, Origin& origin);
  void unknown(const Section& section, const std::string& name, const Place& place);
  // The operator and the path in the table of "process.…"; false after reporting.
  bool resolve_step(const std::string& path, const Place& place, Section& section, std::string& rest);
  bool applies(const std::string& path, const Place& place);
  bool belongs_elsewhere(const std::string& path, const Place& place) const;
  const std::string& kind_in_force(const std::string& choice) const;  // of `ingest` or `serve`

  Target whole() { return {&draft_.solution, nullptr}; }
  Place in_file(int line) const { return {line, {}, {}}; }

  Draft& draft_;
  Problems& problems_;
  const Environment& environment_;
};

}  // namespace tidemill::solution
