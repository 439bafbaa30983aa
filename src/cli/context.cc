#include "cli/context.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "base/text.h"
#include "solution/catalogue.h"
#include "solution/interrupt.h"
#include "solution/run_command.h"

namespace tidemill::cli {

std::string default_root() {
  const char* root = std::getenv("TIDEMILL_DATA_DIR");
  return root != nullptr && *root != '\0' ? root : "tidemill-data";
}

CLI::Option* one_of(CLI::Option* option, const std::vector<std::string>& values) {
  option->check([values](const std::string& given) {
    if (std::find(values.begin(), values.end(), given) != values.end()) return std::string();
    return "'" + given + "'; give one of " + join(values, ", ");
  });
  return option->type_name(join(values, "|"));
}

bool print(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
    return true;
  std::clearerr(stdout);
  return errno != EPIPE;
}

bool on_terminal() {
  const char* terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && !(terminal != nullptr && std::strcmp(terminal, "dumb") == 0);
}

int report_error(const Error& error) {
  if (error.code == Code::kStopped) {
    std::fprintf(stderr, "tidemill: %s\n", error.message.c_str());
    return kStopped;
  }
  const char* whose =
      error.domain == Domain::kInternal && error.code != Code::kCorrupt ? " (this is a bug in tidemill)" : "";
  std::fprintf(stderr, "tidemill: %s%s\n", error.message.c_str(), whose);
  return error.domain == Domain::kUser ? kUsage : kFailed;
}

void SolutionOptions::add_to(CLI::App& app) {
  app.add_option("solution", solution,
                 "A solution file (.yaml), or a name of the catalogue: tidemill solutions")
      ->required();
  app.add_option("--size", size, "One of the solution's sizes, usually thousands of events/s: 1, 5, 10, max")
      ->type_name("SIZE");
  app.add_option("--target", target,
                 "What it runs on: embedded (the default where the file knows it; nothing is installed) or "
                 "local (servers that tools/local starts)")
      ->type_name("TARGET");
  app.add_option("--variant", variant,
                 "One of the solution's variants: another way to run it, as its file says")
      ->type_name("NAME");
  app.add_option("--set", sets, "Changes a setting: --set simulate.rate=5000 (tidemill show lists them all)")
      ->type_name("PATH=VALUE")
      ->take_all()
      ->expected(1);
}

solution::Catalogue the_catalogue() {
  return {FileSystem::posix(),
          solution::catalogue_folders(solution::process_environment(), solution::program_directory())};
}

Result<Resolved> resolve_solution(const SolutionOptions& options) {
  TM_ASSIGN(solution::SolutionFile file, the_catalogue().find(options.solution));
  solution::LoadRequest request;
  request.file = file.file;
  request.text = file.text;
  request.size = options.size;
  request.variant = options.variant;
  request.target = options.target;
  for (const std::string& set : options.sets) {
    TM_ASSIGN(solution::Override one, solution::parse_set(set));
    request.overrides.push_back(std::move(one));
  }
  request.overrides.insert(request.overrides.end(), options.options.begin(), options.options.end());
  Resolved resolved;
  TM_ASSIGN(resolved.loaded, solution::load_solution(request));
  for (const solution::Override& one : request.overrides)
    resolved.settings.push_back(one.path + "=" + one.value);
  return resolved;
}

Result<Resolved> resolve_for_run(const SolutionOptions& options, const solution::RunRecord& record,
                                 bool simulates) {
  SolutionOptions whole = options;
  if (whole.size.empty()) whole.size = record.size;
  if (whole.variant.empty()) whole.variant = record.variant;
  if (!whole.target) whole.target = record.target;
  std::vector<std::string> sets;
  for (const std::string& set : record.settings) {
    if (simulates || !set.starts_with("duration=")) sets.push_back(set);
  }
  whole.sets.insert(whole.sets.begin(), sets.begin(), sets.end());
  TM_ASSIGN(Resolved resolved, resolve_solution(whole));
  if (resolved.loaded.target != record.target) {
    return user_error("run " + record.id() + " was begun with " +
                      (record.target.empty() ? "no target" : "--target " + record.target) +
                      ", where its events and its store are; leave --target away, or begin another one with "
                      "--name or --fresh");
  }
  return resolved;
}

Result<solution::RunRecord> find_run(const Globals& globals, const std::string& word) {
  solution::RunStore runs(FileSystem::posix(), globals.root);
  std::string name = word;
  if (word.ends_with(".yaml") || word.ends_with(".yml")) {
    SolutionOptions options;
    options.solution = word;
    TM_ASSIGN(Resolved resolved, resolve_solution(options));
    name = resolved.loaded.solution.name;
  } else if (size_t slash = word.rfind('/'); slash != std::string::npos) {
    for (solution::RunRecord& record : runs.list(word.substr(0, slash))) {
      if (record.id() == word) return std::move(record);
    }
  }
  if (auto latest = runs.latest(name)) return std::move(*latest);
  std::string known;
  for (const solution::RunRecord& record : runs.list()) {
    if (known.find(record.name) == std::string::npos) known += (known.empty() ? "" : ", ") + record.name;
  }
  return user_error(
      "no run of '" + name + "' in " + globals.root +
          (known.empty() ? "; start one: tidemill run " + name : "; there are runs of " + known),
      Code::kNotFound);
}

Result<solution::Loaded> solution_of(const solution::RunRecord& record) {
  SolutionOptions options;
  options.solution = record.solution;
  options.size = record.size;
  options.variant = record.variant;
  options.target = record.target;
  options.sets = record.settings;
  auto resolved = resolve_solution(options);
  if (!resolved.ok()) return std::move(resolved).error().within("run " + record.id());
  return std::move(resolved->loaded);
}

Result<std::unique_ptr<solution::RunAccess>> open_run(const Globals& globals, const std::string& word) {
  TM_ASSIGN(solution::RunRecord record, find_run(globals, word));
  solution::RunStore runs(FileSystem::posix(), globals.root);
  TM_TRY(check_usable(runs, record));
  TM_ASSIGN(solution::Loaded loaded, solution_of(record));
  return std::make_unique<solution::RunAccess>(runs, std::move(record), std::move(loaded.solution));
}

int ask_and_print(const Globals& globals, const std::string& run, solution::Request request) {
  auto access = open_run(globals, run);
  if (!access.ok()) return report_error(access.error());
  solution::Line line(**access);
  bool failed_verdict = false;
  bool reader_left = false;
  Status asked = line.ask(
      request,
      [&](std::string_view piece) {
        if (piece.starts_with('\x01')) {
          failed_verdict = piece != "\x01PASS";
        } else {
          reader_left = !print(std::string(piece));
        }
        return !reader_left;
      },
      solution::interrupted());
  (*access)->disown();
  if (reader_left) return kReaderLeft;
  if (!asked.ok()) return report_error(asked.error());
  if (solution::interrupted()) return kStopped;
  return failed_verdict ? kFailed : kOk;
}

bool taken_over(const solution::RunStore& runs, const solution::RunRecord& record) {
  constexpr int64_t kLookUpUs = 100'000;
  constexpr int kLookUps = 600;
  constexpr int kFreeLookUps = 5;  // whoever takes an owner's place does so within that many
  int free = 0;
  for (int i = 0; i < kLookUps && free < kFreeLookUps && !solution::interrupted(); ++i) {
    if (solution::is_live(runs, record)) return true;
    free = solution::lock_idle_run(runs, record).ok() ? free + 1 : 0;
    Clock::system().sleep_us(kLookUpUs);
  }
  return false;
}

}  // namespace tidemill::cli
