// parse_manifest: the reading half of manifest.h.
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "simulate/content_hash.h"
#include "simulate/manifest.h"

namespace tidemill::simulate {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

// Reads members of an object; the first that is missing or wrong is remembered, and what is read
// after it is of no use.
class Members {
 public:
  Members(object members, std::string* problem) : members_(members), problem_(problem) {}

  template <class T>
  requires std::is_integral_v<T>
  void read(std::string_view name, T* value) {
    int64_t number = 0;
    if (!get(name, &number)) return;
    if (!std::in_range<T>(number)) return fail(name, "is out of range");
    *value = static_cast<T>(number);
  }
  void read(std::string_view name, bool* value) { get(name, value); }
  void read(std::string_view name, std::string* value) {
    std::string_view text;
    if (get(name, &text)) *value = text;
  }
  template <class E>
  void read(std::string_view name, std::optional<E> (*parse)(std::string_view), E* value) {
    std::string_view text;
    if (!get(name, &text)) return;
    const std::optional<E> parsed = parse(text);
    if (!parsed) return fail(name, "has an unknown value");
    *value = *parsed;
  }
  template <class Read>
  void read_list(std::string_view name, Read item) {
    array items;
    if (!get(name, &items)) return;
    for (element value : items) {
      if (!item(value)) return fail(name, "has a wrong item");
    }
  }
  template <class T>
  bool get(std::string_view name, T* value) {
    if (!problem_->empty()) return false;
    if (members_[name].get(*value) == simdjson::SUCCESS) return true;
    fail(name, "is missing or of the wrong type");
    return false;
  }
  void fail(std::string_view name, const char* what) {
    if (problem_->empty()) *problem_ = "`" + std::string(name) + "` " + what;
  }

 private:
  object members_;
  std::string* problem_;
};

void read_plan(Members& in, std::string* problem, Plan* plan) {
  in.read("profile", parse_profile, &plan->profile);
  std::string seed;
  in.read("seed", &seed);
  auto [end, error] = std::from_chars(seed.data(), seed.data() + seed.size(), plan->seed);
  if (error != std::errc() || end != seed.data() + seed.size()) in.fail("seed", "is not an unsigned integer");
  in.read("start_us", &plan->start_us);
  in.read("topic", &plan->topic);
  in.read("partitions", &plan->partitions);
  in.read("instance", &plan->instance);
  in.read("instances", &plan->instances);
  in.read("devices", &plan->devices);
  in.read("shared_devices", &plan->shared_devices);
  in.read("pacing", parse_pacing, &plan->pacing);
  in.read("rate_milli", &plan->rate_milli);
  in.read("count", &plan->count);
  in.read("duration_us", &plan->duration_us);
  object members;
  if (!in.get("options", &members)) return;
  Members options(members, problem);
  options.read("complex_count", &plan->complex_count);
  options.read("complex_first", &plan->complex_first);
  options.read("values", parse_values, &plan->values);
  options.read("created_digits", &plan->created_digits);
  options.read("device_id_format", &plan->device_id_format);
  options.read("duplicate_every", &plan->duplicate_every);
  options.read("out_of_order_ppm", &plan->out_of_order_ppm);
  options.read("late_ppm", &plan->late_ppm);
  options.read("late_by_us", &plan->late_by_us);
  options.read("malformed_ppm", &plan->malformed_ppm);
  if (plan->profile != Profile::kTemplate) return;
  options.read("template", &plan->template_text);
  options.read("key", &plan->key);
}

bool read_range(element value, DeviceRange* range) {
  array numbers;
  if (value.get(numbers) != simdjson::SUCCESS || numbers.size() != 4) return false;
  int64_t* const targets[] = {&range->device, &range->acknowledged, &range->in_doubt, &range->not_sent};
  for (size_t i = 0; i < 4; ++i) {
    if (numbers.at(i).get(*targets[i]) != simdjson::SUCCESS) return false;
  }
  return true;
}

void read_progress(Members& in, Manifest* manifest) {
  in.read_list("start_offsets", [&](element value) {
    int64_t offset = 0;
    if (value.get(offset) != simdjson::SUCCESS) return false;
    manifest->start_offsets.emplace_back(offset);
    return true;
  });
  in.read_list("partition_records", [&](element value) {
    return value.get(manifest->partition_records.emplace_back()) == simdjson::SUCCESS;
  });
  in.read("finished", &manifest->finished);
  in.read("scheduled", &manifest->scheduled);
  in.read("events_sent", &manifest->events_sent);
  in.read("records_sent", &manifest->records_sent);
  in.read("bytes_sent", &manifest->bytes_sent);
  in.read("shortfall_us", &manifest->shortfall_us);
  std::string sum;
  in.read("content_sum", &sum);
  if (!parse_hex128(sum, &manifest->content_sum)) in.fail("content_sum", "is not 32 hex digits");
  in.read_list("ranges", [&](element value) { return read_range(value, &manifest->ranges.emplace_back()); });
  const auto partitions = static_cast<size_t>(std::max(manifest->plan.partitions, 0));
  if (manifest->start_offsets.size() != partitions)
    in.fail("start_offsets", "has not one item per partition");
  if (manifest->partition_records.size() != partitions)
    in.fail("partition_records", "has not one item per partition");
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view json) {
  simdjson::dom::parser parser;
  object members;
  if (auto error = parser.parse(json.data(), json.size()).get(members); error != simdjson::SUCCESS) {
    return internal_error(std::string("not a JSON object: ") + simdjson::error_message(error),
                          Code::kCorrupt);
  }
  std::string problem;
  Members in(members, &problem);
  int64_t format = 0;
  in.read("format", &format);
  if (problem.empty() && format != 1) {
    return internal_error("format " + std::to_string(format) + ", this program reads 1", Code::kCorrupt);
  }
  Manifest manifest;
  read_plan(in, &problem, &manifest.plan);
  read_progress(in, &manifest);
  if (!problem.empty()) return internal_error(std::move(problem), Code::kCorrupt);
  return manifest;
}

}  // namespace tidemill::simulate
