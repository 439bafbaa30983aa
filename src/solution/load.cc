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

const PresetDraft* find_preset(const std::vector<PresetDraft>& presets, std::string_view name) {
  for (const PresetDraft& preset : presets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

std::vector<std::string> names_of(const std::vector<PresetDraft>& presets) {
  std::vector<std::string> names;
  for (const PresetDraft& preset : presets) names.push_back(preset.name);
  return names;
}

void apply_preset(Draft& draft, const std::string& what, const PresetDraft& preset, Problems& problems,
                  const Environment& environment) {
  Binder binder(draft, problems, environment);
  for (const YamlEntry& entry : preset.settings) {
    if (entry.key == "process" && what == "variant") {
      binder.replace_process(entry);
    } else {
      binder.bind_path(entry.key, entry.value, {entry.line, {}, what + " " + preset.name});
    }
  }
}

// The chosen preset's settings, and those of the others against a copy, for their problems only. `what`:
// size, variant.
void apply_presets(Draft& draft, const std::string& what, const std::vector<PresetDraft>& presets,
                   const std::string& chosen, const Environment& environment, Problems& problems) {
  const PresetDraft* mine = find_preset(presets, chosen);
  for (const PresetDraft& preset : presets) {
    if (&preset == mine) continue;
    Draft copy = draft;
    apply_preset(copy, what, preset, problems, environment);
  }
  if (mine != nullptr) {
    apply_preset(draft, what, *mine, problems, environment);
  } else if (!chosen.empty()) {
    problems.at_option("--" + what + " " + chosen.substr(0, kMaxCited), what + "s",
                       presets.empty()
                           ? "this solution has no " + what + "s; leave --" + what + " away"
                           : "no such " + what + "; give one of " + join(names_of(presets), ", "));
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
  const std::vector<PresetDraft> variants = draft.variants, sizes = draft.sizes;
  apply_presets(draft, "variant", variants, request.variant, request.environment, problems);
  loaded.variant = request.variant;
  loaded.size = request.size;
  if (loaded.size.empty() && find_preset(sizes, kDefaultSize) != nullptr) loaded.size = kDefaultSize;
  apply_presets(draft, "size", sizes, loaded.size, request.environment, problems);
  apply_overrides(draft, request, problems);
  derive_defaults(draft, request.file);
  check_solution(draft, problems);
  TM_TRY(problems.status());
  loaded.file = request.file;
  loaded.sizes = names_of(sizes);
  loaded.variants = names_of(variants);
  loaded.settings = shown_settings(draft);
  loaded.solution = std::move(draft.solution);
  return loaded;
}

}  // namespace tidemill::solution
