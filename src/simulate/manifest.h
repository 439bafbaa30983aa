// What an instance was asked to send, and what became of it: the file that a resumed run continues
// from and that the verifier accounts by. Format: docs/formats/simulated-events.md, "Manifest".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"
#include "event/position.h"
#include "simulate/plan.h"

namespace tidemill::simulate {

// Of one device (or, with device -1, of all), in its own send order: first the acknowledged events,
// then those in doubt, then those not sent.
struct DeviceRange {
  int64_t device = -1;
  int64_t acknowledged = 0;  // every copy was
  int64_t in_doubt = 0;      // sent, no answer: may be stored, need not be
  int64_t not_sent = -1;     // -1: without limit
  bool operator==(const DeviceRange&) const = default;
};

struct Manifest {
  Plan plan;
  std::vector<Offset> start_offsets;       // per partition, the topic's end when the run began
  std::vector<int64_t> partition_records;  // per partition, this instance's acknowledged records
  bool finished = false;
  int64_t scheduled = -1;    // events; -1: without limit
  int64_t events_sent = 0;   // acknowledged, with all their copies
  int64_t records_sent = 0;  // acknowledged
  int64_t bytes_sent = 0;    // of acknowledged values
  int64_t shortfall_us = 0;
  Uint128 content_sum = 0;
  std::vector<DeviceRange> ranges;
};

// `<directory>/simulate/manifest-<instance>.json`; `directory` is the run's.
std::string manifest_path(const std::string& directory, int32_t instance);

std::string manifest_json(const Manifest& manifest);
// Errors: kCorrupt, naming the member that is missing or wrong.
Result<Manifest> parse_manifest(std::string_view json);

// Creates the manifests' folder in the run's directory, and makes it outlive a power cut together
// with the directories above it: whoever created them may not have synced them.
Status create_manifest_folder(FileSystem& files, const std::string& directory);
// Replaces the file atomically and durably. The folder exists.
Status write_manifest(FileSystem& files, const std::string& path, const Manifest& manifest);
// Errors: kNotFound; kCorrupt with the path.
Result<Manifest> read_manifest(FileSystem& files, const std::string& path);

}  // namespace tidemill::simulate
