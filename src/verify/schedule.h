// When, to which device and how often each event of an instance is sent: a pure function of the
// manifest (docs/formats/simulated-events.md, "Schedule" and "Faults on purpose").
//
// Not thread-safe: times are cached.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

#include "verify/manifest.h"

namespace tidemill::verify {

enum class Fault { kNone, kMalformed, kLate, kOutOfOrder };

class Schedule {
 public:
  // `manifest` is borrowed and must live as long.
  explicit Schedule(const Manifest& manifest);

  const Manifest& manifest() const { return *manifest_; }
  // Events of this instance; -1 without limit.
  int64_t events() const { return events_; }

  // The device numbers of this instance in sending order: event i is of order()[i mod size].
  const std::vector<int64_t>& order() const { return order_; }
  int64_t device_of(int64_t i) const { return order_[position_of(i)]; }
  size_t position_of(int64_t i) const { return static_cast<size_t>(i % static_cast<int64_t>(order_.size())); }
  int64_t sequence_of(int64_t i) const { return i / static_cast<int64_t>(order_.size()); }

  // t(i), c(i), the fault and s(i) of the page. Microseconds after the start.
  int64_t time_us(int64_t i);
  int copies(int64_t i) const;
  Fault fault(int64_t i) const;
  int64_t send_us(int64_t i) { return time_us(i) + delay_us(fault(i)); }
  int64_t delay_us(Fault fault) const;

 private:
  static constexpr int64_t kBlock = 1024;
  static constexpr size_t kCachedBlocks = 64;
  struct Block {
    int64_t number = -1;
    std::array<int64_t, kBlock> times;
  };
  const std::array<int64_t, kBlock>& block_times(int64_t block);
  void fill_block(int64_t block, int64_t begin, std::array<int64_t, kBlock>* times) const;
  int64_t count_events();

  const Manifest* manifest_;
  std::vector<int64_t> order_;
  int64_t rate_milli_;
  double mean_gap_us_;
  int64_t out_of_order_delay_us_;
  uint64_t pacing_base_;
  uint64_t copies_base_;
  uint64_t faults_base_;
  std::vector<int64_t> block_begins_{0};  // B(0) … as far as it was needed
  std::vector<Block> cache_;
  int64_t events_;
};

// The events of an instance in the order in which they are sent: by (s(i), i). Memory: the events
// that are delayed at one time.
class SendOrder {
 public:
  explicit SendOrder(Schedule& schedule) : schedule_(schedule) {}
  // The next event, nullopt at the schedule's end.
  std::optional<int64_t> next();

 private:
  using Due = std::pair<int64_t, int64_t>;  // s(i), i
  Schedule& schedule_;
  int64_t next_ = 0;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> delayed_;
};

}  // namespace tidemill::verify
