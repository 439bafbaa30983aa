#include "solution/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace tidemill::solution {
namespace {

std::atomic<bool> stop_was_asked{false};
std::atomic<bool> signalled{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler writes it");

void on_signal(int number) {
  if (signalled.exchange(true)) ::_exit(128 + number);
  stop_was_asked = true;
}

}  // namespace

const std::atomic<bool>& interrupted() {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_handler = on_signal;
    sigemptyset(&action.sa_mask);
    for (int number : {SIGINT, SIGTERM, SIGHUP}) {
      struct sigaction before {};
      ::sigaction(number, nullptr, &before);
      if (before.sa_handler != SIG_IGN) ::sigaction(number, &action, nullptr);
    }
    ::signal(SIGPIPE, SIG_IGN);
    return true;
  }();
  (void)installed;
  return stop_was_asked;
}

void interrupt() {
  stop_was_asked = true;
}

}  // namespace tidemill::solution
