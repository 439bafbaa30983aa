#include "solution/load.h"

#include <algorithm>

#include "base/text.h"
#include "solution/bind.h"
#include "solution/branches.h"
#include "solution/derive.h"
#include "solution/show.h"
#include "solution/yaml.h"

namespace tidemill::solution {
namespace {

constexpr std::string_view kDefaultSize = "1";
constexpr std::string_view kLocalTarget = "local";

const PresetDraft* find_preset(const std::vector<PresetDraft>& presets, std::string_view name) {
  for (const PresetDraft& preset : presets) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

void apply_preset(Draft& draft, const std::string& what, const PresetDraft& preset, Problems& problems,
                  const Environment& environment) {
  Binder binder(draft, problems, environment);
  for (const YamlEntry& entry : preset.settings) {
    if (entry.key == "process" && what != "size") {
      binder.replace_process(entry);
    } else {
      binder.bind_path(entry.key, entry.value, {entry.line, {}, what + " " + preset.name});
    }
  }
}

// The chosen preset's settings, and those of the others against a copy, for their problems only. `what`:
// target, variant, size.
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
    const std::string& path = given.written.empty() ? given.path : given.written;
    std::string option =
        given.option == "--set" ? "--set " + path + "=" + given.value : given.option + " " + given.value;
    const Setting* setting = find_setting(given.path);
    if (setting != nullptr && setting->secret) option = given.option + " " + given.path + "=***";
    binder.bind_path(given.path, value, {0, std::move(option), {}});
  }
}

bool is_target(const std::string& name) {
  return name == kDefaultTarget || name == kLocalTarget;
}

// Of a file without `targets`: what is asked for is what it is, or cannot be had.
void check_target(const Draft& draft, const std::string& target, Problems& problems) {
  const bool embedded = is_embedded(draft.solution);
  if (embedded == (target == kDefaultTarget)) return;
  problems.at_option("--target " + target, "targets",
                     embedded ? "this solution uses no server and has no other target; leave --target away"
                              : "this solution uses a server, and its file says no target that does without; "
                                "leave --target away");
}

std::vector<Preset> shown_presets(const std::vector<PresetDraft>& presets) {
  std::vector<Preset> shown;
  for (const PresetDraft& preset : presets) {
    Preset one{preset.name, {}};
    for (const YamlEntry& entry : preset.settings) {
      if (!one.settings.empty()) one.settings += ", ";
      one.settings += entry.key;
      const Setting* setting = find_setting(entry.key);
      if (setting != nullptr && setting->secret) continue;
      if (entry.key == "process") one.settings += " of its own";
      if (entry.value.kind == YamlNode::kScalar) one.settings += " " + entry.value.text;
      if (entry.value.kind != YamlNode::kList || entry.key == "process") continue;
      std::vector<std::string> items;
      for (const YamlNode& item : entry.value.items) items.push_back(item.text);
      one.settings += " [" + join(items, "; ") + "]";
    }
    shown.push_back(std::move(one));
  }
  return shown;
}

std::string source_name(SourceKind kind) {
  return kind == SourceKind::kKafka ? "Kafka" : "the embedded log";
}

std::string sink_name(SinkKind kind) {
  switch (kind) {
    case SinkKind::kLog:
      return "the embedded log";
    case SinkKind::kDuckDb:
      return "DuckDB";
    case SinkKind::kFiles:
      return "JSON Lines files";
    case SinkKind::kKafka:
      return "Kafka";
    case SinkKind::kPostgres:
      return "PostgreSQL";
    case SinkKind::kDelta:
      return "Delta Lake";
    case SinkKind::kParquet:
      return "Parquet files";
    case SinkKind::kNull:
      break;
  }
  return "nothing";
}

}  // namespace

bool is_embedded(const Solution& solution) {
  return !reads_kafka(solution) && solution.serve.kind != SinkKind::kKafka &&
         solution.serve.kind != SinkKind::kPostgres;
}

std::vector<std::string> replacements(const Loaded& loaded) {
  const Solution& solution = loaded.solution;
  std::vector<std::string> lines;
  auto add = [&](const std::string& is, const std::string& said, bool changed, const std::string& in_file) {
    if (!said.empty() || changed) lines.push_back(is + " in place of " + (said.empty() ? in_file : said));
  };
  add(source_summary(solution), solution.replaces.ingest, solution.ingest.kind != loaded.file_ingest,
      source_name(loaded.file_ingest));
  add(sink_summary(solution), solution.replaces.serve, solution.serve.kind != loaded.file_serve,
      sink_name(loaded.file_serve));
  return lines;
}

Result<Override> parse_set(std::string_view text) {
  size_t equals = text.find('=');
  std::string_view path = trim(text.substr(0, equals));
  if (equals == std::string_view::npos || path.empty()) {
    return user_error("--set " + std::string(text) +
                      ": give a setting and its value, as --set simulate.rate=5000");
  }
  return Override{std::string(path), std::string(trim(text.substr(equals + 1))), "--set"};
}

namespace {

// `place`: says, before defaults are derived, where a branch stands; null of the file's own solution.
Loaded load_one(const YamlNode& root, const LoadRequest& request, const std::function<void(Draft&)>& place,
                Problems& problems) {
  Draft draft;
  Binder(draft, problems, request.environment).bind_file(root);
  Loaded loaded;
  draft.file_ingest = loaded.file_ingest = draft.solution.ingest.kind;
  draft.file_serve = loaded.file_serve = draft.solution.serve.kind;
  const std::vector<PresetDraft> targets = draft.targets, variants = draft.variants, sizes = draft.sizes;
  const bool has_default = find_preset(targets, kDefaultTarget) != nullptr;
  loaded.target = request.target.value_or(has_default ? std::string(kDefaultTarget) : std::string());
  const bool is_one = targets.empty() && is_target(loaded.target);
  apply_presets(draft, "target", targets, is_one ? std::string() : loaded.target, request.environment,
                problems);
  apply_presets(draft, "variant", variants, request.variant, request.environment, problems);
  loaded.variant = request.variant;
  loaded.size = request.size;
  if (loaded.size.empty() && find_preset(sizes, kDefaultSize) != nullptr) loaded.size = kDefaultSize;
  apply_presets(draft, "size", sizes, loaded.size, request.environment, problems);
  apply_overrides(draft, request, problems);
  if (is_one) check_target(draft, loaded.target, problems);
  if (is_one) loaded.target.clear();
  if (place) place(draft);
  derive_defaults(draft, request.file);
  check_solution(draft, problems);
  loaded.file = request.file;
  loaded.targets = shown_presets(targets);
  loaded.variants = shown_presets(variants);
  loaded.sizes = shown_presets(sizes);
  loaded.settings = shown_settings(draft);
  loaded.solution = std::move(draft.solution);
  return loaded;
}

}  // namespace

Result<Loaded> load_solution(const LoadRequest& request) {
  Problems problems(request.file);
  YamlNode root = parse_yaml(request.text, problems);
  if (root.kind != YamlNode::kMap) {
    Draft nothing;
    if (problems.empty()) Binder(nothing, problems, request.environment).bind_file(root);
    return problems.status().error();
  }
  LoadRequest own = request;
  Branches branches(root, own, problems);
  Loaded loaded = load_one(root, own, nullptr, problems);
  branches.load(load_one, loaded, problems);
  TM_TRY(problems.status());
  return loaded;
}

}  // namespace tidemill::solution
