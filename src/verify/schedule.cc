#include "verify/schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "verify/randomness.h"

namespace tidemill::verify {
namespace {

constexpr int64_t kNominalRateMilli = 1'000'000'000;  // --rate max: one event per microsecond
constexpr uint64_t kMillion = 1'000'000;

std::vector<int64_t> device_order(const Manifest& manifest) {
  std::vector<int64_t> devices;
  if (manifest.profile != Profile::kTelemetry) return {-1};
  for (int64_t device = 0; device < manifest.devices; ++device) {
    if (manifest.shared_devices || device % manifest.instances == manifest.instance)
      devices.push_back(device);
  }
  if (devices.empty()) return devices;
  uint64_t key =
      key_of(key_base(manifest.seed, Purpose::kDeviceOrder, static_cast<uint64_t>(manifest.instance)), 0);
  for (size_t n = devices.size() - 1; n >= 1; --n) std::swap(devices[n], devices[below(word(key, n), n + 1)]);
  return devices;
}

}  // namespace

Schedule::Schedule(const Manifest& manifest)
    : manifest_(&manifest),
      order_(device_order(manifest)),
      rate_milli_(manifest.rate_milli == 0 ? kNominalRateMilli : manifest.rate_milli),
      mean_gap_us_(static_cast<double>(manifest.instances) * 1e9 / static_cast<double>(rate_milli_)),
      cache_(manifest.pacing == Pacing::kPoisson ? kCachedBlocks : 0) {
  auto instance = static_cast<uint64_t>(manifest.instance);
  pacing_base_ = key_base(manifest.seed, Purpose::kPacing, instance);
  copies_base_ = key_base(manifest.seed, Purpose::kCopies, instance);
  faults_base_ = key_base(manifest.seed, Purpose::kFaults, instance);
  double delay = 1.5 * static_cast<double>(order_.size()) * static_cast<double>(manifest.instances) * 1e9 /
                 static_cast<double>(rate_milli_);
  out_of_order_delay_us_ = static_cast<int64_t>(std::floor(std::min(delay, 4e18)));
  events_ = count_events();
}

int64_t Schedule::count_events() {
  const Manifest& m = *manifest_;
  if (order_.empty()) return 0;
  int64_t by_count = -1;
  if (m.count >= 0) by_count = m.count / m.instances + (m.instance < m.count % m.instances ? 1 : 0);
  if (m.duration_us < 0) return by_count;
  // t is nondecreasing: the first i with t(i) >= duration.
  int64_t high = 1;
  constexpr int64_t kFar = int64_t{1} << 48;
  int64_t bound = by_count >= 0 ? by_count : kFar;
  while (high < bound && time_us(high - 1) < m.duration_us) high *= 2;
  high = std::min(high, bound);
  int64_t low = 0;
  while (low < high) {
    int64_t middle = low + (high - low) / 2;
    if (time_us(middle) < m.duration_us)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

void Schedule::fill_block(int64_t block, int64_t begin, std::array<int64_t, kBlock>* times) const {
  uint64_t key = key_of(pacing_base_, static_cast<uint64_t>(block));
  double sum = 0;
  for (int64_t n = 0; n < kBlock; ++n) {
    double gap = -std::log1p(-unit(word(key, static_cast<uint64_t>(n)))) * mean_gap_us_;
    sum = sum + gap;
    (*times)[static_cast<size_t>(n)] = begin + static_cast<int64_t>(std::floor(sum));
  }
}

const std::array<int64_t, Schedule::kBlock>& Schedule::block_times(int64_t block) {
  Block& slot = cache_[static_cast<size_t>(block) % kCachedBlocks];
  if (slot.number == block) return slot.times;
  while (static_cast<int64_t>(block_begins_.size()) <= block) {
    // A block begins where the last event of the one before it stands.
    auto last = static_cast<int64_t>(block_begins_.size()) - 1;
    fill_block(last, block_begins_.back(), &slot.times);
    block_begins_.push_back(slot.times.back());
  }
  fill_block(block, block_begins_[static_cast<size_t>(block)], &slot.times);
  slot.number = block;
  return slot.times;
}

int64_t Schedule::time_us(int64_t i) {
  if (manifest_->pacing == Pacing::kPoisson) return block_times(i / kBlock)[static_cast<size_t>(i % kBlock)];
  Uint128 nth = static_cast<Uint128>(i) * static_cast<Uint128>(manifest_->instances) +
                static_cast<Uint128>(manifest_->instance);
  return static_cast<int64_t>(nth * kNominalRateMilli / static_cast<Uint128>(rate_milli_));
}

int Schedule::copies(int64_t i) const {
  auto every = static_cast<uint64_t>(manifest_->duplicate_every);
  if (every == 0) return 1;
  uint64_t key = key_of(copies_base_, static_cast<uint64_t>(i));
  int repeats = 0;
  while (repeats <= 62 && below(word(key, static_cast<uint64_t>(repeats)), every) == 0) ++repeats;
  return 1 + repeats;
}

Fault Schedule::fault(int64_t i) const {
  const Manifest& m = *manifest_;
  if (m.malformed_ppm == 0 && m.late_ppm == 0 && m.out_of_order_ppm == 0) return Fault::kNone;
  uint64_t key = key_of(faults_base_, static_cast<uint64_t>(i));
  if (below(word(key, 0), kMillion) < static_cast<uint64_t>(m.malformed_ppm)) return Fault::kMalformed;
  if (below(word(key, 1), kMillion) < static_cast<uint64_t>(m.late_ppm)) return Fault::kLate;
  if (below(word(key, 2), kMillion) < static_cast<uint64_t>(m.out_of_order_ppm)) return Fault::kOutOfOrder;
  return Fault::kNone;
}

int64_t Schedule::delay_us(Fault fault) const {
  if (fault == Fault::kLate) return manifest_->late_by_us;
  return fault == Fault::kOutOfOrder ? out_of_order_delay_us_ : 0;
}

std::optional<int64_t> SendOrder::next() {
  for (;;) {
    bool more = schedule_.events() < 0 || next_ < schedule_.events();
    if (!more && delayed_.empty()) return std::nullopt;
    // An event that is still to come is sent at t(next_) at the earliest.
    if (!delayed_.empty() && (!more || delayed_.top() <= Due{schedule_.time_us(next_), next_})) {
      int64_t i = delayed_.top().second;
      delayed_.pop();
      return i;
    }
    int64_t i = next_++;
    int64_t delay = schedule_.delay_us(schedule_.fault(i));
    if (delay == 0) return i;
    delayed_.emplace(schedule_.time_us(i) + delay, i);
  }
}

}  // namespace tidemill::verify
