// The events of one instance, in send order: their schedule, key, partition and bytes.
//
// Everything is a pure function of the plan (docs/formats/simulated-events.md). next() is cheap; the
// bytes are made only when text() asks for them, so that a resumed run skips what is stored quickly.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "simulate/devices.h"
#include "simulate/schedule.h"
#include "simulate/sensor.h"
#include "simulate/telemetry.h"
#include "simulate/template.h"

namespace tidemill::simulate {

// Used by one thread at a time.
class EventGenerator {
 public:
  // `events`: scheduled_events(plan). Errors: kInvalid for a template that does not parse.
  static Result<std::unique_ptr<EventGenerator>> create(const Plan& plan, int64_t events);

  // Moves to the next event whose send time (since the start) is not after `until_us`; with another
  // answer than kEvent the current event stays.
  Schedule::Next next(int64_t until_us);
  std::optional<int64_t> not_before_us() const { return schedule_.not_before_us(); }

  // The current event. Precondition for all below: next() said kEvent.
  const ScheduledEvent& event() const { return event_; }
  TimestampUs created_us() const { return start_us_ + event_.time_us; }
  int64_t timestamp_ms() const { return created_us() / 1000; }
  // Of copy 0, 1, …: they differ only where the event has no key.
  int32_t partition(uint32_t copy) const {
    return keyed_ ? partition_
                  : static_cast<int32_t>((record_number_ + copy) / kRecordsPerTurn %
                                         static_cast<uint64_t>(partitions_));
  }
  // Views into buffers of the generator, until next() or text() is called again.
  struct Text {
    std::string_view value;
    std::optional<std::string_view> key;
  };
  Text text();

  // 0 in the profile `sensor`.
  const Devices& devices() const { return devices_; }

 private:
  // A text that stands for its variables, with what its writer keeps between events.
  struct TemplateWriter {
    Template event;
    std::optional<Template> key;
    DeviceNamer namer;
    KeyStream content;
    TemplateContext context;
    std::string name;
    std::string text;
    std::string key_text;
  };
  using Writer = std::variant<TelemetryWriter, SensorWriter, TemplateWriter>;
  static constexpr uint64_t kRecordsPerTurn = 64;  // without key: round robin in chunks

  EventGenerator(const Plan& plan, int64_t events, Devices devices, Writer writer);
  static Result<Writer> make_writer(const Plan& plan);
  void begin_template_event(TemplateWriter& writer);

  int64_t start_us_;
  int32_t partitions_;
  bool keyed_;
  Devices devices_;
  Schedule schedule_;
  Writer writer_;
  ScheduledEvent event_;
  bool begun_ = false;
  uint64_t record_number_ = 0;
  int32_t partition_ = 0;
};

}  // namespace tidemill::simulate
