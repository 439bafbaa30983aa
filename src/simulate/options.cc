#include "simulate/options.h"

#include <cmath>

#include "simulate/template.h"

namespace tidemill::simulate {
namespace {

constexpr double kMaxRate = 1e9;
constexpr int64_t kMaxTimeUs = 253'402'300'800LL * 1'000'000;  // the year 10000

template <class E>
struct Named {
  E value;
  std::string_view name;
};
constexpr Named<Profile> kProfiles[] = {
    {Profile::kTelemetry, "telemetry"}, {Profile::kSensor, "sensor"}, {Profile::kTemplate, "template"}};
constexpr Named<Pacing> kPacings[] = {{Pacing::kFixed, "fixed"}, {Pacing::kPoisson, "poisson"}};
constexpr Named<Values> kValues[] = {{Values::k10To100, "10-100"}, {Values::k0To1, "0-1"}};

template <class E, size_t kCount>
std::string_view name_of(const Named<E> (&table)[kCount], E value) {
  for (const auto& entry : table) {
    if (entry.value == value) return entry.name;
  }
  check_failed("a named value", __FILE__, __LINE__);
}
template <class E, size_t kCount>
std::optional<E> value_of(const Named<E> (&table)[kCount], std::string_view name) {
  for (const auto& entry : table) {
    if (entry.name == name) return entry.value;
  }
  return std::nullopt;
}

uint64_t ppm(double fraction) {
  return static_cast<uint64_t>(std::llround(fraction * 1e6));
}

// Where the device's number goes in a format: `width` 0 means unpadded.
struct Placeholder {
  size_t at = 0;
  size_t size = 0;
  size_t width = 0;
};
std::optional<Placeholder> find_placeholder(std::string_view format) {
  size_t at = format.find('%');
  if (at == std::string_view::npos || format.find('%', at + 1) != std::string_view::npos) return std::nullopt;
  std::string_view rest = format.substr(at);
  if (rest.starts_with("%06d")) return Placeholder{at, 4, 6};
  if (rest.starts_with("%d")) return Placeholder{at, 2, 0};
  return std::nullopt;
}

bool plain_text(std::string_view text) {
  for (char c : text) {
    if (c < 0x20 || c > 0x7e || c == '"' || c == '\\') return false;
  }
  return true;
}

// Collects problems under the name of their option.
class Problems {
 public:
  void require(bool holds, std::string_view option, std::string message) {
    if (!holds) list_.push_back({std::string(option), std::move(message)});
  }
  std::vector<OptionProblem> take() { return std::move(list_); }

 private:
  std::vector<OptionProblem> list_;
};

void check_schedule(const SimulateOptions& o, Problems& problems) {
  problems.require(std::isfinite(o.rate) && (o.rate == 0 || (o.rate >= 0.001 && o.rate <= kMaxRate)), "rate",
                   "must be from 0.001 to 1000000000 events/s, or 0 (max) for as fast as the log takes them");
  problems.require(o.count >= -1 && o.count <= kMaxEvents, "count",
                   "must be a number of events from 0 to 2^48, or -1 for no limit");
  problems.require(o.duration_us >= -1 && o.duration_us < kMaxTimeUs, "duration",
                   "must not be negative (-1: no limit) nor reach the year 10000");
  problems.require(!o.start_us || (*o.start_us >= 0 && *o.start_us < kMaxTimeUs), "start",
                   "must be a time from 1970 to 9999");
  problems.require(o.instances >= 1 && o.instances <= kMaxInstances, "instances", "must be from 1 to 8192");
  problems.require(!o.instance || (*o.instance >= 0 && *o.instance < o.instances), "instance",
                   "must be from 0 to instances - 1, here " + std::to_string(o.instances - 1));
  problems.require(o.devices >= 1 && o.devices <= kMaxDevices, "devices", "must be from 1 to 10000000");
  problems.require(o.profile == Profile::kSensor || o.shared_devices || o.devices >= o.instances, "devices",
                   "must be at least the number of instances (" + std::to_string(o.instances) +
                       "), so that each has one of its own; or set shared_devices");
}

void check_faults(const SimulateOptions& o, Problems& problems) {
  problems.require(o.duplicate_every != 1, "duplicate_every",
                   "1 would repeat every event without end; give 0 for no repeats or 2 and more");
  problems.require(o.duplicate_every <= uint64_t{1} << 62, "duplicate_every", "must be at most 2^62");
  auto fraction = [&](double value, std::string_view option) {
    problems.require(value >= 0 && value <= 1, option,
                     "must be a fraction from 0 to 1, as 0.01 for one in a hundred");
  };
  fraction(o.out_of_order, "out_of_order");
  fraction(o.late, "late");
  fraction(o.malformed, "malformed");
  problems.require(o.out_of_order == 0 || o.profile != Profile::kSensor, "out_of_order",
                   "must be 0 in the profile sensor, which has no devices whose order could be disturbed");
  problems.require(o.late_by_us >= 0 && o.late_by_us < kMaxTimeUs, "late_by", "must not be negative");
}

void check_event(const SimulateOptions& o, Problems& problems) {
  problems.require(o.complex_count >= 0 && o.complex_count <= kMaxComplexCount, "complex_count",
                   "must be from 0 to 10000");
  problems.require(o.complex_first >= 0 && o.complex_first <= 1'000'000, "complex_first",
                   "must be from 0 to 1000000");
  problems.require(o.created_digits == 3 || o.created_digits == 6 || o.created_digits == 7, "created_digits",
                   "must be 3, 6 or 7");
  problems.require(find_placeholder(o.device_id_format).has_value(), "device_id_format",
                   "must hold %06d or %d once, where the device's number goes, as contoso-device-id-%06d");
  problems.require(plain_text(o.device_id_format) && o.device_id_format.size() <= 200, "device_id_format",
                   "must be at most 200 printable ASCII characters without quote and backslash");
  if (o.profile == Profile::kTemplate) {
    problems.require(!o.template_text.empty(), "template",
                     "is missing: the profile template needs the event's text");
    if (!o.template_text.empty()) {
      if (Status status = Template::check_event(o.template_text); !status.ok()) {
        problems.require(false, "template", status.error().message);
      }
    }
    if (auto key = Template::parse(o.key); !key.ok()) problems.require(false, "key", key.error().message);
  } else {
    problems.require(o.template_text.empty(), "template",
                     "is used by the profile template only; set profile: template");
  }
}

void check_sending(const SimulateOptions& o, Problems& problems) {
  problems.require(!o.topic.empty() && plain_text(o.topic), "topic",
                   "must be the name of the topic that the events go to, in printable ASCII");
  problems.require(o.linger_us >= 0 && o.linger_us <= 10'000'000, "linger", "must be from 0 to 10 s");
  problems.require(o.max_batch_bytes >= 1024 && o.max_batch_bytes <= (8u << 20), "max_batch_bytes",
                   "must be from 1 KiB to 8 MiB");
  problems.require(o.max_in_flight_bytes >= o.max_batch_bytes, "max_in_flight_bytes",
                   "must be at least max_batch_bytes, here " + std::to_string(o.max_batch_bytes));
}

}  // namespace

std::string_view profile_name(Profile profile) {
  return name_of(kProfiles, profile);
}
std::string_view pacing_name(Pacing pacing) {
  return name_of(kPacings, pacing);
}
std::string_view values_name(Values values) {
  return name_of(kValues, values);
}
std::optional<Profile> parse_profile(std::string_view name) {
  return value_of(kProfiles, name);
}
std::optional<Pacing> parse_pacing(std::string_view name) {
  return value_of(kPacings, name);
}
std::optional<Values> parse_values(std::string_view name) {
  return value_of(kValues, name);
}

std::vector<OptionProblem> SimulateOptions::problems() const {
  Problems problems;
  check_schedule(*this, problems);
  check_faults(*this, problems);
  check_event(*this, problems);
  check_sending(*this, problems);
  return problems.take();
}

Status SimulateOptions::validate() const {
  std::string message;
  for (const OptionProblem& problem : problems()) {
    if (!message.empty()) message += '\n';
    message += problem.option + ": " + problem.message;
  }
  if (message.empty()) return {};
  return user_error(std::move(message));
}

int64_t SimulateOptions::rate_milli() const {
  return std::llround(rate * 1000);
}
uint64_t SimulateOptions::out_of_order_ppm() const {
  return ppm(out_of_order);
}
uint64_t SimulateOptions::late_ppm() const {
  return ppm(late);
}
uint64_t SimulateOptions::malformed_ppm() const {
  return ppm(malformed);
}

std::string device_name(std::string_view format, uint64_t device) {
  std::optional<Placeholder> place = find_placeholder(format);
  TM_CHECK(place.has_value());
  std::string number = std::to_string(device);
  if (number.size() < place->width) number.insert(0, place->width - number.size(), '0');
  std::string name(format.substr(0, place->at));
  name += number;
  name += format.substr(place->at + place->size);
  return name;
}

}  // namespace tidemill::simulate
