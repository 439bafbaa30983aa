#include "solution/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace tidemill::solution {
namespace {

std::atomic<bool> stop_was_asked{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void on_signal(int number) {
  if (stop_was_asked.exchange(true)) ::_exit(128 + number);
}

}  // namespace

const std::atomic<bool>& interrupted() {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
    return true;
  }();
  (void)installed;
  return stop_was_asked;
}

}  // namespace tidemill::solution
