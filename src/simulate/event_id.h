// The eventId of telemetry events: a UUID v4 that decodes to (instance, number) with the seed.
// Format: docs/formats/simulated-events.md, section "Telemetry event".
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tidemill::simulate {

inline constexpr size_t kEventIdSize = 36;

class EventIds {
 public:
  explicit EventIds(uint64_t seed);

  struct Origin {
    uint64_t instance;
    uint64_t index;
    bool operator==(const Origin&) const = default;
  };

  // Writes kEventIdSize characters. Preconditions: instance < 2^13, index < 2^48.
  void write(uint64_t instance, uint64_t index, char* to) const;
  // nullopt: not a UUID v4 in lower case, or not one that this seed makes.
  std::optional<Origin> read(std::string_view text) const;

 private:
  std::array<uint64_t, 4> rounds_;
};

// The 122 free bits of a UUID v4 as text: `high` holds the upper 60 (48 and 12), `low` the lower 62.
void write_uuid(uint64_t high, uint64_t low, char* to);

}  // namespace tidemill::simulate
