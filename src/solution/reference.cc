#include "solution/reference.h"

#include <algorithm>
#include <functional>

#include "solution/settings.h"

namespace tidemill::solution {
namespace {

// The section that a setting stands in; `serve` stands in its own, whose one-word form it is.
std::string section_of(const std::string& path) {
  if (path == "serve" || path == "ingest") return path;
  size_t dot = path.rfind('.');
  return dot == std::string::npos ? std::string() : path.substr(0, dot);
}

// A cell of a table must not hold its separator.
std::string cell(std::string text) {
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.replace(at, 1, "\\|");
  return text;
}

std::string code_list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "`" : ", `") + name + "`";
  return text;
}

std::string takes(const Setting& setting) {
  std::vector<std::string> words;
  for (const Setting::Word& word : setting.words) words.push_back(word.name);
  std::string text;
  if (!setting.choices.empty()) {
    text = (setting.type == ValueType::kList ? "list of " : "") + code_list(setting.choices);
  } else {
    Setting plain = setting;
    plain.words.clear();
    text = setting.noun();
    if (std::string bounds = plain.bounds(); !bounds.empty()) text += ", " + bounds;
  }
  if (!words.empty()) text += ", or " + code_list(words);
  return text;
}

std::string default_cell(const Setting& setting) {
  if (!setting.derived.empty()) return setting.derived;
  std::string text = default_text(setting);
  return text.empty() ? "none" : "`" + text + "`";
}

std::string row(const Setting& setting, const std::string& section) {
  bool inside = !section.empty() && setting.path != section;
  std::string name = inside ? setting.path.substr(section.size() + 1) : setting.path;
  return "| `" + name + "` | " + cell(takes(setting)) + " | " + cell(default_cell(setting)) + " | " +
         cell(setting.help) + " |\n";
}

}  // namespace

std::string settings_markdown() {
  // Sections in the table's order; what stands at the top of the file comes first.
  std::vector<std::string> sections = {""};
  for (const Setting& setting : all_settings()) {
    std::string section = section_of(setting.path);
    for (const std::string& name : {section_of(section), section}) {
      if (std::find(sections.begin(), sections.end(), name) == sections.end()) sections.push_back(name);
    }
  }
  std::string text;
  for (const std::string& section : sections) {
    if (!text.empty()) text += '\n';
    text += section.empty() ? "### At the top\n" : "### " + section + "\n";
    if (std::string_view help = section_help(section); !help.empty()) text += "\n" + std::string(help) + "\n";
    std::string rows;
    for (const Setting& setting : all_settings()) {
      if (section_of(setting.path) == section) rows += row(setting, section);
    }
    if (rows.empty()) continue;
    text += "\n| setting | takes | default | meaning |\n| --- | --- | --- | --- |\n" + rows;
  }
  return text;
}

}  // namespace tidemill::solution
