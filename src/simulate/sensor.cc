#include "simulate/sensor.h"

#include <charconv>
#include <cmath>
#include <cstring>

#include "simulate/digits.h"

namespace tidemill::simulate {
namespace {

char* put(std::string_view text, char* to) {
  std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

}  // namespace

double gaussian(double mean, double sd, uint64_t w1, uint64_t w2) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - unit(w1)));
  const double angle = 6.283185307179586 * unit(w2);
  return mean + sd * radius * std::cos(angle);
}

SensorWriter::SensorWriter(const Plan& plan) : content_(plan.seed, Purpose::kContent, plan.instance) {}

std::string_view SensorWriter::write(const ScheduledEvent& event) {
  char* const end = buffer_ + sizeof buffer_;
  char* at = buffer_;
  if (event.fault == Fault::kMalformed) {
    at = write_unsigned(event.index, put("not json: ", at));
  } else {
    const uint64_t key = content_.key(event.index);
    at = put(R"({"sensor": "Sensor )", at);
    at = write_unsigned(1 + below(word(key, 0), 3), at);
    at = put(R"(", "measure1": )", at);
    at = std::to_chars(at, end, gaussian(37, 7, word(key, 1), word(key, 2))).ptr;
    at = put(R"(, "measure2": )", at);
    at = std::to_chars(at, end, unit(word(key, 3))).ptr;
    at = put("}", at);
  }
  return {buffer_, static_cast<size_t>(at - buffer_)};
}

}  // namespace tidemill::simulate
