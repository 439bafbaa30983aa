// A histogram of latencies with a bounded relative error, in fixed memory (after HdrHistogram:
// powers of two, each divided into equal parts).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace tidemill::observe {

// Microseconds from 0 to about 2^40 (12 days); below 256 exact, above within 0.8 %. Negative values
// count as 0, larger ones as the largest. Not thread-safe.
class Histogram {
 public:
  void record(int64_t microseconds, uint64_t times = 1);
  void merge(const Histogram& other);
  // What was recorded since `earlier`, a former state of this histogram. The maximum is then that of its
  // bucket.
  Histogram since(const Histogram& earlier) const;
  void clear() { *this = Histogram(); }
  uint64_t count() const { return count_; }
  int64_t max() const { return max_; }
  double sum() const { return sum_; }  // exact up to 2^53
  // The smallest recorded value (within the error) that at least `quantile` (0 to 1) of all values do not
  // exceed; 0 when empty.
  int64_t quantile(double quantile) const;
  // How many values do not exceed `microseconds` (within the error). Precondition: not negative.
  uint64_t count_at_most(int64_t microseconds) const;

 private:
  static constexpr int kPartBits = 7;  // 128 parts a power of two
  static constexpr int kPowers = 40 - kPartBits;
  static size_t bucket_of(int64_t value);
  static int64_t highest_in(size_t bucket);

  std::array<uint64_t, static_cast<size_t>(kPowers + 1) << kPartBits> counts_{};
  uint64_t count_ = 0;
  int64_t max_ = 0;
  double sum_ = 0;  // of clocks that were never set, some thousand values would overflow an integer
};

}  // namespace tidemill::observe
