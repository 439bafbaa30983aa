#include "observe/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

namespace tidemill::observe {

// Values below 2^(bits+1) have a bucket each; above, the top bits+1 bits choose the bucket.
size_t Histogram::bucket_of(int64_t value) {
  auto v = static_cast<uint64_t>(value);
  int shift = std::max(0, static_cast<int>(std::bit_width(v)) - (kPartBits + 1));
  size_t bucket = (static_cast<size_t>(shift) << kPartBits) + static_cast<size_t>(v >> shift);
  return std::min(bucket, std::tuple_size_v<decltype(counts_)> - 1);
}

int64_t Histogram::highest_in(size_t bucket) {
  size_t part = size_t{1} << kPartBits;
  if (bucket < 2 * part) return static_cast<int64_t>(bucket);
  size_t shift = bucket / part - 1;
  return static_cast<int64_t>(((bucket - shift * part + 1) << shift) - 1);
}

void Histogram::record(int64_t microseconds, uint64_t times) {
  int64_t value = std::max<int64_t>(microseconds, 0);
  counts_[bucket_of(value)] += times;
  count_ += times;
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value) * static_cast<double>(times);
}

void Histogram::merge(const Histogram& other) {
  for (size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

Histogram Histogram::since(const Histogram& earlier) const {
  Histogram later;
  for (size_t i = 0; i < counts_.size(); ++i) {
    later.counts_[i] = counts_[i] - earlier.counts_[i];
    if (later.counts_[i] > 0) later.max_ = std::min(highest_in(i), max_);
  }
  later.count_ = count_ - earlier.count_;
  later.sum_ = sum_ - earlier.sum_;
  return later;
}

int64_t Histogram::quantile(double quantile) const {
  if (count_ == 0) return 0;
  auto wanted = static_cast<uint64_t>(std::ceil(quantile * static_cast<double>(count_)));
  wanted = std::clamp<uint64_t>(wanted, 1, count_);
  uint64_t seen = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    seen += counts_[i];
    if (seen >= wanted) return std::min(highest_in(i), max_);
  }
  return max_;
}

uint64_t Histogram::count_at_most(int64_t microseconds) const {
  size_t last = bucket_of(microseconds);
  return std::accumulate(counts_.begin(), counts_.begin() + static_cast<std::ptrdiff_t>(last) + 1,
                         uint64_t{0});
}

}  // namespace tidemill::observe
