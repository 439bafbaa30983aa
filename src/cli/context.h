// What the commands have in common: where runs are, which run and solution a word means, how text and
// errors reach the terminal.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "solution/access.h"
#include "solution/catalogue.h"
#include "solution/load.h"
#include "solution/run_directory.h"

namespace CLI {
class App;
}

namespace tidemill::cli {

// Exit statuses.
inline constexpr int kOk = 0, kFailed = 1, kUsage = 2, kStopped = 130;

// Options of the program, before any command.
struct Globals {
  std::string root;  // of all runs
  bool quiet = false;
  bool verbose = false;
};

// Settings that several commands take, as options of their own or by --set.
struct SolutionOptions {
  std::string solution;  // a file, or a name of the catalogue
  std::string size;
  std::vector<std::string> sets;  // "path=value"
  void add_to(CLI::App& app);
};

// The solution with its options; `all_sets` are the overrides in force, as "path=value".
struct Resolved {
  solution::Loaded loaded;
  std::vector<std::string> settings;
};
solution::Catalogue the_catalogue();
Result<Resolved> resolve_solution(const SolutionOptions& options);

// The latest run that `word` means: a run's name (with or without its number: "telemetry/2"), or a solution
// file, whose name it then is. Errors name the runs that there are.
Result<solution::RunRecord> find_run(const Globals& globals, const std::string& word);
// The run's own solution, with the settings that it was started with.
Result<solution::Loaded> solution_of(const solution::RunRecord& record);
// Both, ready to ask. Errors as above.
Result<std::unique_ptr<solution::RunAccess>> open_run(const Globals& globals, const std::string& word);

// Sends one request about a run and prints the answer as it comes; the exit status.
int ask_and_print(const Globals& globals, const std::string& run, solution::Request request);

void print(const std::string& text);   // to stdout, flushed
int report_error(const Error& error);  // to stderr; the exit status for it
bool on_terminal();                    // stdout is one
std::string default_root();

// Each adds its commands to the program. `exit_code` receives the status of the one that ran.
void add_run_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_log_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_store_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_solution_commands(CLI::App& program, const Globals& globals, int* exit_code);
void add_lifecycle_commands(CLI::App& program, const Globals& globals, int* exit_code);

}  // namespace tidemill::cli
