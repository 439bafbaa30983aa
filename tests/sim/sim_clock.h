// The simulation's clock: stands until it is moved; the wall clock may jump, the steady one never goes back.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/clock.h"

namespace tidemill::sim {

class SimClock final : public Clock {
 public:
  int64_t wall_us() override { return wall_us_; }
  int64_t steady_ns() override { return steady_us_ * 1000; }
  // Who sleeps lets the others work meanwhile.
  void sleep_us(int64_t microseconds) override {
    advance_us(microseconds);
    if (asleep_) asleep_();
  }

  void advance_us(int64_t microseconds) {
    wall_us_ += microseconds;
    steady_us_ += microseconds;
  }
  void jump_us(int64_t microseconds) { wall_us_ = wall_us_ + microseconds > 0 ? wall_us_ + microseconds : 0; }
  void on_sleep(std::function<void()> asleep) { asleep_ = std::move(asleep); }

 private:
  int64_t wall_us_ = 1'700'000'000'000'000;
  int64_t steady_us_ = 0;
  std::function<void()> asleep_;
};

}  // namespace tidemill::sim
