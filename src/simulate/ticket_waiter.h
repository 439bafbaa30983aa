// Waits for acknowledgements on a thread of its own, so that a slow sync holds up no generation.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

#include "simulate/appender.h"

namespace tidemill::simulate {

// Used by one thread (the owner's); the waiting is done by another, or, with `threaded` false (for
// tests that must repeat exactly), within poll() and await().
class TicketWaiter {
 public:
  TicketWaiter(Appender& appender, bool threaded);
  // Returns when a wait that is under way has returned.
  ~TicketWaiter();
  TicketWaiter(const TicketWaiter&) = delete;
  TicketWaiter& operator=(const TicketWaiter&) = delete;

  // A ticket to wait for; one wait serves all that were submitted meanwhile.
  void submit(uint64_t ticket);

  struct State {
    uint64_t completed = 0;      // this ticket and all before it are acknowledged
    std::optional<Error> error;  // the last wait's; nothing is waited for until reset()
  };
  State poll();
  // Blocks until more than `seen` is completed, or there is an error, or nothing is submitted.
  State await(uint64_t seen);
  // Forgets tickets and error, once no wait is under way.
  void reset();

 private:
  void work();
  void wait_inline();

  Appender& appender_;
  const bool threaded_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint64_t submitted_ = 0;
  State state_;
  bool waiting_ = false;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace tidemill::simulate
