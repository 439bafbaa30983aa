// A clock that stands until a test moves it.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace tidemill {

// Thread-safe. sleep_us advances it.
class ManualClock final : public Clock {
 public:
  explicit ManualClock(int64_t wall_us = 1'700'000'000'000'000) : wall_us_(wall_us) {}
  int64_t wall_us() override { return wall_us_.load(); }
  int64_t steady_ns() override { return steady_us_.load() * 1000; }
  void sleep_us(int64_t microseconds) override { advance_us(microseconds); }

  void advance_us(int64_t microseconds) {
    wall_us_ += microseconds;
    steady_us_ += microseconds;
  }

 private:
  std::atomic<int64_t> wall_us_;
  std::atomic<int64_t> steady_us_{0};
};

}  // namespace tidemill
