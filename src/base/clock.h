// Time, behind an interface, so that tests and the simulation drive it.
#pragma once

#include <cstdint>

namespace tidemill {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Microseconds since 1970-01-01T00:00:00Z; may jump.
  virtual int64_t wall_us() = 0;
  // Nanoseconds since some start; never goes back.
  virtual int64_t steady_ns() = 0;
  // Blocks the calling thread; simulated clocks advance instead.
  virtual void sleep_us(int64_t microseconds) = 0;

  static Clock& system();
};

}  // namespace tidemill
