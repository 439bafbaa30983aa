// Runs on disk: <root>/<name>/<number>/, one directory a run, with all that it made.
//
//   run.json   what the run is and how far it got (RunRecord), replaced atomically
//   lock       held by the process that owns the run; socket: what that process listens on
//   stopped    there was a stop: who began before it takes the run over no more
//   log/       the embedded log     store.duckdb, files/ …: the served store
//   simulate/  manifests
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"

namespace tidemill::solution {

struct RunRecord {
  std::string name;                   // --name, else the solution's
  int64_t number = 0;                 // 1, 2, … within the name
  std::string solution;               // its file or catalogue name, to resolve it again
  std::vector<std::string> settings;  // --set and what stands for it, in order
  std::string size, variant;
  std::string target;  // of the file's; empty: none, the file as it stands
  int64_t created_us = 0;
  std::string state = "open";  // open, finished
  std::string verdict;         // PASS, FAIL, or empty: not verified
  // Entries of its directory that the run made by names of the solution's own: a database, folders.
  std::vector<std::string> made;
  std::vector<std::string> replays;  // names of what its replays wrote into
  // Why run.json cannot be used: damaged, or of another version of the program. Then only `name` and
  // `number` count, which are those of its directory. Empty: it can.
  std::string problem;
  std::string id() const { return name + "/" + std::to_string(number); }
};

Result<std::string> encode_run(const RunRecord& record);
Result<RunRecord> decode_run(const std::string& json);

// The directory tree below one root.
class RunStore {
 public:
  RunStore(FileSystem& files, std::string root) : files_(files), root_(std::move(root)) {}
  const std::string& root() const { return root_; }
  std::string directory(const std::string& name, int64_t number) const;
  // All runs, by name and number; those with a `problem` too. Directories without a run.json are not runs.
  std::vector<RunRecord> list() const;
  std::vector<RunRecord> list(const std::string& name) const;
  std::optional<RunRecord> latest(const std::string& name) const;
  // Creates the next run of the name and its directory. `latest_seen` is the number of the latest run that
  // the caller saw, 0 for none. Errors: kExists where another process has begun one since: look again.
  Result<RunRecord> create(RunRecord record, int64_t latest_seen) const;
  Status save(const RunRecord& record) const;
  // Notes that the run was stopped, for its processes that have yet to hear it; and what was noted last:
  // another text after every stop, empty before the first.
  Status note_stop(const RunRecord& record) const;
  std::string last_stop(const RunRecord& record) const;
  // What of the run's directory a run makes (paths), and what else lies there (left alone by remove).
  struct Contents {
    std::vector<std::string> made;
    std::vector<std::string> foreign;
    uint64_t bytes = 0;
  };
  Contents contents(const RunRecord& record) const;
  Status remove(const RunRecord& record) const;

 private:
  FileSystem& files_;
  std::string root_;
};

// kUser, with what to do, where the run has a problem.
Status check_usable(const RunStore& runs, const RunRecord& record);

// Names go into paths and topics: letters, digits, '-', '_' and '.', at most 64, not starting with '.'.
Status check_run_name(const std::string& name);

}  // namespace tidemill::solution
