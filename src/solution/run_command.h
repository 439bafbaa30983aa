// `tidemill run`: the steps of a solution, together or each alone.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "solution/load.h"
#include "solution/run_directory.h"

namespace tidemill::solution {

struct RunOptions {
  std::string solution;  // as the user named it, kept in the run's record
  Loaded loaded;
  std::string name;                   // empty: the solution's
  std::string root;                   // where runs are
  std::vector<std::string> settings;  // what was given beside the file, kept in the run's record
  // Letters of the reference: C and I (log and topics; always), D (the served store; always), P (processing),
  // T (test clients: the simulator), M (metrics), V (verification).
  std::string steps = "CIDPTMV";
  bool until_end = false;  // without a simulator: ends when what the input holds is processed
  bool leave = false;      // a static member of a group gives its place up when it ends
  bool fresh = false;
  bool resume = false;
  bool json = false;      // report rows and verdict as JSON lines
  bool terminal = false;  // progress lines may overwrite each other
  std::string rules;      // of the verification; empty: the solution's
  // Called once, when every step has started: what cannot start is known by then.
  std::function<void()> on_started;
};

// Checks letters. Errors: kUser.
Status check_steps(const std::string& steps);

// The run that a command means: an unfinished or live one of the name is gone on with; else, where something
// is to be simulated or nothing was run yet, a new one is created.
Result<RunRecord> choose_run(const RunStore& runs, const RunOptions& options);

// Whether a process owns the run now.
bool is_live(const RunStore& runs, const RunRecord& record);

// The lock of a run that nobody owns, for changes to its files from outside. Errors: kUser where it is owned.
Result<std::unique_ptr<FileLock>> lock_idle_run(const RunStore& runs, const RunRecord& record);

// Text for the terminal; called from several threads, one at a time.
using Print = std::function<void(const std::string& text)>;

enum class RunResult { kDone, kPassed, kFailed, kStopped };

// Runs the steps until they are done, the duration is over or a signal came. Errors: what stopped it.
Result<RunResult> run_steps(const RunStore& runs, const RunRecord& record, const RunOptions& options,
                            const Print& print);

// `run --from … --into …`: replays the log into another table, topic or folder beside a live run.
Status run_replay(const RunStore& runs, const RunRecord& record, const RunOptions& options,
                  const std::string& from, const std::string& into, const Print& print);

}  // namespace tidemill::solution
