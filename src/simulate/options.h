// What a simulation is asked to send. User page: docs/simulate.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "event/record_batch.h"

namespace tidemill::simulate {

enum class Profile : uint8_t { kTelemetry, kSensor, kTemplate };
enum class Pacing : uint8_t { kFixed, kPoisson };
enum class Values : uint8_t {
  k10To100,  // uniform in [10, 100), 17 digits: every bit of a double is used
  k0To1,     // `0.` and a random integer, as the reference simulator writes them
};

// Names as options, manifest and messages have them. The parsers return nullopt for other text.
std::string_view profile_name(Profile profile);
std::string_view pacing_name(Pacing pacing);
std::string_view values_name(Values values);
std::optional<Profile> parse_profile(std::string_view name);
std::optional<Pacing> parse_pacing(std::string_view name);
std::optional<Values> parse_values(std::string_view name);

// One thing that is wrong with the options: which option, and what would be right.
struct OptionProblem {
  std::string option;
  std::string message;
};

struct SimulateOptions {
  Profile profile = Profile::kTelemetry;
  std::string topic = "telemetry";

  // Both together reproduce a run byte for byte. Unset: random, and the time of the start; a
  // resumed run takes them from its manifest.
  std::optional<uint64_t> seed;
  std::optional<int64_t> start_us;  // microseconds since 1970 UTC

  // Schedule, of all instances together.
  double rate = 1000;  // events/s; 0: as fast as the log takes them
  Pacing pacing = Pacing::kFixed;
  int64_t count = -1;        // events; -1: no limit
  int64_t duration_us = -1;  // of intended time; -1: no limit
  int64_t devices = 1000;
  bool shared_devices = false;  // every instance simulates all devices
  int32_t instances = 1;
  std::optional<int32_t> instance;  // run this one only; unset: all, a thread each

  // Repeats and faults on purpose. Fractions are in [0, 1].
  uint64_t duplicate_every = 1000;  // each sent event is repeated with probability 1/N; 0: never
  double out_of_order = 0;
  double late = 0;
  int64_t late_by_us = 10'000'000;
  double malformed = 0;

  // The telemetry event.
  int32_t complex_count = 23;  // members moreData<first> … of complexData
  int32_t complex_first = 0;
  Values values = Values::k10To100;
  int32_t created_digits = 6;  // fraction digits of createdAt: 3, 6 or 7
  std::string device_id_format = "contoso-device-id-%06d";

  // The template event.
  std::string template_text;
  std::string key = "${device}";  // of the profile `template`; empty: no key

  // How it is sent. These change no event, and may differ when a run is resumed.
  Compression compression = Compression::kNone;
  int64_t linger_us = 25'000;
  size_t max_batch_bytes = 1u << 20;       // before compression
  size_t max_in_flight_bytes = 32u << 20;  // appended, not yet acknowledged; per instance

  // Everything that is wrong; empty: nothing.
  std::vector<OptionProblem> problems() const;
  // kInvalid with all problems, one per line: "rate: … ".
  Status validate() const;

  // Total rate in events per 1000 s; 0: maximum.
  int64_t rate_milli() const;
  uint64_t out_of_order_ppm() const;
  uint64_t late_ppm() const;
  uint64_t malformed_ppm() const;
};

// The name of a device: `format` holds %d or %06d once (checked by problems()).
std::string device_name(std::string_view format, uint64_t device);

// Limits of the format: event ids hold 13 bits of instance and 48 bits of event number.
inline constexpr int32_t kMaxInstances = 1 << 13;
inline constexpr int64_t kMaxEvents = int64_t{1} << 48;
inline constexpr int64_t kMaxDevices = 10'000'000;
inline constexpr int32_t kMaxComplexCount = 10'000;

}  // namespace tidemill::simulate
