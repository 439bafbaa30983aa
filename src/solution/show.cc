// Every value in force, and where it came from.
#include "solution/show.h"

#include <algorithm>

#include "event/json_splice.h"
#include "solution/draft.h"
#include "solution/load.h"

namespace tidemill::solution {

namespace {

bool is_shown(const Setting& setting, const Solution& solution) {
  const std::string& path = setting.path;
  if (path.starts_with("process.")) return false;  // shown step by step
  if (path == "replaces.ingest") return !solution.replaces.ingest.empty();
  if (path == "replaces.serve") return !solution.replaces.serve.empty();
  if (path.starts_with("simulate.")) return solution.simulate.enabled;
  if (path.starts_with("ingest.")) {
    return path.starts_with("ingest." + source_names()[static_cast<size_t>(solution.ingest.kind)] + ".");
  }
  if (path.starts_with("serve.")) {
    return path.starts_with("serve." + sink_names()[static_cast<size_t>(solution.serve.kind)] + ".");
  }
  bool telemetry = solution.event.builtin == "telemetry";
  if (path.starts_with("event.complex_")) return telemetry;
  if (path == "event.schema") return !solution.event.builtin.empty();
  if (path == "event.fields") return solution.event.builtin.empty();
  return true;
}

ShownSetting shown(const Setting& setting, const std::string& path, Target target, const Draft& draft) {
  ShownSetting line{path, setting.get(target), "default"};
  if (auto found = draft.origins.find(path); found != draft.origins.end()) {
    line.origin = found->second.text;
    if (found->second.hidden) line.value = "***";
  }
  if (setting.secret) line.value = "***";
  return line;
}

void show_steps(Draft& draft, std::vector<ShownSetting>& lines) {
  for (size_t i = 0; i < draft.solution.process.size(); ++i) {
    OperatorConfig& step = draft.solution.process[i];
    std::string in_table = "process." + operator_names()[static_cast<size_t>(step.kind)] + ".";
    for (const Setting& setting : all_settings()) {
      if (!setting.path.starts_with(in_table)) continue;
      std::string path = step_path(draft, i) + "." + setting.path.substr(in_table.size());
      lines.push_back(shown(setting, path, {&draft.solution, &step}, draft));
    }
  }
}

std::string one_line(std::string text) {
  for (size_t at = 0; (at = text.find('\n', at)) != std::string::npos;) text.replace(at, 1, "\\n");
  return text;
}

size_t width(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string top_section(const std::string& path) {
  return path.substr(0, path.find('.'));
}

void append_member(std::string& json, std::string_view name, std::string_view value) {
  append_json_string(name, &json);
  json += ':';
  append_json_string(value, &json);
}

}  // namespace

std::vector<ShownSetting> shown_settings(Draft& draft) {
  std::vector<ShownSetting> lines;
  bool steps = false;
  for (const Setting& setting : all_settings()) {
    if (setting.path.starts_with("process.") && !steps) {
      steps = true;
      show_steps(draft, lines);
    }
    if (is_shown(setting, draft.solution)) {
      lines.push_back(shown(setting, setting.path, {&draft.solution, nullptr}, draft));
    }
  }
  return lines;
}

std::string show_text(const Loaded& loaded) {
  constexpr size_t kWidestValue = 40;
  size_t path_width = 0, value_width = 0;
  for (const ShownSetting& line : loaded.settings) {
    path_width = std::max(path_width, width(line.path));
    size_t value = width(one_line(line.value));
    if (value <= kWidestValue) value_width = std::max(value_width, value);
  }
  std::string text = loaded.file + (loaded.target.empty() ? "" : ", target " + loaded.target) +
                     (loaded.variant.empty() ? "" : ", variant " + loaded.variant) +
                     (loaded.size.empty() ? "" : ", size " + loaded.size) + "\n";
  std::string section;
  for (const ShownSetting& line : loaded.settings) {
    if (top_section(line.path) != section && line.path.find('.') != std::string::npos) text += '\n';
    section = top_section(line.path);
    std::string value = line.value.empty() ? "-" : one_line(line.value);
    text += line.path + std::string(path_width - width(line.path) + 2, ' ') + value;
    text += std::string(value_width > width(value) ? value_width - width(value) + 2 : 2, ' ') + line.origin +
            "\n";
  }
  return text;
}

std::string show_json(const Loaded& loaded) {
  std::string json = "{";
  append_member(json, "solution", loaded.solution.name);
  json += ',';
  append_member(json, "file", loaded.file);
  json += ',';
  append_member(json, "target", loaded.target);
  json += ',';
  append_member(json, "variant", loaded.variant);
  json += ',';
  append_member(json, "size", loaded.size);
  json += ",\"settings\":[";
  for (const ShownSetting& line : loaded.settings) {
    if (json.back() != '[') json += ',';
    json += '{';
    append_member(json, "path", line.path);
    json += ',';
    append_member(json, "value", line.value);
    json += ',';
    append_member(json, "origin", line.origin);
    json += '}';
  }
  return json + "]}";
}

}  // namespace tidemill::solution
