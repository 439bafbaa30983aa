// The log of a run's owner, for whoever may outlive the owner: a query that was given up and still runs.
#pragma once

#include <mutex>
#include <shared_mutex>

#include "log/log.h"

namespace tidemill::solution {

// Thread-safe.
class LogLease {
 public:
  explicit LogLease(log::Log& log) : log_(&log) {}

  // Calls `use` while the log stays open; false, without a call, where it was closed.
  template <class Use>
  bool with(const Use& use) {
    std::shared_lock lock(mutex_);
    if (log_ == nullptr) return false;
    use(*log_);
    return true;
  }
  // Waits for those who use it; the log may be closed then.
  void end() {
    std::unique_lock lock(mutex_);
    log_ = nullptr;
  }

 private:
  std::shared_mutex mutex_;
  log::Log* log_;
};

}  // namespace tidemill::solution
