#include "solution/run_directory.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "event/json_splice.h"

namespace tidemill::solution {
namespace {

std::string json_text(std::string_view text) {
  std::string out;
  append_json_string(text, &out);
  return out;
}

// What a run makes, by the first part of its path. Anything else in the directory is not ours.
constexpr std::string_view kMade[] = {
    "run.json",         "run.json.tmp", "lock",  "socket",     "log",    "store.duckdb", "store.duckdb.wal",
    "store.duckdb.tmp", "simulate",     "files", "output.txt", "verify", "state"};

}  // namespace

Result<std::string> encode_run(const RunRecord& record) {
  std::string settings;
  for (const std::string& setting : record.settings)
    settings += (settings.empty() ? "" : ",") + json_text(setting);
  return fmt::format(
      "{{\"format\":1,\"name\":{},\"number\":{},\"solution\":{},\"settings\":[{}],\"size\":{},\"created_us\":"
      "{},"
      "\"state\":{},\"verdict\":{}}}\n",
      json_text(record.name), record.number, json_text(record.solution), settings, json_text(record.size),
      record.created_us, json_text(record.state), json_text(record.verdict));
}

Result<RunRecord> decode_run(const std::string& json) {
  simdjson::dom::parser parser;
  simdjson::dom::object object;
  if (parser.parse(json).get_object().get(object) != simdjson::SUCCESS) {
    return internal_error("run.json is not a JSON object", Code::kCorrupt);
  }
  auto text = [&](const char* key) {
    std::string_view value;
    return object[key].get_string().get(value) == simdjson::SUCCESS ? std::string(value) : std::string();
  };
  auto number = [&](const char* key) {
    int64_t value = 0;
    return object[key].get_int64().get(value) == simdjson::SUCCESS ? value : 0;
  };
  if (number("format") != 1)
    return internal_error("run.json is of a format that this program does not know", Code::kCorrupt);
  RunRecord record;
  record.name = text("name");
  record.number = number("number");
  record.solution = text("solution");
  record.size = text("size");
  record.created_us = number("created_us");
  record.state = text("state");
  record.verdict = text("verdict");
  simdjson::dom::array settings;
  if (object["settings"].get_array().get(settings) == simdjson::SUCCESS) {
    for (auto setting : settings) {
      std::string_view value;
      if (setting.get_string().get(value) == simdjson::SUCCESS) record.settings.emplace_back(value);
    }
  }
  TM_TRY(check_run_name(record.name));
  return record;
}

Status check_run_name(const std::string& name) {
  bool legal = !name.empty() && name.size() <= 64 && name[0] != '.' &&
               std::all_of(name.begin(), name.end(), [](char c) {
                 return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        c == '-' || c == '_' || c == '.';
               });
  if (legal) return {};
  return user_error(
      "'" + name +
      "' is not a name for a run: use up to 64 letters, digits, '-', '_' and '.', not beginning with '.'");
}

std::string RunStore::directory(const std::string& name, int64_t number) const {
  return join_path(join_path(root_, name), std::to_string(number));
}

std::vector<RunRecord> RunStore::list() const {
  std::vector<RunRecord> all;
  auto names = files_.list(root_);
  if (!names.ok()) return all;
  for (const std::string& name : *names) {
    auto some = list(name);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

std::vector<RunRecord> RunStore::list(const std::string& name) const {
  std::vector<RunRecord> runs;
  auto entries = files_.list(join_path(root_, name));
  if (!entries.ok()) return runs;
  for (const std::string& entry : *entries) {
    auto json = read_file(files_, join_path(join_path(join_path(root_, name), entry), "run.json"), 1u << 20);
    if (!json.ok()) continue;
    auto record = decode_run(*json);
    if (record.ok() && record->name == name && std::to_string(record->number) == entry)
      runs.push_back(std::move(*record));
  }
  std::sort(runs.begin(), runs.end(),
            [](const RunRecord& a, const RunRecord& b) { return a.number < b.number; });
  return runs;
}

std::optional<RunRecord> RunStore::latest(const std::string& name) const {
  auto runs = list(name);
  if (runs.empty()) return std::nullopt;
  return runs.back();
}

Result<RunRecord> RunStore::create(RunRecord record) const {
  TM_TRY(check_run_name(record.name));
  // Past every directory that is there, run or not, so that nothing is taken over by accident.
  record.number = 1;
  if (auto entries = files_.list(join_path(root_, record.name)); entries.ok()) {
    for (const std::string& entry : *entries) {
      int64_t number = 0;
      auto [end, error] = std::from_chars(entry.data(), entry.data() + entry.size(), number);
      if (error == std::errc() && end == entry.data() + entry.size())
        record.number = std::max(record.number, number + 1);
    }
  }
  TM_TRY(files_.create_directories(directory(record.name, record.number)));
  TM_TRY(save(record));
  return record;
}

Status RunStore::save(const RunRecord& record) const {
  TM_ASSIGN(std::string json, encode_run(record));
  return write_file_atomically(files_, join_path(directory(record.name, record.number), "run.json"), json);
}

RunStore::Contents RunStore::contents(const RunRecord& record) const {
  Contents contents;
  std::string path = directory(record.name, record.number);
  auto entries = files_.list(path);
  if (!entries.ok()) return contents;
  for (const std::string& entry : *entries) {
    std::string whole = join_path(path, entry);
    bool made = std::find(std::begin(kMade), std::end(kMade), entry) != std::end(kMade);
    (made ? contents.made : contents.foreign).push_back(whole);
    std::error_code ignored;
    if (!made) continue;
    if (std::filesystem::is_directory(whole, ignored)) {
      for (const auto& file : std::filesystem::recursive_directory_iterator(whole, ignored)) {
        if (file.is_regular_file(ignored)) contents.bytes += file.file_size(ignored);
      }
    } else if (std::filesystem::is_regular_file(whole, ignored)) {
      contents.bytes += std::filesystem::file_size(whole, ignored);
    }
  }
  return contents;
}

Status RunStore::remove(const RunRecord& record) const {
  Contents all = contents(record);
  // run.json last: as long as it is there the run can be named, and removed again.
  std::stable_partition(all.made.begin(), all.made.end(),
                        [](const std::string& path) { return !path.ends_with("/run.json"); });
  for (const std::string& path : all.made) TM_TRY(files_.remove_tree(path));
  // The directories themselves only when nothing else is left in them.
  std::error_code ignored;
  if (all.foreign.empty()) std::filesystem::remove(directory(record.name, record.number), ignored);
  std::filesystem::remove(join_path(root_, record.name), ignored);
  return {};
}

}  // namespace tidemill::solution
