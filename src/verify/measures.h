// Rate and latency of what is stored.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>

#include "verify/verify.h"

namespace tidemill::verify {

// A histogram in the manner of HDR: 2048 linear steps up to 2048 µs, then 1024 steps for every
// doubling, so that a quantile is right to 0.1 %. Fixed memory. Latencies below 0 count as 0.
class LatencyHistogram {
 public:
  void add(int64_t microseconds);
  // nullopt: nothing was added.
  std::optional<Quantiles> quantiles() const;

 private:
  static constexpr int kSubBits = 10;
  static constexpr size_t kSub = size_t{1} << kSubBits;
  static constexpr size_t kBuckets = (64 - kSubBits) * kSub;
  static size_t bucket_of(uint64_t value);
  static uint64_t highest_in(size_t bucket);

  std::array<uint64_t, kBuckets> counts_{};
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

// Events per second, by the second in which they were stored.
class Rate {
 public:
  // `begun_us`: when the event entered the log (or was made), where that is known.
  void add(int64_t stored_us, std::optional<int64_t> begun_us);
  // Over the whole run: all events, by the time from the first one's entry to the last one's being
  // stored. nullopt without events.
  std::optional<double> overall() const;
  // Of the whole minutes that the run has, counted from the first second in which something was
  // stored: the lowest rate. nullopt where it has none.
  std::optional<double> lowest_minute() const;

 private:
  std::map<int64_t, uint64_t> seconds_;
  uint64_t count_ = 0;
  int64_t first_us_ = std::numeric_limits<int64_t>::max();
  int64_t last_us_ = std::numeric_limits<int64_t>::min();
};

}  // namespace tidemill::verify
