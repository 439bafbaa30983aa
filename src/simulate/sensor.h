// The sensor event's text. Format: docs/formats/simulated-events.md, section "Sensor event".
#pragma once

#include <string_view>

#include "simulate/schedule.h"

namespace tidemill::simulate {

class SensorWriter {
 public:
  explicit SensorWriter(const Plan& plan);
  // The view lives until the next call.
  std::string_view write(const ScheduledEvent& event);

 private:
  KeyStream content_;
  char buffer_[160] = {};
};

// mean + sd × a standard normal variable by Box and Muller, every operation rounded by itself.
double gaussian(double mean, double sd, uint64_t w1, uint64_t w2);

}  // namespace tidemill::simulate
