// What the commands have in common: where runs are, which run and solution a word means, how text and
// errors reach the terminal.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "solution/access.h"
#include "solution/catalogue.h"
#include "solution/load.h"
#include "solution/run_directory.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace tidemill::cli {

// Exit statuses. kReaderLeft is that of a program which SIGPIPE ended, as in `tidemill log read … | head`.
inline constexpr int kOk = 0, kFailed = 1, kUsage = 2, kStopped = 130, kReaderLeft = 141;

// Options of the program, before any command.
struct Globals {
  std::string root;  // of all runs
  bool quiet = false;
  bool verbose = false;
};

// Settings that several commands take, as options of their own or by --set.
struct SolutionOptions {
  std::string solution;  // a file, or a name of the catalogue
  std::string size, variant;
  std::optional<std::string> target;
  std::vector<std::string> sets;            // "path=value"
  std::vector<solution::Override> options;  // short for a setting; stronger than `sets`
  void add_to(CLI::App& app);
};

// The solution with its options; `settings` are the overrides in force, as "path=value".
struct Resolved {
  solution::Loaded loaded;
  std::vector<std::string> settings;
};
solution::Catalogue the_catalogue();
Result<Resolved> resolve_solution(const SolutionOptions& options);

// The same for a command about a run that there is already: what the command does not say is as the run was
// begun with, its target, size, variant and settings. Its duration too where that is of what the command
// simulates; else it is each command's own.
Result<Resolved> resolve_for_run(const SolutionOptions& options, const solution::RunRecord& record,
                                 bool simulates);

// The latest run that `word` means: a run's name (with or without its number: "telemetry/2"), or a solution
// file, whose name it then is. Errors name the runs that there are.
Result<solution::RunRecord> find_run(const Globals& globals, const std::string& word);
// The run's own solution, with the settings that it was started with.
Result<solution::Loaded> solution_of(const solution::RunRecord& record);
// Both, ready to ask. Errors as above.
Result<std::unique_ptr<solution::RunAccess>> open_run(const Globals& globals, const std::string& word);

// Sends one request about a run and prints the answer as it comes; the exit status.
int ask_and_print(const Globals& globals, const std::string& run, solution::Request request);

// Makes the option take one of these values only.
CLI::Option* one_of(CLI::Option* option, const std::vector<std::string>& values);

// To stdout, flushed. False when whoever read it has left (`| head`): there is no use in going on.
bool print(const std::string& text);
int report_error(const Error& error);  // to stderr; the exit status for it
bool on_terminal();                    // stdout is one that can overwrite a line
std::string default_root();

// Each adds its commands to the program. `exit_code` receives the status of the one that ran.
void add_run_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_log_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_store_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_solution_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_check_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_lifecycle_commands(CLI::App& program, const Globals& globals, int* exit_code);

// Waits until another process takes the place of a run's owner that has left; false: the run has ended, or a
// signal came.
bool taken_over(const solution::RunStore& runs, const solution::RunRecord& record);

}  // namespace tidemill::cli
