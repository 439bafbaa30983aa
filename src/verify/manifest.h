// What a simulator says that it sent: `simulate/manifest-<instance>.json`
// (docs/formats/simulated-events.md, "Manifest").
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"

namespace tidemill::verify {

enum class Profile { kTelemetry, kSensor, kTemplate };
enum class Pacing { kFixed, kPoisson };
enum class Values { kTenToHundred, kZeroToOne };

// Counts in the device's own send order; device -1 stands for the whole instance.
struct DeviceRange {
  int64_t device = -1;
  int64_t acknowledged = 0;
  int64_t in_doubt = 0;
  int64_t not_sent = 0;  // -1: the schedule has no end
};

struct Manifest {
  std::string path;  // where it was read
  Profile profile = Profile::kTelemetry;
  uint64_t seed = 0;
  int64_t start_us = 0;
  std::string topic;
  int32_t partitions = 1;
  int64_t instance = 0;
  int64_t instances = 1;
  int64_t devices = 1;
  bool shared_devices = false;
  Pacing pacing = Pacing::kFixed;
  int64_t rate_milli = 0;
  int64_t count = -1;
  int64_t duration_us = -1;

  // options
  int complex_count = 23;
  int complex_first = 0;
  Values values = Values::kTenToHundred;
  int created_digits = 6;
  std::string device_id_format = "contoso-device-id-%06d";
  int64_t duplicate_every = 0;
  int64_t out_of_order_ppm = 0;
  int64_t late_ppm = 0;
  int64_t late_by_us = 0;
  int64_t malformed_ppm = 0;

  std::vector<int64_t> start_offsets;
  std::vector<int64_t> partition_records;
  bool finished = false;
  int64_t scheduled = -1;
  int64_t events_sent = 0;
  int64_t records_sent = 0;
  int64_t bytes_sent = 0;
  std::string content_sum;  // 32 hex digits; empty: not given
  std::vector<DeviceRange> ranges;
};

// Errors: kInvalid with the member that is missing or wrong.
Result<Manifest> parse_manifest(std::string_view json, const std::string& path);
Result<Manifest> read_manifest(FileSystem& files, const std::string& path);

// Whether the manifests are those of one run, one per instance. Errors say what does not fit.
Status check_same_run(const std::vector<Manifest>& manifests);

}  // namespace tidemill::verify
