#include "simulate/manifest.h"

#include <charconv>

#include "simulate/content_hash.h"

namespace tidemill::simulate {
namespace {

// Writes one JSON object member after another.
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  void name(std::string_view name) {
    if (!out_.ends_with('{')) out_ += ',';
    quoted(name);
    out_ += ':';
  }
  void member(std::string_view key, std::string_view value) {
    name(key);
    quoted(value);
  }
  void member(std::string_view key, bool value) {
    name(key);
    out_ += value ? "true" : "false";
  }
  template <class T>
  requires std::is_integral_v<T>
  void member(std::string_view key, T value) {
    name(key);
    number(static_cast<int64_t>(value));
  }
  void number(int64_t value) {
    char text[24];
    out_.append(text, static_cast<size_t>(std::to_chars(text, text + sizeof text, value).ptr - text));
  }
  void quoted(std::string_view text) {
    out_ += '"';
    for (char c : text) {
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (static_cast<unsigned char>(c) < 0x20) {
        constexpr std::string_view kHexDigits = "0123456789abcdef";
        out_ += "\\u00";
        out_ += kHexDigits[static_cast<size_t>(c) >> 4];
        out_ += kHexDigits[static_cast<size_t>(c) & 15];
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }
  template <class List, class Item>
  void list(std::string_view key, const List& values, Item item) {
    name(key);
    out_ += '[';
    bool first = true;
    for (const auto& value : values) {
      if (!first) out_ += ',';
      first = false;
      item(value);
    }
    out_ += ']';
  }

 private:
  std::string& out_;
};

void write_options(const Plan& plan, JsonWriter& json) {
  json.member("complex_count", plan.complex_count);
  json.member("complex_first", plan.complex_first);
  json.member("values", values_name(plan.values));
  json.member("created_digits", plan.created_digits);
  json.member("device_id_format", plan.device_id_format);
  json.member("duplicate_every", plan.duplicate_every);
  json.member("out_of_order_ppm", plan.out_of_order_ppm);
  json.member("late_ppm", plan.late_ppm);
  json.member("late_by_us", plan.late_by_us);
  json.member("malformed_ppm", plan.malformed_ppm);
  if (plan.profile == Profile::kTemplate) {
    json.member("template", plan.template_text);
    json.member("key", plan.key);
  }
}

void write_plan(const Plan& plan, JsonWriter& json) {
  json.member("profile", profile_name(plan.profile));
  json.member("seed", std::to_string(plan.seed));
  json.member("start_us", plan.start_us);
  json.member("topic", plan.topic);
  json.member("partitions", plan.partitions);
  json.member("instance", plan.instance);
  json.member("instances", plan.instances);
  json.member("devices", plan.devices);
  json.member("shared_devices", plan.shared_devices);
  json.member("pacing", pacing_name(plan.pacing));
  json.member("rate_milli", plan.rate_milli);
  json.member("count", plan.count);
  json.member("duration_us", plan.duration_us);
}

}  // namespace

std::string manifest_path(const std::string& directory, int32_t instance) {
  return join_path(join_path(directory, "simulate"), "manifest-" + std::to_string(instance) + ".json");
}

std::string manifest_json(const Manifest& manifest) {
  std::string out = "{";
  out.reserve(1024 + manifest.plan.template_text.size() + 24 * manifest.ranges.size());
  JsonWriter json(out);
  json.member("format", 1);
  write_plan(manifest.plan, json);
  json.name("options");
  out += '{';
  write_options(manifest.plan, json);
  out += '}';
  json.list("start_offsets", manifest.start_offsets, [&](Offset offset) { json.number(offset.value()); });
  json.list("partition_records", manifest.partition_records, [&](int64_t records) { json.number(records); });
  json.member("finished", manifest.finished);
  json.member("scheduled", manifest.scheduled);
  json.member("events_sent", manifest.events_sent);
  json.member("records_sent", manifest.records_sent);
  json.member("bytes_sent", manifest.bytes_sent);
  json.member("shortfall_us", manifest.shortfall_us);
  json.member("content_sum", hex128(manifest.content_sum));
  json.list("ranges", manifest.ranges, [&](const DeviceRange& range) {
    const int64_t numbers[] = {range.device, range.acknowledged, range.in_doubt, range.not_sent};
    char before = '[';
    for (int64_t number : numbers) {
      out += before;
      json.number(number);
      before = ',';
    }
    out += ']';
  });
  out += "}\n";
  return out;
}

Status create_manifest_folder(FileSystem& files, const std::string& directory) {
  TM_TRY(files.create_directories(parent_path(manifest_path(directory, 0))));
  TM_TRY(files.sync_directory(directory));
  // Those further up need not be ours to open.
  std::string at = directory;
  for (std::string above = parent_path(at); above != at && !above.empty(); above = parent_path(at)) {
    if (!files.sync_directory(above).ok()) break;
    at = above;
  }
  return {};
}

Status write_manifest(FileSystem& files, const std::string& path, const Manifest& manifest) {
  return write_file_atomically(files, path, manifest_json(manifest));
}

Result<Manifest> read_manifest(FileSystem& files, const std::string& path) {
  // 10 million devices give about 300 MB.
  TM_ASSIGN(const std::string json, read_file(files, path, 1u << 30));
  Result<Manifest> manifest = parse_manifest(json);
  if (!manifest.ok()) {
    return std::move(manifest).error().within(
        path + ": not a manifest that this program wrote (docs/formats/simulated-events.md)");
  }
  return manifest;
}

}  // namespace tidemill::simulate
