// The randomness of simulated events: docs/formats/simulated-events.md, section "Randomness".
// Every value is a pure function of (seed, purpose, instance, number): no state, any order.
#pragma once

#include <cstdint>

#include "base/random.h"

namespace tidemill::simulate {

inline constexpr uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

enum class Purpose : uint64_t {
  kContent = 1,
  kPacing = 2,
  kCopies = 3,
  kFaults = 4,
  kEventIds = 5,
  kDeviceOrder = 6,
};

constexpr uint64_t mix(uint64_t z) {
  z ^= z >> 30;
  z *= 0xbf58476d1ce4e5b9ULL;
  z ^= z >> 27;
  z *= 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// key(purpose, instance, i), with the part that does not depend on i computed once.
class KeyStream {
 public:
  constexpr KeyStream() = default;
  constexpr KeyStream(uint64_t seed, Purpose purpose, uint64_t instance)
      : prefix_(mix(mix(seed + static_cast<uint64_t>(purpose) * kGolden) + instance)) {}
  constexpr uint64_t key(uint64_t i) const { return mix(prefix_ + i); }

 private:
  uint64_t prefix_ = 0;
};

constexpr uint64_t word(uint64_t key, uint64_t n) {
  return mix(key + (n + 1) * kGolden);
}

// In [0, bound).
constexpr uint64_t below(uint64_t w, uint64_t bound) {
  return static_cast<uint64_t>((static_cast<Uint128>(w) * bound) >> 64);
}

// In [0, 1).
constexpr double unit(uint64_t w) {
  return static_cast<double>(w >> 11) * 0x1.0p-53;
}

}  // namespace tidemill::simulate
