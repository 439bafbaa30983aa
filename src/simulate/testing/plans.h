// Plans for tests: small, with everything at its quietest.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "simulate/generator.h"
#include "simulate/plan.h"

namespace tidemill::simulate {

inline constexpr int64_t kTestStartUs = 1767323045678901;  // 2026-01-02T03:04:05.678901Z

inline Plan quiet_plan() {
  Plan plan;
  plan.start_us = kTestStartUs;
  plan.topic = "telemetry";
  plan.rate_milli = 1'000'000;
  plan.complex_count = 2;
  plan.device_id_format = "contoso-device-id-%06d";
  return plan;
}

// One event as it is sent.
struct SentEvent {
  ScheduledEvent event;
  int32_t partition = 0;
  int64_t timestamp_ms = 0;
  std::string key;
  bool has_key = false;
  std::string value;
};

// At most `limit` events of the plan.
inline std::vector<SentEvent> generate(const Plan& plan, size_t limit = 1'000'000) {
  std::unique_ptr<EventGenerator> generator = EventGenerator::create(plan, scheduled_events(plan)).value();
  std::vector<SentEvent> events;
  while (events.size() < limit && generator->next(INT64_MAX) == Schedule::Next::kEvent) {
    const EventGenerator::Text text = generator->text();
    events.push_back({generator->event(), generator->partition(0), generator->timestamp_ms(),
                      std::string(text.key.value_or("")), text.key.has_value(), std::string(text.value)});
  }
  return events;
}

}  // namespace tidemill::simulate
