#include "verify/measures.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tidemill::verify {

size_t LatencyHistogram::bucket_of(uint64_t value) {
  int shift = std::max(0, static_cast<int>(std::bit_width(value)) - kSubBits - 1);
  return static_cast<size_t>(shift) * kSub + static_cast<size_t>(value >> shift);
}

uint64_t LatencyHistogram::highest_in(size_t bucket) {
  if (bucket < 2 * kSub) return bucket;
  size_t shift = bucket / kSub - 1;
  uint64_t step = bucket - shift * kSub;
  return ((step + 1) << shift) - 1;
}

void LatencyHistogram::add(int64_t microseconds) {
  uint64_t value = microseconds < 0 ? 0 : static_cast<uint64_t>(microseconds);
  ++counts_[bucket_of(value)];
  ++count_;
  max_ = std::max(max_, value);
}

std::optional<Quantiles> LatencyHistogram::quantiles() const {
  if (count_ == 0) return std::nullopt;
  Quantiles out;
  out.count = count_;
  const std::array<std::pair<double, double*>, 3> wanted{
      {{0.5, &out.p50}, {0.99, &out.p99}, {0.999, &out.p99_9}}};
  size_t at = 0;
  uint64_t below = 0;
  for (size_t bucket = 0; bucket < kBuckets && at < wanted.size(); ++bucket) {
    below += counts_[bucket];
    while (at < wanted.size() &&
           below >= static_cast<uint64_t>(std::ceil(wanted[at].first * static_cast<double>(count_)))) {
      *wanted[at].second = static_cast<double>(std::min(highest_in(bucket), max_)) / 1000.0;
      ++at;
    }
  }
  out.max = static_cast<double>(max_) / 1000.0;
  return out;
}

namespace {

constexpr int64_t kSecond = 1'000'000;

int64_t second_of(int64_t us) {
  return us / kSecond - (us % kSecond < 0 ? 1 : 0);
}

}  // namespace

void Rate::add(int64_t stored_us, std::optional<int64_t> begun_us) {
  ++seconds_[second_of(stored_us)];
  ++count_;
  first_us_ = std::min({first_us_, stored_us, begun_us.value_or(stored_us)});
  last_us_ = std::max(last_us_, stored_us);
}

std::optional<double> Rate::overall() const {
  if (count_ == 0) return std::nullopt;
  // What was stored within one instant has no rate of its own: a millisecond is the least.
  int64_t span_us = std::max<int64_t>(last_us_ - first_us_, 1000);
  return static_cast<double>(count_) * 1e6 / static_cast<double>(span_us);
}

std::optional<double> Rate::lowest_minute() const {
  if (seconds_.empty()) return std::nullopt;
  int64_t first = seconds_.begin()->first;
  int64_t minutes = (seconds_.rbegin()->first - first) / 60;
  if (minutes == 0) return std::nullopt;
  auto at = seconds_.begin();
  uint64_t lowest = std::numeric_limits<uint64_t>::max();
  for (int64_t minute = 0; minute < minutes; ++minute) {
    uint64_t events = 0;
    for (; at != seconds_.end() && at->first < first + (minute + 1) * 60; ++at) events += at->second;
    lowest = std::min(lowest, events);
  }
  return static_cast<double>(lowest) / 60.0;
}

}  // namespace tidemill::verify
