// Settings by their whole path, as `sizes` and options name them.
#include <charconv>

#include "base/text.h"
#include "solution/bind.h"

namespace tidemill::solution {
namespace {

std::vector<std::string> all_paths() {
  std::vector<std::string> paths;
  for (const Setting& setting : all_settings()) paths.push_back(setting.path);
  return paths;
}

std::vector<std::string> all_last_names() {
  std::vector<std::string> names;
  for (const Setting& setting : all_settings())
    names.push_back(setting.path.substr(setting.path.rfind('.') + 1));
  return names;
}

// "a, b" or "[a, b]" of an option, as the list that the setting takes.
YamlNode as_list(const YamlNode& node) {
  std::string_view rest = trim(node.text);
  if (rest.size() >= 2 && rest.front() == '[' && rest.back() == ']') rest = rest.substr(1, rest.size() - 2);
  YamlNode list;
  list.kind = YamlNode::kList;
  list.line = node.line;
  while (!trim(rest).empty()) {
    size_t end = std::min(rest.find(','), rest.size());
    YamlNode item;
    item.kind = YamlNode::kScalar;
    item.text = std::string(trim(rest.substr(0, end)));
    list.items.push_back(std::move(item));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return list;
}

}  // namespace

void Binder::bind_path(const std::string& path, const YamlNode& value, const Place& place) {
  Section section{"", "", whole()};
  std::string in_table = path;
  if (path.starts_with("process.")) {
    std::string rest;
    if (!resolve_step(path, place, section, rest)) return;
    in_table = "process." + rest;
  }
  const Setting* setting = find_setting(in_table);
  if (setting == nullptr) setting = shorthand_of(in_table);
  if (setting == nullptr) {
    std::string cited = path.substr(0, 80);
    if (is_section(in_table) && !path.empty()) {
      report_at(problems_, place, cited,
                "is a section; give one of its settings: " + cited + "." +
                    join(names_in(in_table), ", " + cited + "."));
    } else {
      std::string hint = did_you_mean(path, all_paths());
      // A name without its section, perhaps misspelt too.
      std::vector<std::string> named = paths_named(path);
      if (named.empty() && hint.empty()) named = paths_named(nearest_name(path, all_last_names()));
      if (!named.empty()) hint = "; did you mean " + join(named, " or ") + "?";
      report_at(problems_, place, cited,
                "no such setting" + (hint.empty() ? "; `tidemill docs settings` lists them all" : hint));
    }
    return;
  }
  if (path == "simulate") draft_.solution.simulate.enabled = true;
  if (belongs_elsewhere(setting->path, place)) {
    Draft other = draft_;
    section.target.solution = &other.solution;
    Binder(other, problems_, environment_).give(*setting, section, value, place);
    return;
  }
  if (!applies(setting->path, place)) return;
  if (setting->type == ValueType::kFields || setting->type == ValueType::kPairs) {
    report_at(problems_, place, path, "can be set in the file only; write it there");
    return;
  }
  bool text_of_list =
      setting->type == ValueType::kList && value.kind == YamlNode::kScalar && !place.option.empty();
  give(*setting, section, text_of_list ? as_list(value) : value, place);
}

// process.2.dedup.last, or process.dedup.last where there is one dedup.
bool Binder::resolve_step(const std::string& path, const Place& place, Section& section, std::string& rest) {
  std::vector<OperatorConfig>& steps = draft_.solution.process;
  rest = path.substr(std::string_view("process.").size());
  size_t number = 0;
  auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), number);
  bool numbered = error == std::errc() && end != rest.data() + rest.size() && *end == '.';
  if (numbered) rest = rest.substr(static_cast<size_t>(end - rest.data()) + 1);
  std::string name = rest.substr(0, rest.find('.'));
  std::vector<std::string> present;
  size_t found = steps.size();
  size_t matches = 0;
  for (size_t i = 0; i < steps.size(); ++i) {
    const std::string& kind = operator_names()[static_cast<size_t>(steps[i].kind)];
    present.push_back(step_path(draft_, i));
    if (kind != name || (numbered && draft_.step_numbers[i] != number)) continue;
    found = i;
    ++matches;
  }
  if (matches != 1) {
    std::string has = present.empty() ? "this solution has no operators" : "there are " + join(present, ", ");
    report_at(
        problems_, place, path.substr(0, 80),
        (matches > 1 ? "several operators are meant; give the number of one: " : "no such operator; ") + has);
    return false;
  }
  section = {
      "process", "process." + std::to_string(draft_.step_numbers[found]), {&draft_.solution, &steps[found]}};
  return true;
}

// A size or a variant is for every target: what it says of another one's source or sink counts there.
bool Binder::belongs_elsewhere(const std::string& path, const Place& place) const {
  if (!place.preset.starts_with("size ") && !place.preset.starts_with("variant ")) return false;
  const std::string choice = path.substr(0, path.find('.'));
  if ((choice != "ingest" && choice != "serve") || path == choice) return false;
  const std::string kind =
      path.substr(choice.size() + 1, path.find('.', choice.size() + 1) - choice.size() - 1);
  return kind != kind_in_force(choice) && draft_.is_elsewhere(choice, kind);
}

const std::string& Binder::kind_in_force(const std::string& choice) const {
  const Solution& solution = draft_.solution;
  return choice == "ingest" ? source_names()[static_cast<size_t>(solution.ingest.kind)]
                            : sink_names()[static_cast<size_t>(solution.serve.kind)];
}

// Settings of parts that this solution does not have would be set without effect.
bool Binder::applies(const std::string& path, const Place& place) {
  if (path.starts_with("simulate.") && !draft_.solution.simulate.enabled) {
    report_at(problems_, place, path, "this solution simulates nothing; add a section simulate to its file");
    return false;
  }
  for (const auto& [choice, verb] :
       {std::pair<std::string, std::string>{"ingest", "reads from "}, {"serve", "serves to "}}) {
    const std::string& kind = kind_in_force(choice);
    if (!path.starts_with(choice + ".") || path.starts_with(choice + "." + kind + ".")) continue;
    const size_t begin = choice.size() + 1;
    const std::string wanted = path.substr(begin, path.find('.', begin) - begin);
    std::string message = "this solution " + verb + kind + "; set " + choice + "=" + wanted +
                          " first, or a setting of " + choice + "." + kind;
    if (!place.option.empty() && draft_.is_elsewhere(choice, wanted))
      message = "this target of the solution " + verb + kind +
                "; give another --target: " + join(names_of(draft_.targets), ", ");
    report_at(problems_, place, path, std::move(message));
    return false;
  }
  return true;
}

}  // namespace tidemill::solution
