#include "solution/draft.h"

namespace tidemill::solution {

bool Draft::is_elsewhere(const std::string& choice, const std::string& kind) const {
  if (targets.empty()) return false;
  // What the file itself says; its targets come later.
  if (choice == "ingest" && source_names()[static_cast<size_t>(file_ingest)] == kind) return true;
  if (choice == "serve" && sink_names()[static_cast<size_t>(file_serve)] == kind) return true;
  for (const PresetDraft& target : targets) {
    for (const YamlEntry& entry : target.settings) {
      if (entry.key == choice && entry.value.text == kind) return true;
    }
  }
  return false;
}

void Draft::derived(const std::string& path, const std::string& from) {
  origins.try_emplace(path, Origin{{}, from, false});
}

std::vector<std::string> names_of(const std::vector<PresetDraft>& presets) {
  std::vector<std::string> names;
  for (const PresetDraft& preset : presets) names.push_back(preset.name);
  return names;
}

void Draft::report(Problems& problems, const std::string& path, std::string message) const {
  Place place{1, {}, {}};
  for (std::string around = path; !around.empty();) {
    auto origin = origins.find(around);
    if (origin != origins.end() && (origin->second.place.line > 0 || !origin->second.place.option.empty())) {
      place = origin->second.place;
      break;
    }
    if (auto section = sections.find(around); section != sections.end()) {
      place.line = section->second;
      break;
    }
    size_t dot = around.rfind('.');
    around.resize(dot == std::string::npos ? 0 : dot);
  }
  report_at(problems, place, path, std::move(message));
}

void report_at(Problems& problems, const Place& place, std::string path, std::string message) {
  if (place.option.empty()) {
    problems.at_line(place.line, std::move(path), std::move(message));
  } else {
    problems.at_option(place.option, std::move(path), std::move(message));
  }
}

std::string step_path(const Draft& draft, size_t index) {
  auto kind = static_cast<size_t>(draft.solution.process[index].kind);
  return "process." + std::to_string(draft.step_numbers[index]) + "." + operator_names()[kind];
}

std::string join_name(std::string_view section, std::string_view name) {
  return section.empty() ? std::string(name) : std::string(section) + "." + std::string(name);
}

}  // namespace tidemill::solution
