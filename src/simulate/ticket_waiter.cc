#include "simulate/ticket_waiter.h"

#include <algorithm>

namespace tidemill::simulate {

TicketWaiter::TicketWaiter(Appender& appender, bool threaded) : appender_(appender), threaded_(threaded) {
  if (threaded_) thread_ = std::thread([this] { work(); });
}

TicketWaiter::~TicketWaiter() {
  if (!threaded_) return;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void TicketWaiter::submit(uint64_t ticket) {
  {
    std::lock_guard lock(mutex_);
    submitted_ = std::max(submitted_, ticket);
  }
  changed_.notify_all();
}

void TicketWaiter::wait_inline() {
  if (threaded_ || state_.error || submitted_ <= state_.completed) return;
  Status status = appender_.wait(submitted_);
  if (status.ok()) {
    state_.completed = submitted_;
  } else {
    state_.error = std::move(status).error();
  }
}

TicketWaiter::State TicketWaiter::poll() {
  std::lock_guard lock(mutex_);
  wait_inline();
  return state_;
}

TicketWaiter::State TicketWaiter::await(uint64_t seen) {
  std::unique_lock lock(mutex_);
  wait_inline();
  changed_.wait(lock, [&] {
    return state_.completed > seen || state_.error || (!waiting_ && submitted_ <= state_.completed);
  });
  return state_;
}

void TicketWaiter::reset() {
  std::unique_lock lock(mutex_);
  submitted_ = 0;  // so that no further wait begins
  changed_.wait(lock, [&] { return !waiting_; });
  state_ = {};
}

void TicketWaiter::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return closed_ || (!state_.error && submitted_ > state_.completed); });
    if (closed_) return;
    const uint64_t ticket = submitted_;
    waiting_ = true;
    lock.unlock();
    Status status = appender_.wait(ticket);
    lock.lock();
    waiting_ = false;
    if (status.ok()) {
      state_.completed = ticket;
    } else {
      state_.error = std::move(status).error();
    }
    changed_.notify_all();
  }
}

}  // namespace tidemill::simulate
