// How a command reaches a run: it becomes the run's owner while the lock is free, and asks the owner
// over the socket while it is held. When an owner dies the next one who asks takes its place; nothing
// of that shows to the command.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "solution/host.h"
#include "solution/run_directory.h"
#include "solution/socket.h"

namespace tidemill::solution {

// Thread-safe.
class RunAccess {
 public:
  // `solution` is what this process would own the run with.
  RunAccess(RunStore runs, RunRecord record, Solution solution)
      : runs_(std::move(runs)),
        record_(std::move(record)),
        solution_(std::move(solution)),
        stop_before_(runs_.last_stop(record_)) {}

  // The run's owner in this process; null where another process is.
  std::shared_ptr<Host> host() const;
  // Becomes the owner if the lock is free. Null (and ok) where another process has it. Errors: the run
  // cannot be opened (a damaged log, a full disk); kStopped: it was stopped since this was made.
  Result<std::shared_ptr<Host>> own();
  // From now on the run's metrics are served while this process is its owner. Errors: the port is in use;
  // where that comes out at a later takeover it is only a warning, since the run goes on.
  Status serve_metrics();
  // Gives the run up: drains and closes. Lines that are in use then ask whoever is next.
  void disown();

  const Solution& solution() const { return solution_; }
  const RunRecord& record() const { return record_; }
  std::string directory() const { return runs_.directory(record_.name, record_.number); }

 private:
  RunStore runs_;
  RunRecord record_;
  Solution solution_;
  const std::string stop_before_;
  mutable std::mutex mutex_;
  std::shared_ptr<Host> host_;
  bool metrics_ = false;
};

// One conversation with the owner, whoever it is. Used by one thread at a time.
class Line {
 public:
  explicit Line(RunAccess& access) : access_(access) {}

  // As SocketClient::ask, or in this process. `cancelled` ends it early, without error. An owner that
  // is lost or leaves before it answered anything is replaced by the next one (but not for an append or
  // its ticket); where that happens later the error is retryable, and asking again reaches the next one.
  Status ask(const Request& request, const std::function<bool(std::string_view piece)>& each,
             const std::atomic<bool>& cancelled);
  Result<std::string> ask(const Request& request);

 private:
  Status ask_once(const Request& request, const std::function<bool(std::string_view)>& each,
                  const std::atomic<bool>& cancelled, bool* answered);

  RunAccess& access_;
  std::unique_ptr<SocketClient> client_;
};

}  // namespace tidemill::solution
