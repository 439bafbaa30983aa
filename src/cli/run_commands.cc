// run, simulate.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <memory>

#include "cli/context.h"
#include "solution/run_command.h"

namespace tidemill::cli {
namespace {

struct RunFlags {
  SolutionOptions solution;
  std::string name, steps = "CIDPTMV", rate, count, duration, partitions, tasks, instances, instance, rules;
  std::string from, into;
  std::string format = "table";
  bool fresh = false, resume = false, detach = false, until_end = false;
};

// Options that are short for a setting.
void add_settings(RunFlags& flags) {
  auto set = [&](const char* path, const std::string& value) {
    if (!value.empty()) flags.solution.sets.push_back(std::string(path) + "=" + value);
  };
  set("simulate.rate", flags.rate);
  set("simulate.count", flags.count);
  set("duration", flags.duration);
  // A count ends the run by itself; the default duration would end it earlier.
  if (!flags.count.empty() && flags.duration.empty()) flags.solution.sets.push_back("duration=forever");
  set("ingest.log.partitions", flags.partitions);
  set("pipeline.tasks", flags.tasks);
  set("simulate.instances", flags.instances);
}

Result<solution::RunOptions> run_options(const Globals& globals, RunFlags& flags) {
  add_settings(flags);
  TM_TRY(solution::check_steps(flags.steps));
  TM_ASSIGN(Resolved resolved, resolve_solution(flags.solution));
  solution::RunOptions options;
  options.solution = flags.solution.solution;
  // A file is found again from anywhere.
  if (options.solution.ends_with(".yaml") || options.solution.ends_with(".yml")) {
    std::unique_ptr<char, void (*)(void*)> whole(::realpath(options.solution.c_str(), nullptr), ::free);
    if (whole) options.solution = whole.get();
  }
  options.loaded = std::move(resolved.loaded);
  options.settings = std::move(resolved.settings);
  options.name = flags.name;
  options.root = globals.root;
  options.steps = flags.steps;
  options.fresh = flags.fresh;
  options.resume = flags.resume;
  options.until_end = flags.until_end;
  options.json = flags.format == "json";
  options.terminal = on_terminal() && !flags.detach;
  options.rules = flags.rules;
  if (!flags.instance.empty()) {
    // i/n: this process is the i-th of n (from 1), each a process of its own.
    int index = 0, count = 0;
    char rest = 0;
    if (std::sscanf(flags.instance.c_str(), "%d/%d%c", &index, &count, &rest) != 2 || index < 1 ||
        index > count) {
      return user_error("--instance: '" + flags.instance + "'; i/n with i from 1 to n, as 2/4");
    }
    options.loaded.solution.simulate.options.instances = count;
    options.loaded.solution.simulate.options.instance = index - 1;
  }
  return options;
}

// The parent returns the child's id at once; the child goes on without a terminal.
Result<pid_t> detach(const solution::RunStore& runs, const solution::RunRecord& record) {
  std::string output = join_path(runs.directory(record.name, record.number), "output.txt");
  std::fflush(nullptr);
  pid_t child = ::fork();
  if (child < 0) return external_error(std::string("fork: ") + std::strerror(errno));
  if (child > 0) return child;
  ::setsid();
  int in = ::open("/dev/null", O_RDONLY);
  int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  return pid_t{0};
}

int run(const Globals& globals, RunFlags& flags) {
  auto options = run_options(globals, flags);
  if (!options.ok()) return report_error(options.error());
  solution::RunStore runs(FileSystem::posix(), globals.root);
  if (flags.from.empty() != flags.into.empty()) {
    return report_error(user_error("--from and --into go together: --from earliest --into rawdata_again"));
  }
  if (!flags.into.empty()) {
    auto record = find_run(globals, flags.name.empty() ? options->loaded.solution.name : flags.name);
    if (!record.ok()) return report_error(record.error());
    Status replayed = solution::run_replay(runs, *record, *options, flags.from, flags.into, print);
    return replayed.ok() ? kOk : report_error(replayed.error());
  }
  auto record = solution::choose_run(runs, *options);
  if (!record.ok()) return report_error(record.error());
  if (flags.detach) {
    auto child = detach(runs, *record);
    if (!child.ok()) return report_error(child.error());
    if (*child > 0) {
      print("run " + record->id() + " goes on as process " + std::to_string(*child) +
            "; tidemill status, tidemill stop " + record->name + "\n");
      return kOk;
    }
  }
  auto result = solution::run_steps(runs, *record, *options, print);
  if (!result.ok()) return report_error(result.error());
  switch (*result) {
    case solution::RunResult::kDone:
    case solution::RunResult::kPassed:
      return kOk;
    case solution::RunResult::kFailed:
      return kFailed;
    case solution::RunResult::kStopped:
      return kStopped;
  }
  return kOk;
}

}  // namespace

void add_run_commands(CLI::App& program, const Globals& globals, int* exit_code) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command =
      program.add_subcommand("run", "Runs a solution: simulates, processes, reports, verifies");
  flags->solution.add_to(*command);
  command->add_option("--name", flags->name, "Name of the run (the solution's by default)");
  command
      ->add_option("--steps", flags->steps,
                   "Which steps, by letter: C common, I ingestion, D database, P processing, T test clients, "
                   "M metrics, "
                   "V verification. Steps of one run may run in several terminals")
      ->capture_default_str();
  command->add_option("--rate", flags->rate, "Events/s in all, or max (simulate.rate)");
  command->add_option("--count", flags->count, "Ends when so many events are simulated (simulate.count)");
  command->add_option("--duration", flags->duration,
                      "How long to simulate and monitor: 60s, 30m, forever (duration; 60s by default)");
  command->add_option("--partitions", flags->partitions, "Of the input topic (ingest.log.partitions)");
  command->add_option("--tasks", flags->tasks, "Tasks that share the partitions (pipeline.tasks)");
  command->add_option("--instances", flags->instances,
                      "Simulator instances, a thread each (simulate.instances)");
  command->add_option("--rules", flags->rules, "Of the verification: strict, or reference");
  command->add_option("--format", flags->format, "Of report and verdict")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  command->add_flag("--until-end", flags->until_end, "Without a simulator: end when the input is processed");
  command->add_flag("--fresh", flags->fresh, "Remove earlier runs of this name first");
  command->add_flag("--resume", flags->resume, "Insist on going on with an unfinished run");
  command->add_flag("--detach", flags->detach,
                    "Return to the prompt; the run goes on, its output in <run>/output.txt");
  command->add_option("--from", flags->from, "With --into: replay the log from earliest, or from a time");
  command->add_option("--into", flags->into,
                      "A new table (topic, folder) that the replay fills, beside a live run");
  command->footer(
      "A run that was stopped or killed goes on with the same command; a finished one makes the same command "
      "start a new run.\n"
      "\n"
      "  tidemill run telemetry --size 10 --duration 60s\n"
      "  tidemill run relay --name nightly --count 1000000\n"
      "  tidemill run telemetry --steps P      # and in other terminals: --steps T, --steps M");
  command->callback([&globals, flags, exit_code] { *exit_code = run(globals, *flags); });

  auto simulate = std::make_shared<RunFlags>();
  simulate->steps = "T";
  CLI::App* simulator =
      program.add_subcommand("simulate", "Sends a solution's simulated events into its log (run --steps T)");
  simulate->solution.add_to(*simulator);
  simulator->add_option("--name", simulate->name, "Name of the run (the solution's by default)");
  simulator->add_option("--rate", simulate->rate, "Events/s in all, or max (simulate.rate)");
  simulator->add_option("--count", simulate->count, "So many events (simulate.count)");
  simulator->add_option("--duration", simulate->duration, "How long (duration; 60s by default)");
  simulator->add_option("--partitions", simulate->partitions, "Of the topic (ingest.log.partitions)");
  simulator->add_option("--instances", simulate->instances, "Instances, a thread each (simulate.instances)");
  simulator->add_option("--instance", simulate->instance,
                        "i/n: only the i-th of n instances, each a process of its own");
  simulator->footer(
      "Profiles, templates and faults on purpose: docs/simulate.md.\n\n"
      "  tidemill simulate telemetry --rate max --count 1000000");
  simulator->callback([&globals, simulate, exit_code] { *exit_code = run(globals, *simulate); });
}

}  // namespace tidemill::cli
