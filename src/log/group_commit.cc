#include "log/group_commit.h"

#include <chrono>
#include <string>
#include <utility>

namespace tidemill::log {

Status Fatal::check() const {
  if (!set_.load(std::memory_order_acquire)) return {};
  std::lock_guard lock(mutex_);
  return error_;
}

Error Fatal::set(Error error) {
  std::lock_guard lock(mutex_);
  if (!set_.load(std::memory_order_relaxed)) {
    error_ = std::move(error);
    error_.retryable = false;
    if (error_.code == Code::kDiskFull) error_.code = Code::kFailed;
    error_.message = "log: " + error_.message + "; restart: what the disk holds is unknown";
    set_.store(true, std::memory_order_release);
    first_();
  }
  return error_;
}

SyncThreads::~SyncThreads() {
  {
    std::lock_guard lock(mutex_);
    ending_ = true;
  }
  more_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

Status SyncThreads::sync(const std::vector<std::shared_ptr<Syncable>>& all) {
  std::unique_lock lock(mutex_);
  while (threads_.size() + 1 < all.size() && threads_.size() < static_cast<size_t>(most_))
    threads_.emplace_back([this] { work(); });
  round_ = &all;
  next_ = 0;
  left_ = all.size();
  failed_ = ok_status();
  if (all.size() > 1) more_.notify_all();
  take(lock);
  done_.wait(lock, [this] { return left_ == 0; });
  round_ = nullptr;
  return std::move(failed_);
}

void SyncThreads::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    more_.wait(lock, [this] { return ending_ || (round_ != nullptr && next_ < round_->size()); });
    if (ending_) return;
    take(lock);
  }
}

void SyncThreads::take(std::unique_lock<std::mutex>& lock) {
  while (round_ != nullptr && next_ < round_->size()) {
    Syncable& one = *(*round_)[next_++];
    lock.unlock();
    Status synced = one.sync_written();
    lock.lock();
    --left_;
    if (!synced.ok() && failed_.ok()) {
      failed_ = std::move(synced);
      left_ -= round_->size() - std::exchange(next_, round_->size());
    }
    if (left_ == 0) done_.notify_all();
  }
}

uint64_t GroupCommit::written(const std::shared_ptr<Syncable>& who) {
  // Queued before the ticket is drawn: a round that covers the ticket finds `who` in its queue, or
  // cleared the flag before and then reads `who`'s end under the lock that the caller holds now.
  if (!who->queued_.exchange(true, std::memory_order_acq_rel)) {
    std::lock_guard lock(queue_mutex_);
    queue_.push_back(who);
  }
  return written_.fetch_add(1, std::memory_order_acq_rel) + 1;
}

Result<bool> GroupCommit::wait(uint64_t ticket) {
  bool synced_here = false;
  // No sync would ever reach it: tickets come back from other processes.
  if (ticket > written_.load(std::memory_order_acquire)) {
    return user_error("the log gave no sync ticket " + std::to_string(ticket), Code::kInvalid);
  }
  if (durable(ticket)) {
    TM_TRY(fatal_.check());
    return false;
  }
  std::unique_lock lock(mutex_);
  while (true) {
    TM_TRY(fatal_.check());
    if (durable(ticket)) return synced_here;
    if (leading_) {
      round_over_.wait(lock);
      continue;
    }
    leading_ = true;
    lock.unlock();
    Status synced = sync_round();
    lock.lock();
    leading_ = false;
    synced_here = true;
    round_over_.notify_all();
    if (!synced.ok()) return std::move(synced).error();
  }
}

Status GroupCommit::sync_round() {
  uint64_t target = ticket();
  std::vector<std::shared_ptr<Syncable>> queue;
  {
    std::lock_guard lock(queue_mutex_);
    queue.swap(queue_);
  }
  for (const auto& who : queue) who->queued_.store(false, std::memory_order_release);
  if (Status synced = threads_.sync(queue); !synced.ok()) return fatal_.set(std::move(synced).error());
  synced_.store(target, std::memory_order_release);
  return {};
}

void VisibleSignal::bump() {
  version_.fetch_add(1, std::memory_order_seq_cst);
  if (waiters_.load(std::memory_order_seq_cst) == 0) return;
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

uint64_t VisibleSignal::wait(uint64_t seen, int64_t timeout_us) {
  uint64_t version = version_.load(std::memory_order_seq_cst);
  if (version != seen || timeout_us <= 0) return version;
  std::unique_lock lock(mutex_);
  waiters_.fetch_add(1, std::memory_order_seq_cst);
  changed_.wait_for(lock, std::chrono::microseconds(timeout_us),
                    [&] { return version_.load(std::memory_order_seq_cst) != seen; });
  waiters_.fetch_sub(1, std::memory_order_seq_cst);
  return version_.load(std::memory_order_seq_cst);
}

}  // namespace tidemill::log
