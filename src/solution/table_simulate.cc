#include "solution/table.h"

namespace tidemill::solution {
namespace {

constexpr double kMs = 1'000, kSecond = 1'000 * kMs;
constexpr double kKiB = 1 << 10, kMiB = 1 << 20, kGiB = 1 << 30;
constexpr int64_t kUnset = INT64_MIN;  // of an optional value, for its word

#define AT(member)                                   \
  [](Target target) -> auto& {                       \
    return target.solution->simulate.options.member; \
  }

template <class At>
IntegerAccess optional_integer(At at) {
  return {[at](Target target) -> int64_t {
            const auto& value = at(target);
            return value ? static_cast<int64_t>(*value) : kUnset;
          },
          [at](Target target, int64_t value) {
            auto& to = at(target);
            using Value = std::remove_cvref_t<decltype(*to)>;
            if (value == kUnset) {
              to.reset();
            } else {
              to = static_cast<Value>(value);
            }
          }};
}

void add_schedule(TableWriter& table) {
  constexpr auto kUnsetWord = static_cast<double>(kUnset);
  table
      .rate("simulate.rate", AT(rate),
            "events per second of all instances together; `max`: as fast as the log takes them")
      .range(0.001, 1e9)
      .word("max", 0);
  table.choice("simulate.pacing", AT(pacing), {"fixed", "poisson"}, "equal or random gaps between events");
  table.count("simulate.count", AT(count), "events to send, repeats not counted")
      .range(0, 281'474'976'710'656.0)
      .word("unlimited", -1);
  table.count("simulate.devices", AT(devices), "simulated devices").range(1, 1e7);
  table.toggle("simulate.shared_devices", AT(shared_devices),
               "every instance simulates all devices, as the reference does");
  table.count("simulate.instances", AT(instances), "threads that simulate; each has its own devices")
      .range(1, 8192);
  table
      .count_by("simulate.seed", optional_integer(AT(seed)),
                "the same seed and `start` give the same events, byte for byte")
      .word("random", kUnsetWord);
  table
      .time_by("simulate.start", optional_integer(AT(start_us)),
               "the time that the simulation says it begins at")
      .word("now", kUnsetWord);
}

void add_faults(TableWriter& table) {
  table
      .count("simulate.duplicate_every", AT(duplicate_every),
             "each event sent is repeated with a chance of one in so many")
      .range(2, 1e12)
      .word("never", 0);
  table.fraction("simulate.out_of_order", AT(out_of_order),
                 "share of events that their device's next event overtakes");
  table.fraction("simulate.late", AT(late), "share of events that are sent late");
  table.duration("simulate.late_by", AT(late_by_us), "how late").range(0, 365 * 86'400 * kSecond);
  table.fraction("simulate.malformed", AT(malformed), "share of events that are spoilt");
}

void add_event(TableWriter& table) {
  table.count("simulate.complex_count", AT(complex_count), "members of telemetry's `complexData`")
      .range(0, 10'000)
      .derived("`event.complex_count`");
  table.count("simulate.complex_first", AT(complex_first), "the number of the first of them")
      .range(0, 1'000'000)
      .derived("`event.complex_first`");
  table.choice("simulate.values", AT(values), {"10-100", "0-1"}, "the range of telemetry's numbers");
  table.count("simulate.created_digits", AT(created_digits), "fraction digits of `createdAt`: 3, 6 or 7")
      .range(3, 7);
  table.text("simulate.device_id_format", AT(device_id_format),
             "device ids; `%06d` or `%d` stands for the number");
  table
      .text("simulate.template", AT(template_text),
            "the event of the profile `template`: JSON with variables (docs/simulate.md)")
      .derived("none")
      .verbatim();
  table.text("simulate.key", AT(key), "the key of the profile `template`").word("none").verbatim();
}

void add_sending(TableWriter& table) {
  table.choice("simulate.compression", AT(compression), {"none", "gzip", "snappy", "lz4", "zstd"},
               "of the batches sent");
  table.duration("simulate.linger", AT(linger_us), "how long a batch waits to fill").range(0, 10 * kSecond);
  table.bytes("simulate.max_batch_bytes", AT(max_batch_bytes), "size of a batch before compression")
      .range(kKiB, 8 * kMiB);
  table
      .bytes("simulate.max_in_flight_bytes", AT(max_in_flight_bytes),
             "sent and not yet acknowledged, of one instance")
      .range(kKiB, 16 * kGiB);
}

}  // namespace

void add_simulate_settings(TableWriter& table) {
  table.choice("simulate.profile", AT(profile), {"telemetry", "sensor", "template"}, "what is simulated")
      .derived("the built-in event's");
  add_schedule(table);
  add_faults(table);
  add_event(table);
  add_sending(table);
}

#undef AT

}  // namespace tidemill::solution
