// `tidemill solutions NAME`.
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "solution/catalogue.h"
#include "solution/derive.h"
#include "solution/load.h"

namespace tidemill::solution {
namespace {

std::string way(const Solution& solution) {
  const std::string steps = process_summary(solution);
  return source_summary(solution) + " → " + (steps.empty() ? "" : steps + " → ") + sink_summary(solution);
}

std::string line(const std::string& name, const std::string& text) {
  constexpr size_t kColumn = 16;
  return "  " + name + std::string(name.size() < kColumn ? kColumn - name.size() : 1, ' ') + text + "\n";
}

std::string presets(const std::string& title, const std::vector<Preset>& some, const std::string& in_force) {
  if (some.empty()) return {};
  std::string text = "\n" + title + "\n";
  for (const Preset& preset : some) {
    text += line(preset.name, (preset.settings.empty() ? "as the file stands" : preset.settings) +
                                  (preset.name == in_force ? "   (by default)" : ""));
  }
  return text;
}

std::string limits(const Solution& solution) {
  const ReferenceLimits given = reference_limits(solution);
  std::string text = "\nverification: every event; with --rules reference";
  if (given.min_rate) text += fmt::format(", at least {:g} events/s", *given.min_rate);
  if (given.max_latency_us) text += ", latency at most " + format_duration_us(*given.max_latency_us);
  if (given.max_duplicates) text += fmt::format(", duplicates at most {:g}", *given.max_duplicates);
  if (given.max_out_of_sequence)
    text += fmt::format(", out of sequence at most {:g}", *given.max_out_of_sequence);
  return text + "\n";
}

}  // namespace

Result<std::string> overview_text(const SolutionFile& file, const Environment& environment) {
  LoadRequest request{file.file, file.text, {}, {}, environment};
  TM_ASSIGN(Loaded loaded, load_solution(request));
  const Solution& solution = loaded.solution;
  std::string text = solution.name + (solution.description.empty() ? "" : ": " + solution.description) + "\n";
  text += "the file: " + loaded.file + "; tidemill solutions " + file.name + " --file prints it\n";
  text += "\ntargets (--target)\n";
  if (loaded.targets.empty()) {
    text += line(is_embedded(solution) ? "embedded" : "local", way(solution) + "   (the only one)");
  }
  for (const Preset& target : loaded.targets) {
    request.target = target.name;
    TM_ASSIGN(Loaded other, load_solution(request));
    text += line(target.name, way(other.solution) + (target.name == loaded.target ? "   (by default)" : ""));
    for (const std::string& one : replacements(other)) text += line("", one);
  }
  for (const Solution& branch : solution.branches) {
    if (&branch == &solution.branches.front()) text += "\nbranches\n";
    text += line(branch.branch, way(branch));
  }
  text += presets("variants (--variant)", loaded.variants, loaded.variant);
  text += presets("sizes (--size)", loaded.sizes, loaded.size);
  return text + limits(solution);
}

}  // namespace tidemill::solution
