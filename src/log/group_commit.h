// Group commit: many appenders share one sync. A waiter that finds nobody syncing leads: it syncs
// every file written since the last round, then wakes all whose data that covered.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/result.h"

namespace tidemill::log {

// The first error after which what the disk holds is unknown; every later call answers it.
class Fatal {
 public:
  // `first` is called once, after the first error.
  explicit Fatal(std::function<void()> first) : first_(std::move(first)) {}
  Status check() const;
  // Keeps the first error and returns it, as later calls will see it.
  Error set(Error error);

 private:
  std::atomic<bool> set_{false};
  mutable std::mutex mutex_;
  Error error_;
  const std::function<void()> first_;
};

// Something with unsynced writes: a partition.
class Syncable {
 public:
  virtual ~Syncable() = default;
  // Makes durable what was written before the call. Runs without any lock of the caller's.
  virtual Status sync_written() = 0;

 private:
  friend class GroupCommit;
  std::atomic<bool> queued_{false};
};

// Threads that sync beside the one that leads a round: file systems do the syncs of several files that wait
// at once in about the time of one. They start when they are first needed. Used by one thread at a time.
class SyncThreads {
 public:
  // 0: the caller syncs one after another.
  explicit SyncThreads(int most) : most_(most) {}
  ~SyncThreads();
  SyncThreads(const SyncThreads&) = delete;
  SyncThreads& operator=(const SyncThreads&) = delete;

  // Returns when all are done, or one failed and those under way have ended. Errors: the first one.
  Status sync(const std::vector<std::shared_ptr<Syncable>>& all);

 private:
  void work();
  void take(std::unique_lock<std::mutex>& lock);  // until nothing is left to take

  const int most_;
  std::mutex mutex_;
  std::condition_variable more_, done_;
  const std::vector<std::shared_ptr<Syncable>>* round_ = nullptr;
  size_t next_ = 0, left_ = 0;  // of the round: to take, to end
  Status failed_;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

// Thread-safe.
class GroupCommit {
 public:
  GroupCommit(Fatal& fatal, int sync_threads) : fatal_(fatal), threads_(sync_threads) {}

  // `who` has written. Called under the lock that orders its writes; returns the write's ticket.
  uint64_t written(const std::shared_ptr<Syncable>& who);
  // Covers everything written so far.
  uint64_t ticket() const { return written_.load(std::memory_order_acquire); }
  bool durable(uint64_t ticket) const { return synced_.load(std::memory_order_acquire) >= ticket; }
  // Returns once everything up to `ticket` is durable. True where this call did a sync itself.
  // Errors: the fatal one.
  Result<bool> wait(uint64_t ticket);

 private:
  Status sync_round();

  Fatal& fatal_;
  SyncThreads threads_;  // the leader's
  std::atomic<uint64_t> written_{0};
  std::atomic<uint64_t> synced_{0};
  std::mutex mutex_;
  std::condition_variable round_over_;
  bool leading_ = false;
  std::mutex queue_mutex_;
  std::vector<std::shared_ptr<Syncable>> queue_;
};

// Wakes readers that wait for anything new. Thread-safe.
class VisibleSignal {
 public:
  void bump();
  uint64_t wait(uint64_t seen, int64_t timeout_us);

 private:
  std::atomic<uint64_t> version_{1};
  std::atomic<int> waiters_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace tidemill::log
