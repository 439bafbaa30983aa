// When each event is meant to happen and in which order events are sent.
// Format: docs/formats/simulated-events.md, sections "Schedule" and "Faults on purpose".
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "simulate/plan.h"
#include "simulate/randomness.h"

namespace tidemill::simulate {

enum class Fault : uint8_t { kNone, kMalformed, kLate, kOutOfOrder };

struct ScheduledEvent {
  uint64_t index = 0;     // i: the event's number in its instance
  uint64_t sequence = 0;  // i div D': its number in its device
  uint32_t position = 0;  // i mod D': which device, by device_order()
  uint32_t copies = 1;    // how often it is sent, 1 to 64
  Fault fault = Fault::kNone;
  uint8_t spoil = 0;    // of kMalformed: in which of four ways
  int64_t time_us = 0;  // t(i), since the start
  int64_t send_us = 0;  // s(i), since the start
};

// t(0), t(1), … of one instance.
class TimeCursor {
 public:
  explicit TimeCursor(const Plan& plan);
  int64_t time_us() const { return time_us_; }
  void advance() {
    if (poisson_) {
      if (++in_block_ == kBlock) load_block(block_ + 1);
      time_us_ = base_us_ + offsets_us_[in_block_];
      return;
    }
    time_us_ += step_;
    remainder_ += step_remainder_;
    if (remainder_ >= rate_milli_) {
      remainder_ -= rate_milli_;
      ++time_us_;
    }
  }

 private:
  static constexpr size_t kBlock = 1024;
  void load_block(uint64_t block);

  bool poisson_ = false;
  int64_t time_us_ = 0;
  // Fixed pacing: (i × N + j) × 10^9 / rate as quotient and remainder.
  int64_t rate_milli_ = 1;
  int64_t step_ = 0;
  int64_t step_remainder_ = 0;
  int64_t remainder_ = 0;
  // Poisson pacing: the current block.
  KeyStream keys_;
  double mean_us_ = 0;
  uint64_t block_ = 0;
  size_t in_block_ = 0;
  int64_t base_us_ = 0;
  std::vector<int64_t> offsets_us_;
};

// The events of one instance in send order, (s(i), i).
//
// Delayed events are a second and a third walk over the same schedule, as far behind the first as
// they are delayed. So memory does not grow with the delay.
class Schedule {
 public:
  // `events`: scheduled_events(plan), which may be costly to compute. `device_count`: D', or 1
  // without devices.
  Schedule(const Plan& plan, int64_t events, uint64_t device_count);

  enum class Next {
    kEvent,
    kNotYet,  // nothing is to be sent by `until_us`
    kEnd,
  };
  // The next event whose send time is not after `until_us` (since the start). `event` is changed
  // only with kEvent.
  Next next(int64_t until_us, ScheduledEvent* event);
  // The next event is not due before this; never before what was asked for. nullopt at the end.
  std::optional<int64_t> not_before_us() const;

  uint32_t copies(uint64_t index) const;
  Fault fault(uint64_t index, uint8_t* spoil) const;

 private:
  // One walk over the schedule, which sends the events with its delay and passes over the others.
  struct Lane {
    TimeCursor time;
    Fault fault = Fault::kNone;  // kNone stands for kMalformed as well: both are not delayed
    int64_t delay_us = 0;
    uint64_t index = 0;
    uint64_t sequence = 0;
    uint32_t position = 0;

    int64_t send_us() const { return time.time_us() + delay_us; }
  };
  void step(Lane& lane) const;
  const Lane* first_lane() const;

  uint64_t limit_;
  uint32_t device_count_;
  bool any_fault_ = false;
  uint64_t duplicate_every_;
  uint64_t malformed_ppm_;
  uint64_t late_ppm_;
  uint64_t out_of_order_ppm_;
  KeyStream copy_keys_;
  KeyStream fault_keys_;
  std::vector<Lane> lanes_;
};

}  // namespace tidemill::simulate
