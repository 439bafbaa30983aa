// The words of docs/formats/simulated-events.md, "Randomness": written from that page alone.
#pragma once

#include <cstdint>

namespace tidemill::verify {

__extension__ using Uint128 = unsigned __int128;

inline constexpr uint64_t kGolden = 0x9e3779b97f4a7c15;

enum class Purpose : uint64_t {
  kContent = 1,
  kPacing = 2,
  kCopies = 3,
  kFaults = 4,
  kIds = 5,
  kDeviceOrder = 6
};

constexpr uint64_t mix(uint64_t z) {
  z ^= z >> 30;
  z *= 0xbf58476d1ce4e5b9;
  z ^= z >> 27;
  z *= 0x94d049bb133111eb;
  z ^= z >> 31;
  return z;
}

// key(purpose, instance, i) without its last step, which depends on i.
constexpr uint64_t key_base(uint64_t seed, Purpose purpose, uint64_t instance) {
  return mix(mix(seed + static_cast<uint64_t>(purpose) * kGolden) + instance);
}
constexpr uint64_t key_of(uint64_t base, uint64_t i) {
  return mix(base + i);
}

constexpr uint64_t word(uint64_t key, uint64_t n) {
  return mix(key + (n + 1) * kGolden);
}

constexpr uint64_t below(uint64_t w, uint64_t bound) {
  return static_cast<uint64_t>((static_cast<Uint128>(w) * bound) >> 64);
}

constexpr double unit(uint64_t w) {
  return static_cast<double>(w >> 11) * 0x1p-53;
}

}  // namespace tidemill::verify
