#include "solution/bind.h"

#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "solution/fields.h"

namespace tidemill::solution {
namespace {

// After so many problems nobody reads on, and looking for near names would cost time.
constexpr size_t kEnough = 1000;

std::string settings_of(std::string_view section) {
  return join(names_in(section), ", ");
}

// Whether a node can be the value of a setting, other than a section's.
bool is_value(const YamlNode& node) {
  return node.kind == YamlNode::kScalar || !node.text.empty();
}

std::string preset_suffix(const Place& place) {
  return place.preset.empty() ? "" : ", " + place.preset;
}

}  // namespace

void Binder::bind_file(const YamlNode& root) {
  if (root.kind != YamlNode::kMap) {
    problems_.at_line(std::max(root.line, 1), {},
                      root.kind == YamlNode::kNothing ? "the file is empty; give at least event and serve"
                                                      : "the file is " + std::string(root.kind_name()) +
                                                            "; give a map of settings, as name: relay");
    return;
  }
  for (const YamlEntry& entry : root.entries) {
    if (problems_.size() > kEnough) return;
    if (entry.key == "process") {
      bind_process(entry);
    } else if (entry.key == "sizes") {
      bind_presets(entry, "size", &draft_.sizes);
    } else if (entry.key == "variants") {
      bind_presets(entry, "variant", &draft_.variants);
    } else if (entry.key == "targets") {
      bind_presets(entry, "target", &draft_.targets);
    } else {
      bind_entry({"", "", whole()}, entry);
    }
  }
}

void Binder::bind_entry(const Section& section, const YamlEntry& entry) {
  std::string path = join_name(section.in_table, entry.key);
  std::string shown = join_name(section.shown, entry.key);
  const Setting* setting = find_setting(path);
  bool below = is_section(path) && !entry.key.empty();
  if (below) draft_.sections.try_emplace(shown, entry.line);
  if (path == "simulate") draft_.solution.simulate.enabled = true;
  if (path == "serve" || path == "ingest") {
    bind_choice_section(section, entry);
  } else if (below) {
    const Setting* shorthand = shorthand_of(path);
    bool short_form = shorthand != nullptr &&
                      (is_value(entry.value) ||
                       (entry.value.kind == YamlNode::kList && shorthand->type == ValueType::kList));
    if (short_form) {
      give(*shorthand, section, entry.value, in_file(entry.line));
    } else {
      bind_section({path, shown, section.target}, entry.value);
    }
  } else if (setting != nullptr) {
    give(*setting, section, entry.value, in_file(entry.line));
  } else {
    unknown(section, entry.key, in_file(entry.line));
  }
}

// `serve` and `ingest`: the name of one of their sections, or a map with exactly one of them.
void Binder::bind_choice_section(const Section& section, const YamlEntry& entry) {
  const Setting& choice = *find_setting(entry.key);
  if (is_value(entry.value)) {
    give(choice, section, entry.value, in_file(entry.line));
    return;
  }
  const YamlEntry* first = nullptr;
  if (entry.value.kind != YamlNode::kMap || entry.value.entries.empty()) {
    problems_.at_line(entry.line, entry.key, "is empty; give " + choice.expected());
    return;
  }
  for (const YamlEntry& kind : entry.value.entries) {
    bool known = std::find(choice.choices.begin(), choice.choices.end(), kind.key) != choice.choices.end();
    if (known && first != nullptr) {
      problems_.at_line(kind.line, join_name(entry.key, kind.key),
                        "stands beside " + join_name(entry.key, first->key) + " (line " +
                            std::to_string(first->line) + "); keep exactly one of them");
      continue;
    }
    if (known) {
      first = &kind;
      YamlNode name;
      name.kind = YamlNode::kScalar;
      name.text = kind.key;
      give(choice, section, name, in_file(kind.line));
    }
    bind_entry({entry.key, entry.key, section.target}, kind);
  }
}

void Binder::bind_section(const Section& section, const YamlNode& node) {
  if (node.kind == YamlNode::kMap) {
    for (const YamlEntry& entry : node.entries) {
      if (problems_.size() > kEnough) return;
      bind_entry(section, entry);
    }
  } else if (node.kind != YamlNode::kNothing || !node.text.empty()) {
    problems_.at_line(node.line, section.shown,
                      "is " + std::string(node.kind_name()) +
                          " where a map of settings is expected; its settings are " +
                          settings_of(section.in_table));
  }
}

void Binder::bind_process(const YamlEntry& entry) {
  draft_.sections.try_emplace("process", entry.line);
  if (entry.value.kind == YamlNode::kNothing) return;
  if (entry.value.kind != YamlNode::kList) {
    problems_.at_line(entry.line, "process",
                      "is " + std::string(entry.value.kind_name()) +
                          "; give a list of operators, each with a dash: - dedup");
    return;
  }
  for (size_t i = 0; i < entry.value.items.size(); ++i) bind_step(entry.value.items[i], i + 1);
}

void Binder::bind_step(const YamlNode& item, size_t number) {
  std::string path = "process." + std::to_string(number);
  const std::vector<std::string>& names = operator_names();
  bool map = item.kind == YamlNode::kMap && item.entries.size() == 1;
  if (!map && item.kind != YamlNode::kScalar) {
    problems_.at_line(item.line, path,
                      "is not one operator; give one of " + join(names, ", ") + ", as - dedup: {last: 100}");
    return;
  }
  const std::string& name = map ? item.entries[0].key : item.text;
  auto known = std::find(names.begin(), names.end(), name);
  if (known == names.end()) {
    problems_.at_line(item.line, path,
                      "no operator is called " + name.substr(0, kMaxCited) + "; give one of " +
                          join(names, ", ") + did_you_mean(name, names));
    return;
  }
  OperatorConfig step;
  step.kind = static_cast<OperatorKind>(known - names.begin());
  step.line = item.line;
  draft_.solution.process.push_back(std::move(step));
  draft_.step_numbers.push_back(number);
  draft_.sections.try_emplace(path, item.line);
  if (map) {
    Target target{&draft_.solution, &draft_.solution.process.back()};
    bind_entry({"process", path, target}, item.entries[0]);
  }
}

void Binder::replace_process(const YamlEntry& entry) {
  draft_.solution.process.clear();
  draft_.step_numbers.clear();
  const auto is_step = [](const auto& one) { return one.first.starts_with("process"); };
  std::erase_if(draft_.origins, is_step);
  std::erase_if(draft_.sections, is_step);
  bind_process(entry);
}

void Binder::bind_presets(const YamlEntry& entry, const std::string& what, std::vector<PresetDraft>* into) {
  const std::string all = what + "s";
  if (entry.value.kind != YamlNode::kMap) {
    problems_.at_line(entry.line, all,
                      "give a map of " + all + ", as " +
                          (what == "size"     ? "10: {simulate.rate: 10000}"
                           : what == "target" ? "embedded: {ingest: log, serve: duckdb}"
                                              : "small: {event.max_bytes: 1KiB}"));
    return;
  }
  for (const YamlEntry& size : entry.value.entries) {
    std::string path = all + "." + size.key;
    bool plain = !size.key.empty() && size.key.size() <= 20 &&
                 size.key.find_first_not_of(
                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == std::string::npos;
    if (!plain) {
      problems_.at_line(size.line, path,
                        "a " + what + "'s name has letters and digits only; give one as 10 or max");
    } else if (size.value.kind == YamlNode::kMap) {
      into->push_back({size.key, size.line, size.value.entries});
    } else if (size.value.kind == YamlNode::kNothing) {
      into->push_back({size.key, size.line, {}});
    } else {
      problems_.at_line(size.line, path,
                        "give a map of settings by their whole paths, as simulate.rate: 10000");
    }
  }
}

void Binder::give(const Setting& setting, const Section& in, const YamlNode& node, const Place& place) {
  // Steps are numbered in the file, not in the table.
  std::string path = in.shown + setting.path.substr(in.in_table.size());
  auto before = draft_.origins.find(path);
  if (before != draft_.origins.end() && place.option.empty() && place.preset.empty()) {
    problems_.at_line(place.line, path,
                      "is given a second time (first in line " + std::to_string(before->second.place.line) +
                          "); keep one of them");
    return;
  }
  if (setting.type == ValueType::kFields) {
    give_fields(setting, in, path, node);
    return;
  }
  Origin origin;
  origin.place = place;
  origin.text = place.option.empty()
                    ? problems_.file() + ":" + std::to_string(place.line) + preset_suffix(place)
                    : place.option.substr(0, place.option.find(' '));
  Given given;
  if (!read_texts(setting, path, node, place, given, origin)) return;
  static const std::string kHidden = "***";
  std::optional<std::string> wrong = setting.set(in.target, given, origin.hidden ? &kHidden : nullptr);
  if (wrong) {
    report_at(problems_, place, path, *wrong);
  } else {
    draft_.origins[path] = std::move(origin);
  }
}

void Binder::give_fields(const Setting& setting, const Section& in, const std::string& shown,
                         const YamlNode& node) {
  if (node.kind != YamlNode::kMap && node.kind != YamlNode::kList) {
    problems_.at_line(node.line, shown, "give " + setting.expected());
    return;
  }
  std::get<FieldsAccess>(setting.access).at(in.target) =
      read_fields(node, [&](int line, const std::string& below, std::string message) {
        problems_.at_line(line, below.empty() ? shown : shown + "." + below, std::move(message));
      });
  draft_.origins[shown] =
      Origin{in_file(node.line), problems_.file() + ":" + std::to_string(node.line), false};
}

bool Binder::read_texts(const Setting& setting, const std::string& shown, const YamlNode& node,
                        const Place& place, Given& given, Origin& origin) {
  bool list = setting.type == ValueType::kList;
  bool pairs = setting.type == ValueType::kPairs;
  auto wrong_kind = [&](const YamlNode& found) {
    std::string fallback = setting.derived.empty() ? default_text(setting) : setting.derived;
    std::string message = found.kind == YamlNode::kNothing
                              ? "has no value; give " + setting.expected() +
                                    (fallback == "required" ? "" : "; without the line it is: " + fallback)
                              : "is " + std::string(found.kind_name()) + ", not " + setting.noun() +
                                    "; give " + setting.expected();
    report_at(problems_, place, shown, std::move(message));
    return false;
  };
  if (pairs) {
    if (node.kind != YamlNode::kMap) return wrong_kind(node);
    for (const YamlEntry& entry : node.entries) {
      if (entry.value.kind != YamlNode::kScalar) return wrong_kind(entry.value);
      std::optional<std::string> text = read_text(setting, shown, entry.value, place, origin);
      if (!text) return false;
      given.pairs.emplace_back(entry.key, std::move(*text));
    }
    return true;
  }
  bool many = list && node.kind == YamlNode::kList;
  if (!many &&
      !(node.kind == YamlNode::kScalar || (node.kind == YamlNode::kNothing && setting.path == "serve"))) {
    return wrong_kind(node);
  }
  for (const YamlNode& item : node.items) {
    if (item.kind != YamlNode::kScalar) return wrong_kind(item);
    std::optional<std::string> text = read_text(setting, shown, item, place, origin);
    if (!text) return false;
    given.items.push_back(std::move(*text));
  }
  if (!many) {
    std::optional<std::string> text = read_text(setting, shown, node, place, origin);
    if (!text) return false;
    given.items.push_back(std::move(*text));
  }
  return true;
}

std::optional<std::string> Binder::read_text(const Setting& setting, const std::string& shown,
                                             const YamlNode& node, const Place& place, Origin& origin) {
  origin.hidden = origin.hidden || setting.secret;
  // The shell has already put in what it knows.
  if (setting.verbatim || !place.option.empty()) return node.text;
  Result<Substituted> result = substitute(node.text, environment_);
  if (!result.ok()) {
    report_at(problems_, place, shown, result.error().message);
    return std::nullopt;
  }
  for (const std::string& name : result->names) origin.text += ", ${" + name + "}";
  if (result->secret) {
    origin.hidden = true;
    problems_.hide(result->text);
  }
  return std::move(result->text);
}

void Binder::unknown(const Section& section, const std::string& name, const Place& place) {
  std::vector<std::string> names = names_in(section.in_table);
  std::string cited = name.substr(0, kMaxCited);
  std::string hint = did_you_mean(name, names);
  std::vector<std::string> elsewhere = paths_named(name);
  if (hint.empty() && !elsewhere.empty()) hint = "; did you mean " + join(elsewhere, " or ") + "?";
  if (hint.empty()) hint = names.empty() ? "; remove it" : "; there are " + join(names, ", ");
  report_at(problems_, place, join_name(section.shown, cited), "no such setting" + hint);
}

}  // namespace tidemill::solution
