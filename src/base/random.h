// Randomness, behind an interface. Identifiers and jitter draw from here; the load generator has
// its own documented generator, because its output is a promise.
#pragma once

#include <cstdint>
#include <mutex>

namespace tidemill {

// Thread-safe.
__extension__ using Uint128 = unsigned __int128;

class Random {
 public:
  virtual ~Random() = default;
  virtual uint64_t next() = 0;
  // Uniform in [0, bound); bound > 0. The bias is below bound / 2^64.
  uint64_t below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<Uint128>(next()) * bound) >> 64);
  }

  // Seeded by the system.
  static Random& system();
};

// splitmix64 (Steele, Lea, Flood 2014): every seed gives its own repeatable sequence.
class SeededRandom final : public Random {
 public:
  explicit SeededRandom(uint64_t seed) : state_(seed) {}
  uint64_t next() override;

 private:
  std::mutex mutex_;
  uint64_t state_;
};

}  // namespace tidemill
