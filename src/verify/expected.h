// The events that a simulator must have sent, regenerated from its manifest
// (docs/formats/simulated-events.md, "Telemetry event", "Sensor event", "Faults on purpose").
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verify/fields.h"
#include "verify/schedule.h"

namespace tidemill::verify {

// Which event of a run: event i of an instance.
struct EventName {
  int64_t instance = 0;
  int64_t i = 0;
  auto operator<=>(const EventName&) const = default;
};

// Event ids, which only one seed can have made.
class EventIds {
 public:
  explicit EventIds(uint64_t seed);
  std::string encode(EventName name) const;
  // nullopt: not an id of this run.
  std::optional<EventName> decode(std::string_view uuid) const;

 private:
  uint64_t round(int r, uint64_t half) const;
  uint64_t rounds_[4];
};

// The id that stands at its place near the start of a telemetry record's value, spoilt or not:
// 36 bytes borrowed from `value`; empty where there is none.
std::string_view find_event_id(std::string_view value);

// The telemetry events of one instance. Not thread-safe; what it returns lives until the next call.
class TelemetryEvents {
 public:
  // `schedule` is borrowed.
  explicit TelemetryEvents(Schedule& schedule);

  // The bytes of event i as they were sent, spoilt where they were to be.
  std::string_view bytes(int64_t i);
  // The bytes that a well-formed event i has, whether it was spoilt or not.
  std::string_view well_formed(int64_t i);
  // Its fields in the order of telemetry_fields().
  const std::vector<FieldValue>& values(int64_t i);
  std::string device_id(int64_t device) const;

 private:
  void make(int64_t i);
  std::string_view number_text(uint64_t w, std::string* out) const;

  Schedule& schedule_;
  EventIds ids_;
  uint64_t content_base_;
  uint64_t faults_base_;
  std::vector<std::string> complex_names_;  // `"moreData0":`
  int64_t made_ = -1;
  std::string text_;
  std::string spoilt_;
  std::string id_;
  std::string device_;
  size_t device_at_ = 0;  // of the deviceId's first character in text_
  std::vector<FieldValue> values_;
};

// The sensor events of one instance, in any order.
class SensorEvents {
 public:
  explicit SensorEvents(Schedule& schedule);
  std::string_view bytes(int64_t i);

 private:
  Schedule& schedule_;
  uint64_t content_base_;
  std::string text_;
};

// Kafka's Java default: the partition of a key.
int32_t partition_of(std::string_view key, int32_t partitions);

}  // namespace tidemill::verify
