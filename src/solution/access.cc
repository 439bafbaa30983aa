#include "solution/access.h"

#include "base/logging.h"
#include "solution/host_impl.h"

namespace tidemill::solution {
namespace {

// How long a held lock without anybody listening is waited for: an owner that is still recovering its
// log, or one that is closing.
constexpr int64_t kOwnerWaitUs = 60'000'000;
constexpr int64_t kOwnerPauseUs = 20'000;
constexpr int kOwnersLost = 5;  // how many owners may go, one after another, before one answers

}  // namespace

std::shared_ptr<Host> RunAccess::host() const {
  std::lock_guard lock(mutex_);
  return host_;
}

Result<std::shared_ptr<Host>> RunAccess::own() {
  std::lock_guard lock(mutex_);
  if (host_) return host_;
  auto opened = Host::open(runs_, record_, solution_);
  if (opened.ok()) {
    if (runs_.last_stop(record_) != stop_before_) return was_stopped();
    host_ = std::move(*opened);
    if (metrics_) {
      Status served = host_->serve_metrics();
      if (!served.ok())
        log_warning(served.error().message);
      else if (!host_->metrics_url().empty())
        log_info("metrics at " + host_->metrics_url());
    }
    return host_;
  }
  if (opened.error().code == Code::kExists) return std::shared_ptr<Host>();
  return std::move(opened).error();
}

Status RunAccess::serve_metrics() {
  std::lock_guard lock(mutex_);
  metrics_ = true;
  return host_ ? host_->serve_metrics() : ok_status();
}

void RunAccess::disown() {
  std::shared_ptr<Host> leaving;
  {
    std::lock_guard lock(mutex_);
    leaving = std::move(host_);
  }
}

Status Line::ask(const Request& request, const std::function<bool(std::string_view)>& each,
                 const std::atomic<bool>& cancelled) {
  // Whoever takes a lost owner's place gives the same answer. What became of an append its sender must find
  // out, and a ticket is the log's that gave it.
  int again = request.verb == "log.append" || request.verb == "log.wait" ? 0 : kOwnersLost;
  while (true) {
    bool answered = false;
    Status asked = ask_once(request, each, cancelled, &answered);
    if (client_ == nullptr) return asked;
    const bool leaves = !asked.ok() && asked.error().code == Code::kStopped && asked.error().retryable;
    if (!client_->lost() && !leaves) return asked;
    client_.reset();
    if (asked.ok() || answered || cancelled || again-- == 0) return asked;
    if (leaves) Clock::system().sleep_us(kOwnerPauseUs);
  }
}

// Leaves client_ null where this process answered itself.
Status Line::ask_once(const Request& request, const std::function<bool(std::string_view)>& each,
                      const std::atomic<bool>& cancelled, bool* answered) {
  int64_t waited_us = 0;
  while (!client_) {
    TM_ASSIGN(std::shared_ptr<Host> host, access_.own());
    if (host) {
      Request mine = request;
      std::atomic<bool> left{false};
      auto reply = [&](std::string_view piece) {
        if (!piece.empty() && !each(piece)) left = true;
        return !left && !cancelled;
      };
      Status answered_here = host->answer(mine, reply, cancelled);
      const bool ended = cancelled && !answered_here.ok() && answered_here.error().code == Code::kStopped;
      return ended ? ok_status() : answered_here;
    }
    auto made = SocketClient::connect(access_.directory());
    if (made.ok()) {
      client_ = std::move(*made);
      break;
    }
    if (cancelled) return {};
    if (waited_us >= kOwnerWaitUs) {
      return external_error(
          access_.directory() +
              ": a process holds the run's lock, but answers nobody; see its output, or stop it",
          Code::kFailed, true);
    }
    Clock::system().sleep_us(kOwnerPauseUs);
    waited_us += kOwnerPauseUs;
  }
  bool left = false;
  Status asked = client_->ask(
      request,
      [&](std::string_view piece) {
        *answered = true;
        left = cancelled || (!piece.empty() && !each(piece));
        return !left;
      },
      &cancelled);
  return left || cancelled ? ok_status() : asked;
}

Result<std::string> Line::ask(const Request& request) {
  std::string whole;
  std::atomic<bool> never{false};
  TM_TRY(ask(
      request,
      [&](std::string_view piece) {
        whole.append(piece);
        return true;
      },
      never));
  return whole;
}

}  // namespace tidemill::solution
