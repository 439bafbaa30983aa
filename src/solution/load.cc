#include "solution/load.h"

#include <algorithm>

#include "base/text.h"
#include "solution/bind.h"
#include "solution/derive.h"
#include "solution/show.h"
#include "solution/yaml.h"

namespace tidemill::solution {
namespace {

constexpr std::string_view kDefaultSize = "1";

const SizeDraft* find_size(const Draft& draft, std::string_view name) {
  for (const SizeDraft& size : draft.sizes) {
    if (size.name == name) return &size;
  }
  return nullptr;
}

void apply_size(Draft& draft, const SizeDraft& size, Problems& problems, const Environment& environment) {
  Binder binder(draft, problems, environment);
  for (const YamlEntry& entry : size.settings)
    binder.bind_path(entry.key, entry.value, {entry.line, {}, size.name});
}

// The chosen size's settings, and those of the others against a copy, for their problems only.
void apply_sizes(Draft& draft, const LoadRequest& request, std::string& chosen, Problems& problems) {
  chosen = request.size;
  if (chosen.empty() && find_size(draft, kDefaultSize) != nullptr) chosen = kDefaultSize;
  const SizeDraft* mine = find_size(draft, chosen);
  for (const SizeDraft& size : draft.sizes) {
    if (&size == mine) continue;
    Draft copy = draft;
    apply_size(copy, size, problems, request.environment);
  }
  if (mine != nullptr) {
    apply_size(draft, SizeDraft(*mine), problems, request.environment);
  } else if (!chosen.empty()) {
    std::vector<std::string> names;
    for (const SizeDraft& size : draft.sizes) names.push_back(size.name);
    problems.at_option("--size " + chosen.substr(0, kMaxCited), "sizes",
                       names.empty() ? "this solution has no sizes; leave --size away"
                                     : "no such size; give one of " + join(names, ", "));
  }
}

void apply_overrides(Draft& draft, const LoadRequest& request, Problems& problems) {
  Binder binder(draft, problems, request.environment);
  for (const Override& given : request.overrides) {
    YamlNode value;
    value.kind = YamlNode::kScalar;
    value.text = given.value;
    std::string option = given.option == "--set" ? "--set " + given.path + "=" + given.value
                                                 : given.option + " " + given.value;
    const Setting* setting = find_setting(given.path);
    if (setting != nullptr && setting->secret) option = given.option + " " + given.path + "=***";
    binder.bind_path(given.path, value, {0, std::move(option), {}});
  }
}

}  // namespace

Result<Override> parse_set(std::string_view text) {
  size_t equals = text.find('=');
  std::string_view path = trim(text.substr(0, equals));
  if (equals == std::string_view::npos || path.empty()) {
    return user_error("--set " + std::string(text) +
                      ": give a setting and its value, as --set simulate.rate=5000");
  }
  return Override{std::string(path), std::string(trim(text.substr(equals + 1))), "--set"};
}

Result<Loaded> load_solution(const LoadRequest& request) {
  Problems problems(request.file);
  YamlNode root = parse_yaml(request.text, problems);
  if (root.kind != YamlNode::kMap && !problems.empty()) return problems.status().error();
  Draft draft;
  Binder(draft, problems, request.environment).bind_file(root);
  if (root.kind != YamlNode::kMap) return problems.status().error();
  Loaded loaded;
  apply_sizes(draft, request, loaded.size, problems);
  apply_overrides(draft, request, problems);
  derive_defaults(draft, request.file);
  check_solution(draft, problems);
  TM_TRY(problems.status());
  loaded.file = request.file;
  for (const SizeDraft& size : draft.sizes) loaded.sizes.push_back(size.name);
  loaded.settings = shown_settings(draft);
  loaded.solution = std::move(draft.solution);
  return loaded;
}

}  // namespace tidemill::solution
