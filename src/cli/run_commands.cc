// run, simulate.
#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <optional>

#include "cli/context.h"
#include "solution/interrupt.h"
#include "solution/run_command.h"

namespace tidemill::cli {
namespace {

struct RunFlags {
  SolutionOptions solution;
  std::string name, steps = "CIDPTMV", rate, count, duration, partitions, tasks, instances, instance, rules;
  std::string from, into;
  std::string format = "table";
  bool fresh = false, resume = false, detach = false, until_end = false, leave = false;
};

// Options that are short for a setting.
void add_settings(RunFlags& flags) {
  auto set = [&](const char* path, const std::string& value, const char* option) {
    if (!value.empty()) flags.solution.options.push_back({path, value, option});
  };
  set("simulate.rate", flags.rate, "--rate");
  set("simulate.count", flags.count, "--count");
  set("duration", flags.duration, "--duration");
  // A count ends the run by itself; the default duration would end it earlier.
  if (!flags.count.empty() && flags.duration.empty()) set("duration", "forever", "--duration");
  set("ingest.log.partitions", flags.partitions, "--partitions");
  set("pipeline.tasks", flags.tasks, "--tasks");
  set("simulate.instances", flags.instances, "--instances");
}

// --instance i/n: this process is the i-th of n (from 1).
Status set_instance(const std::string& text, solution::Solution* solution) {
  if (text.empty()) return {};
  int index = 0, count = 0;
  char rest = 0;
  if (std::sscanf(text.c_str(), "%d/%d%c", &index, &count, &rest) != 2 || index < 1 || index > count) {
    return user_error("--instance: '" + text + "'; i/n with i from 1 to n, as 2/4");
  }
  solution->simulate.options.instances = count;
  solution->simulate.options.instance = index - 1;
  return {};
}

Result<solution::RunOptions> run_options(const Globals& globals, RunFlags& flags) {
  add_settings(flags);
  TM_TRY(solution::check_steps(flags.steps));
  TM_ASSIGN(Resolved resolved, resolve_solution(flags.solution));
  solution::RunOptions options;
  if (flags.steps == "T" && !resolved.loaded.solution.simulate.enabled) {
    return user_error(resolved.loaded.solution.name +
                      " simulates nothing; add a section simulate to its file, or give it events by tidemill "
                      "log produce");
  }
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
  options.leave = flags.leave;
  options.json = flags.format == "json";
  options.terminal = on_terminal() && !flags.detach;
  options.rules = flags.rules;
  TM_TRY(set_instance(flags.instance, &options.loaded.solution));
  return options;
}

// The run that the command means, and its options as they are for that run.
Result<solution::RunRecord> choose_run(const solution::RunStore& runs, const RunFlags& flags,
                                       solution::RunOptions* options) {
  TM_ASSIGN(solution::RunRecord record, solution::choose_run(runs, *options));
  TM_ASSIGN(Resolved resolved,
            resolve_for_run(flags.solution, record, flags.steps.find('T') != std::string::npos));
  options->loaded = std::move(resolved.loaded);
  TM_TRY(set_instance(flags.instance, &options->loaded.solution));
  return record;
}

// Says whether the run has started, from the process that goes on to the one that returns to the prompt:
// nothing where it has, else why not.
class StartNotice {
 public:
  explicit StartNotice(int fd) : fd_(fd) {}
  void started() { send("\n"); }
  void failed(const std::string& why) { send(why + "\n"); }

 private:
  void send(const std::string& text) {
    if (fd_ < 0) return;
    (void)!::write(fd_, text.data(), text.size());
    ::close(fd_);
    fd_ = -1;
  }
  int fd_;
};

std::string read_notice(int fd) {
  std::string text;
  char buffer[512];
  for (ssize_t n = 0; (n = ::read(fd, buffer, sizeof buffer)) != 0;) {
    if (n < 0 && errno != EINTR) break;
    if (n > 0) text.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return text;
}

// Forks. The parent waits until the run has started, says so, and has an exit status. The child goes on
// without a terminal, its output in the run's directory, and has the notice that the parent waits for.
struct Detached {
  std::optional<int> exit_status;
  int notice_fd = -1;
};
Result<Detached> detach(const solution::RunStore& runs, const solution::RunRecord& record) {
  const std::string output = join_path(runs.directory(record.name, record.number), "output.txt");
  int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (out < 0) return external_error(output + ": open: " + std::strerror(errno));
  int notice[2];
  if (::pipe2(notice, O_CLOEXEC) != 0) return external_error(std::string("pipe: ") + std::strerror(errno));
  std::fflush(nullptr);
  pid_t child = ::fork();
  if (child < 0) return external_error(std::string("fork: ") + std::strerror(errno));
  if (child > 0) {
    ::close(notice[1]);
    ::close(out);
    const std::string why = read_notice(notice[0]);
    if (why != "\n") {
      return external_error("run " + record.id() + " did not start: " +
                            (why.empty() ? "it was killed" : why.substr(0, why.size() - 1)) +
                            "; its output is in " + output);
    }
    print("run " + record.id() + " goes on as process " + std::to_string(child) + ", its output in " +
          output + "; tidemill status, tidemill stop " + record.name + "\n");
    return Detached{kOk, -1};
  }
  ::setsid();
  ::close(notice[0]);
  int in = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(in, STDIN_FILENO);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(out, STDERR_FILENO);
  return Detached{std::nullopt, notice[1]};
}

int exit_status(solution::RunResult result) {
  switch (result) {
    case solution::RunResult::kDone:
    case solution::RunResult::kPassed:
      return kOk;
    case solution::RunResult::kFailed:
      return kFailed;
    case solution::RunResult::kStopped:
      return kStopped;
  }
  return kFailed;
}

int replay(const Globals& globals, const RunFlags& flags, solution::RunOptions& options) {
  solution::RunStore runs(FileSystem::posix(), globals.root);
  auto record = find_run(globals, flags.name.empty() ? options.loaded.solution.name : flags.name);
  if (!record.ok()) return report_error(record.error());
  if (Status usable = check_usable(runs, *record); !usable.ok()) return report_error(usable.error());
  auto resolved = resolve_for_run(flags.solution, *record, false);
  if (!resolved.ok()) return report_error(resolved.error());
  options.loaded = std::move(resolved->loaded);
  Status replayed =
      solution::run_replay(runs, *record, options, flags.from, flags.into, [](const std::string& text) {
        if (!print(text)) solution::interrupt();
      });
  if (!replayed.ok()) return report_error(replayed.error());
  return solution::interrupted() ? kStopped : kOk;
}

int run(const Globals& globals, RunFlags& flags) {
  auto options = run_options(globals, flags);
  if (!options.ok()) return report_error(options.error());
  if (flags.from.empty() != flags.into.empty()) {
    return report_error(user_error("--from and --into go together: --from earliest --into rawdata_again"));
  }
  if (!flags.into.empty()) return replay(globals, flags, *options);
  solution::RunStore runs(FileSystem::posix(), globals.root);
  auto record = choose_run(runs, flags, &*options);
  if (!record.ok()) return report_error(record.error());
  StartNotice notice(-1);
  if (flags.detach) {
    auto detached = detach(runs, *record);
    if (!detached.ok()) return report_error(detached.error());
    if (detached->exit_status) return *detached->exit_status;
    notice = StartNotice(detached->notice_fd);
    options->on_started = [&notice] { notice.started(); };
  }
  bool reader_left = false;
  const bool quiet = globals.quiet && !options->json;
  auto result = solution::run_steps(runs, *record, *options, [&](const std::string& text) {
    if (quiet || reader_left || print(text)) return;
    reader_left = true;
    solution::interrupt();
  });
  if (!result.ok()) {
    notice.failed(result.error().message);
    return report_error(result.error());
  }
  if (reader_left) return kReaderLeft;
  return exit_status(*result);
}

// What `run` and `simulate` share.
void add_common_options(CLI::App& command, RunFlags& flags) {
  flags.solution.add_to(command);
  command.add_option("--name", flags.name, "Name of the run; the solution's by default")->type_name("NAME");
  command.add_option("--rate", flags.rate, "Events/s in all, or max (simulate.rate)")->type_name("RATE");
  command.add_option("--count", flags.count, "Ends when so many events are simulated (simulate.count)")
      ->type_name("N");
  command
      .add_option("--duration", flags.duration,
                  "How long: 60s, 30m, forever (duration; the file's, else 60s)")
      ->type_name("TIME");
  command.add_option("--partitions", flags.partitions, "Of the input topic (ingest.log.partitions)")
      ->type_name("N");
  command
      .add_option("--instances", flags.instances, "Simulator instances, a thread each (simulate.instances)")
      ->type_name("N");
  command.add_flag("--fresh", flags.fresh, "Remove earlier runs of this name first, and begin anew");
  command.add_flag("--detach", flags.detach,
                   "Return to the prompt when it has started; its output is in <run>/output.txt");
}

}  // namespace

void add_run_commands(CLI::App& program, const Globals& globals, int* exit_code) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command =
      program.add_subcommand("run", "Runs a solution: simulates, processes, reports, verifies");
  add_common_options(*command, *flags);
  command->add_option("--tasks", flags->tasks, "Tasks that share the partitions (pipeline.tasks)")
      ->type_name("N");
  command
      ->add_option(
          "--steps", flags->steps,
          "Which steps, by letter: C create the run, I log and topics, D served store, P process, "
          "T simulate (test clients), M report (metrics), V verify. Steps of one run may run in several "
          "terminals")
      ->type_name("LETTERS")
      ->capture_default_str();
  one_of(command->add_option("--rules", flags->rules,
                             "Of the verification: strict, or the reference's (verify.rules)"),
         {"strict", "reference"});
  one_of(command->add_option("--format", flags->format, "Of report and verdict: table or json")
             ->capture_default_str(),
         {"table", "json"});
  command->add_flag("--until-end", flags->until_end, "Without a simulator: end when the input is processed");
  command->add_flag("--leave", flags->leave,
                    "At its end give up the place that ingest.kafka.member keeps for it: others take over at "
                    "once");
  command->add_flag("--resume", flags->resume, "Insist on going on with an unfinished run")
      ->excludes(command->get_option("--fresh"));
  command->add_option("--from", flags->from, "With --into: replay the log from earliest, or from a time")
      ->type_name("WHEN");
  command
      ->add_option("--into", flags->into,
                   "A new table (topic, folder) that the replay fills, beside a live run")
      ->type_name("NAME");
  command->footer(
      "A run that was stopped or killed goes on with the same command; a finished one makes the same\n"
      "command start a new run.\n"
      "\n"
      "  tidemill run telemetry --size 10 --duration 60s\n"
      "  tidemill run relay --name nightly --count 1000000\n"
      "  tidemill run telemetry --steps P      # and in other terminals: --steps T, --steps M\n"
      "  tidemill run telemetry --from earliest --into rawdata_again");
  command->callback([&globals, flags, exit_code] { *exit_code = run(globals, *flags); });

  auto simulate = std::make_shared<RunFlags>();
  simulate->steps = "T";
  CLI::App* simulator =
      program.add_subcommand("simulate", "Sends a solution's simulated events into its log (run --steps T)");
  add_common_options(*simulator, *simulate);
  simulator
      ->add_option("--instance", simulate->instance,
                   "Only the i-th of n instances, each a process of its own")
      ->type_name("I/N");
  simulator->footer(
      "Profiles, templates and faults on purpose: docs/simulate.md.\n"
      "\n"
      "  tidemill simulate telemetry --rate max --count 1000000\n"
      "  tidemill simulate telemetry --instance 1/2      # and in another terminal: --instance 2/2");
  simulator->callback([&globals, simulate, exit_code] { *exit_code = run(globals, *simulate); });
}

}  // namespace tidemill::cli
