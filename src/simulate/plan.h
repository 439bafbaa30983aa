// Everything that the events of one instance are a function of: the options as the manifest has
// them, with seed and start time decided.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simulate/options.h"

namespace tidemill::simulate {

struct Plan {
  Profile profile = Profile::kTelemetry;
  uint64_t seed = 0;
  int64_t start_us = 0;
  std::string topic;
  int32_t partitions = 1;
  int32_t instance = 0;
  int32_t instances = 1;
  int64_t devices = 1;
  bool shared_devices = false;
  Pacing pacing = Pacing::kFixed;
  int64_t rate_milli = 0;  // events per 1000 s of all instances; 0: maximum
  int64_t count = -1;
  int64_t duration_us = -1;

  int32_t complex_count = 0;
  int32_t complex_first = 0;
  Values values = Values::k10To100;
  int32_t created_digits = 6;
  std::string device_id_format;
  uint64_t duplicate_every = 0;
  uint64_t out_of_order_ppm = 0;
  uint64_t late_ppm = 0;
  int64_t late_by_us = 0;
  uint64_t malformed_ppm = 0;
  std::string template_text;  // of the profile `template`
  std::string key;

  // The rate that intended times follow: the nominal one where sending is as fast as possible.
  int64_t schedule_rate_milli() const { return rate_milli > 0 ? rate_milli : 1'000'000'000; }
  bool max_rate() const { return rate_milli == 0; }
  // Telemetry is accounted for per device, the other profiles as a whole.
  bool ranges_per_device() const { return profile == Profile::kTelemetry; }
  bool operator==(const Plan&) const = default;
};

// Precondition: options.validate() is ok.
Plan make_plan(const SimulateOptions& options, uint64_t seed, int64_t start_us, int32_t partitions,
               int32_t instance);

// "count: 100 there, 200 here", one for each member that differs.
std::vector<std::string> plan_differences(const Plan& there, const Plan& here);

// The devices of the instance in the order in which they take turns; empty for the profile `sensor`.
std::vector<uint32_t> device_order(const Plan& plan);

// The events of the instance; -1: without limit. Poisson pacing with a duration walks the whole
// schedule, at about 100 M events/s.
int64_t scheduled_events(const Plan& plan);

}  // namespace tidemill::simulate
