// The telemetry event's text. Format: docs/formats/simulated-events.md, section "Telemetry event".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "simulate/created_at.h"
#include "simulate/devices.h"
#include "simulate/event_id.h"
#include "simulate/schedule.h"

namespace tidemill::simulate {

class TelemetryWriter {
 public:
  explicit TelemetryWriter(const Plan& plan);

  // The views live until the next call.
  struct Text {
    std::string_view value;
    std::string_view key;  // the deviceId
  };
  Text write(const ScheduledEvent& event, uint32_t device);

 private:
  char* write_number(uint64_t w, char* to) const;
  char* write_members(uint64_t key, char* at) const;
  std::string_view spoil(const ScheduledEvent& event, std::string_view text, size_t device_at);

  // `,"moreData12":`, copied as a whole: one fixed-size copy is faster than one of exact length.
  struct Piece {
    char text[24];
    size_t size;
  };

  uint64_t instance_;
  int64_t start_us_;
  Values values_;
  KeyStream content_;
  EventIds ids_;
  DeviceNamer namer_;
  CreatedAtText created_at_;
  std::vector<Piece> members_;
  std::string buffer_;
  std::string name_;
  std::string spoilt_;
};

}  // namespace tidemill::simulate
