#include "verify/manifest.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>

namespace tidemill::verify {
namespace {

namespace dom = simdjson::dom;

// Reads members and remembers the first that does not fit, so that callers check once.
class Members {
 public:
  Members(dom::object object, std::string place) : object_(object), place_(std::move(place)) {}

  int64_t integer(const char* name, int64_t least, int64_t most) {
    int64_t value = 0;
    if (object_[name].get(value) != simdjson::SUCCESS || value < least || value > most) fail(name);
    return value;
  }
  int64_t integer_or(const char* name, int64_t least, int64_t most, int64_t missing) {
    dom::element any;
    return object_[name].get(any) == simdjson::NO_SUCH_FIELD ? missing : integer(name, least, most);
  }
  bool boolean(const char* name) {
    bool value = false;
    if (object_[name].get(value) != simdjson::SUCCESS) fail(name);
    return value;
  }
  std::string text(const char* name) {
    std::string_view value;
    if (object_[name].get(value) != simdjson::SUCCESS) fail(name);
    return std::string(value);
  }
  std::vector<int64_t> integers(const char* name) {
    std::vector<int64_t> values;
    dom::array array;
    if (object_[name].get(array) != simdjson::SUCCESS) return fail(name), values;
    for (dom::element each : array) {
      int64_t value = 0;
      if (each.get(value) != simdjson::SUCCESS || value < 0) fail(name);
      values.push_back(value);
    }
    return values;
  }
  dom::object object(const char* name) {
    dom::object value;
    if (object_[name].get(value) != simdjson::SUCCESS) fail(name);
    return value;
  }
  dom::array array(const char* name) {
    dom::array value;
    if (object_[name].get(value) != simdjson::SUCCESS) fail(name);
    return value;
  }
  void fail(const char* name) {
    if (wrong_.empty()) wrong_ = place_ + ": member " + name + " is missing or not what the format says";
  }
  Status status() const { return wrong_.empty() ? ok_status() : Status(user_error(wrong_)); }

 private:
  dom::object object_;
  std::string place_;
  std::string wrong_;
};

constexpr int64_t kMost = INT64_MAX;
constexpr int64_t kMostInstances =
    1 << 13;  // an id has 61 bits for instance and event, 48 of them the event's

Status read_options(Members& members, const std::string& path, Manifest* out) {
  dom::object object = members.object("options");
  TM_TRY(members.status());
  Members options(object, path + ": options");
  constexpr int64_t kMillion = 1'000'000;
  if (out->profile == Profile::kTelemetry) {
    out->complex_count = static_cast<int>(options.integer("complex_count", 0, 10'000));
    out->complex_first = static_cast<int>(options.integer("complex_first", 0, 10'000));
    out->created_digits = static_cast<int>(options.integer("created_digits", 3, 7));
    if (out->created_digits != 3 && out->created_digits < 6) options.fail("created_digits");
    std::string values = options.text("values");
    if (values != "10-100" && values != "0-1") options.fail("values");
    out->values = values == "0-1" ? Values::kZeroToOne : Values::kTenToHundred;
    out->device_id_format = options.text("device_id_format");
  }
  out->duplicate_every = options.integer_or("duplicate_every", 0, kMost, 0);
  out->out_of_order_ppm = options.integer_or("out_of_order_ppm", 0, kMillion, 0);
  out->late_ppm = options.integer_or("late_ppm", 0, kMillion, 0);
  out->late_by_us = options.integer_or("late_by_us", 0, kMost / 4, 0);
  out->malformed_ppm = options.integer_or("malformed_ppm", 0, kMillion, 0);
  return options.status();
}

Status read_ranges(Members& members, const std::string& path, Manifest* out) {
  dom::array array = members.array("ranges");
  TM_TRY(members.status());
  for (dom::element each : array) {
    dom::array four;
    if (each.get(four) != simdjson::SUCCESS || four.size() != 4) {
      return user_error(path + ": ranges: each must be [device, acknowledged, in_doubt, not_sent]");
    }
    int64_t numbers[4];
    size_t at = 0;
    for (dom::element number : four) {
      if (number.get(numbers[at]) != simdjson::SUCCESS || numbers[at] < (at == 0 || at == 3 ? -1 : 0)) {
        return user_error(path + ": ranges: each must be [device, acknowledged, in_doubt, not_sent]");
      }
      ++at;
    }
    out->ranges.push_back({numbers[0], numbers[1], numbers[2], numbers[3]});
  }
  return ok_status();
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view json, const std::string& path) {
  dom::parser parser;
  dom::object object;
  simdjson::padded_string padded(json);
  if (parser.parse(padded).get(object) != simdjson::SUCCESS) {
    return user_error(path + ": not a JSON object");
  }
  Members members(object, path);
  Manifest out;
  out.path = path;
  if (members.integer("format", 0, kMost) != 1) return user_error(path + ": format must be 1");
  std::string profile = members.text("profile");
  if (profile == "telemetry")
    out.profile = Profile::kTelemetry;
  else if (profile == "sensor")
    out.profile = Profile::kSensor;
  else if (profile == "template")
    out.profile = Profile::kTemplate;
  else
    members.fail("profile");

  std::string seed = members.text("seed");
  auto [end, error] = std::from_chars(seed.data(), seed.data() + seed.size(), out.seed);
  if (error != std::errc{} || end != seed.data() + seed.size()) members.fail("seed");
  out.start_us = members.integer("start_us", INT64_MIN, kMost);
  out.topic = members.text("topic");
  out.partitions = static_cast<int32_t>(members.integer("partitions", 1, INT32_MAX));
  out.instances = members.integer("instances", 1, kMostInstances);
  out.instance = members.integer("instance", 0, out.instances - 1);
  out.devices = members.integer("devices", 0, 1'000'000'000);
  out.shared_devices = members.boolean("shared_devices");
  std::string pacing = members.text("pacing");
  if (pacing != "fixed" && pacing != "poisson") members.fail("pacing");
  out.pacing = pacing == "poisson" ? Pacing::kPoisson : Pacing::kFixed;
  out.rate_milli = members.integer("rate_milli", 0, kMost);
  out.count = members.integer("count", -1, int64_t{1} << 48);
  out.duration_us = members.integer("duration_us", -1, kMost);
  out.start_offsets = members.integers("start_offsets");
  out.partition_records = members.integers("partition_records");
  if (out.start_offsets.size() != static_cast<size_t>(out.partitions)) members.fail("start_offsets");
  if (out.partition_records.size() != static_cast<size_t>(out.partitions)) members.fail("partition_records");
  out.finished = members.boolean("finished");
  out.scheduled = members.integer("scheduled", -1, kMost);
  out.events_sent = members.integer("events_sent", 0, kMost);
  out.records_sent = members.integer("records_sent", 0, kMost);
  out.bytes_sent = members.integer("bytes_sent", 0, kMost);
  out.content_sum = members.text("content_sum");
  if (out.content_sum.size() != 32) members.fail("content_sum");
  TM_TRY(read_options(members, path, &out));
  TM_TRY(read_ranges(members, path, &out));
  if (out.profile == Profile::kTelemetry && out.devices < 1) members.fail("devices");
  TM_TRY(members.status());
  return out;
}

Result<Manifest> read_manifest(FileSystem& files, const std::string& path) {
  TM_ASSIGN(std::string text, read_file(files, path, 1u << 30));
  return parse_manifest(text, path);
}

Status check_same_run(const std::vector<Manifest>& manifests) {
  if (manifests.empty()) return ok_status();
  const Manifest& first = manifests.front();
  std::vector<bool> seen(static_cast<size_t>(first.instances));
  for (const Manifest& each : manifests) {
    bool same = each.profile == first.profile && each.seed == first.seed && each.start_us == first.start_us &&
                each.topic == first.topic && each.partitions == first.partitions &&
                each.instances == first.instances && each.devices == first.devices &&
                each.shared_devices == first.shared_devices && each.pacing == first.pacing &&
                each.rate_milli == first.rate_milli && each.count == first.count &&
                each.duration_us == first.duration_us && each.complex_count == first.complex_count &&
                each.complex_first == first.complex_first && each.values == first.values &&
                each.created_digits == first.created_digits &&
                each.device_id_format == first.device_id_format &&
                each.duplicate_every == first.duplicate_every &&
                each.out_of_order_ppm == first.out_of_order_ppm && each.late_ppm == first.late_ppm &&
                each.late_by_us == first.late_by_us && each.malformed_ppm == first.malformed_ppm;
    if (!same) return user_error(each.path + " and " + first.path + " are not of the same run");
    if (seen[static_cast<size_t>(each.instance)]) {
      return user_error(each.path + ": instance " + std::to_string(each.instance) + " has two manifests");
    }
    seen[static_cast<size_t>(each.instance)] = true;
  }
  auto missing = std::find(seen.begin(), seen.end(), false);
  if (missing == seen.end()) return ok_status();
  return user_error("the manifest of instance " + std::to_string(missing - seen.begin()) + " of " +
                    std::to_string(first.instances) + " is missing");
}

}  // namespace tidemill::verify
