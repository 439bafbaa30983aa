#include "simulate/plan.h"

#include <algorithm>

#include "simulate/randomness.h"
#include "simulate/schedule.h"

namespace tidemill::simulate {
namespace {

__extension__ using Int128 = __int128;

std::string text(const std::string& value) {
  return '"' + value + '"';
}
std::string text(bool value) {
  return value ? "true" : "false";
}
std::string text(Profile value) {
  return std::string(profile_name(value));
}
std::string text(Pacing value) {
  return std::string(pacing_name(value));
}
std::string text(Values value) {
  return std::string(values_name(value));
}
template <class T>
std::string text(T value) {
  return std::to_string(value);
}

// Events with floor((i × N + j) × 10^9 / rate) < duration.
int64_t fixed_events_within(const Plan& plan) {
  const Int128 rate = plan.schedule_rate_milli();
  const Int128 total = (plan.duration_us * rate + 999'999'999) / 1'000'000'000;  // of all instances
  if (total <= plan.instance) return 0;
  const Int128 mine = (total - plan.instance + plan.instances - 1) / plan.instances;
  return static_cast<int64_t>(std::min<Int128>(mine, kMaxEvents));
}

int64_t poisson_events_within(const Plan& plan, int64_t limit) {
  TimeCursor time(plan);
  int64_t events = 0;
  for (; events < limit && time.time_us() < plan.duration_us; ++events) time.advance();
  return events;
}

}  // namespace

Plan make_plan(const SimulateOptions& options, uint64_t seed, int64_t start_us, int32_t partitions,
               int32_t instance) {
  Plan plan;
  plan.profile = options.profile;
  plan.seed = seed;
  plan.start_us = start_us;
  plan.topic = options.topic;
  plan.partitions = partitions;
  plan.instance = instance;
  plan.instances = options.instances;
  plan.devices = options.devices;
  plan.shared_devices = options.shared_devices;
  plan.pacing = options.pacing;
  plan.rate_milli = options.rate_milli();
  plan.count = options.count;
  plan.duration_us = options.duration_us;
  plan.complex_count = options.complex_count;
  plan.complex_first = options.complex_first;
  plan.values = options.values;
  plan.created_digits = options.created_digits;
  plan.device_id_format = options.device_id_format;
  plan.duplicate_every = options.duplicate_every;
  plan.out_of_order_ppm = options.out_of_order_ppm();
  plan.late_ppm = options.late_ppm();
  plan.late_by_us = options.late_by_us;
  plan.malformed_ppm = options.malformed_ppm();
  if (options.profile == Profile::kTemplate) {
    plan.template_text = options.template_text;
    plan.key = options.key;
  }
  return plan;
}

std::vector<std::string> plan_differences(const Plan& there, const Plan& here) {
  std::vector<std::string> list;
  auto compare = [&](const char* name, const auto& a, const auto& b) {
    if (!(a == b)) list.push_back(std::string(name) + ": " + text(a) + " there, " + text(b) + " here");
  };
#define TM_COMPARE(member) compare(#member, there.member, here.member)
  TM_COMPARE(profile);
  TM_COMPARE(seed);
  TM_COMPARE(start_us);
  TM_COMPARE(topic);
  TM_COMPARE(partitions);
  TM_COMPARE(instance);
  TM_COMPARE(instances);
  TM_COMPARE(devices);
  TM_COMPARE(shared_devices);
  TM_COMPARE(pacing);
  TM_COMPARE(rate_milli);
  TM_COMPARE(count);
  TM_COMPARE(duration_us);
  TM_COMPARE(complex_count);
  TM_COMPARE(complex_first);
  TM_COMPARE(values);
  TM_COMPARE(created_digits);
  TM_COMPARE(device_id_format);
  TM_COMPARE(duplicate_every);
  TM_COMPARE(out_of_order_ppm);
  TM_COMPARE(late_ppm);
  TM_COMPARE(late_by_us);
  TM_COMPARE(malformed_ppm);
  TM_COMPARE(template_text);
  TM_COMPARE(key);
#undef TM_COMPARE
  return list;
}

std::vector<uint32_t> device_order(const Plan& plan) {
  std::vector<uint32_t> devices;
  if (plan.profile == Profile::kSensor) return devices;
  const int64_t first = plan.shared_devices ? 0 : plan.instance;
  const int64_t step = plan.shared_devices ? 1 : plan.instances;
  for (int64_t d = first; d < plan.devices; d += step) devices.push_back(static_cast<uint32_t>(d));
  TM_CHECK(!devices.empty(), "an instance without devices");
  const uint64_t key = KeyStream(plan.seed, Purpose::kDeviceOrder, plan.instance).key(0);
  for (size_t n = devices.size() - 1; n >= 1; --n) std::swap(devices[n], devices[below(word(key, n), n + 1)]);
  return devices;
}

int64_t scheduled_events(const Plan& plan) {
  int64_t limit = kMaxEvents;
  if (plan.count >= 0)
    limit = plan.count / plan.instances + (plan.instance < plan.count % plan.instances ? 1 : 0);
  if (plan.duration_us < 0) return plan.count >= 0 ? limit : -1;
  if (plan.pacing == Pacing::kFixed) return std::min(limit, fixed_events_within(plan));
  return poisson_events_within(plan, limit);
}

}  // namespace tidemill::simulate
