#include "solution/run_directory.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <filesystem>

#include "base/random.h"
#include "event/json_splice.h"
#include "solution/names.h"

namespace tidemill::solution {
namespace {

std::string json_text(std::string_view text) {
  std::string out;
  append_json_string(text, &out);
  return out;
}

std::string json_texts(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += (out.empty() ? "" : ",") + json_text(text);
  return "[" + out + "]";
}

// The number that a run's directory is named by, as this program writes it.
std::optional<int64_t> run_number(const std::string& entry) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(entry.data(), entry.data() + entry.size(), number);
  if (error != std::errc() || end != entry.data() + entry.size() || number < 1) return std::nullopt;
  if (std::to_string(number) != entry) return std::nullopt;
  return number;
}

}  // namespace

Result<std::string> encode_run(const RunRecord& record) {
  return fmt::format(
      "{{\"format\":1,\"name\":{},\"number\":{},\"solution\":{},\"settings\":{},\"size\":{},\"variant\":{},"
      "\"target\":{},"
      "\"created_us\":"
      "{},"
      "\"state\":{},\"verdict\":{},\"made\":{},\"replays\":{}}}\n",
      json_text(record.name), record.number, json_text(record.solution), json_texts(record.settings),
      json_text(record.size), json_text(record.variant), json_text(record.target), record.created_us,
      json_text(record.state), json_text(record.verdict), json_texts(record.made),
      json_texts(record.replays));
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
  if (number("format") != 1) {
    return internal_error("run.json is of format " + std::to_string(number("format")) +
                              ", of another version of tidemill; this one knows format 1",
                          Code::kCorrupt);
  }
  RunRecord record;
  record.name = text("name");
  record.number = number("number");
  record.solution = text("solution");
  record.size = text("size");
  record.variant = text("variant");
  record.target = text("target");
  record.created_us = number("created_us");
  record.state = text("state");
  record.verdict = text("verdict");
  auto texts = [&](const char* key) {
    std::vector<std::string> all;
    simdjson::dom::array array;
    if (object[key].get_array().get(array) != simdjson::SUCCESS) return all;
    for (auto item : array) {
      std::string_view value;
      if (item.get_string().get(value) == simdjson::SUCCESS) all.emplace_back(value);
    }
    return all;
  };
  record.settings = texts("settings");
  record.made = texts("made");
  record.replays = texts("replays");
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

Status check_usable(const RunStore& runs, const RunRecord& record) {
  if (record.problem.empty()) return {};
  return user_error("run " + record.id() + " in " + runs.directory(record.name, record.number) +
                    " cannot be used: " + record.problem +
                    "; choose another --name, or remove it: tidemill clean " + record.id());
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
    std::optional<int64_t> number = run_number(entry);
    if (!number) continue;
    auto json = read_file(files_, join_path(directory(name, *number), "run.json"), 1u << 20);
    if (!json.ok() && json.error().code == Code::kNotFound) continue;
    auto record = json.ok() ? decode_run(*json) : Result<RunRecord>(std::move(json).error());
    if (record.ok() && (record->name != name || record->number != *number)) {
      record = user_error("run.json is that of run " + record->id() +
                          ": its directory was copied or renamed; move it back");
    }
    if (!record.ok()) {
      RunRecord unusable;
      unusable.name = name;
      unusable.number = *number;
      unusable.problem = record.error().message;
      record = std::move(unusable);
    }
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

// Of several processes that create a run at once one succeeds: run.json appears whole, by a link. A number is
// taken by what is in its directory, so that an empty one, of a process that is about to link, is contended
// for rather than stepped over.
Result<RunRecord> RunStore::create(RunRecord record, int64_t latest_seen) const {
  TM_TRY(check_run_name(record.name));
  const std::string names = join_path(root_, record.name);
  if (Status made = files_.create_directories(names); !made.ok()) {
    Error error = made.error();
    error.message += "; --data-dir or TIDEMILL_DATA_DIR names a directory that runs can be kept in";
    return error;
  }
  // Past every directory with something in it, run or not: nothing is taken over by accident.
  record.number = 1;
  TM_ASSIGN(std::vector<std::string> entries, files_.list(names));
  for (const std::string& entry : entries) {
    std::optional<int64_t> number = run_number(entry);
    if (!number || *number < record.number) continue;
    auto content = files_.list(join_path(names, entry));
    if (!content.ok() || !content->empty()) record.number = *number + 1;
  }
  auto now = latest(record.name);
  if ((now ? now->number : 0) != latest_seen) {
    return external_error("another process has begun run " + now->id(), Code::kExists, true);
  }
  TM_ASSIGN(std::string json, encode_run(record));
  const std::string draft = join_path(names, ".run.json." + std::to_string(Random::system().next()));
  const std::string path = directory(record.name, record.number);
  Status created = [&]() -> Status {
    {
      TM_ASSIGN(auto file, files_.open(draft, OpenMode::kCreateNew));
      TM_TRY(file->write_at(0, json));
      TM_TRY(file->sync());
    }
    TM_TRY(files_.create_directories(path));
    return files_.link(draft, join_path(path, "run.json"));
  }();
  if (files_.exists(draft)) TM_TRY(files_.remove(draft));
  TM_TRY(std::move(created));
  for (const std::string& parent : {path, names, root_}) TM_TRY(files_.sync_directory(parent));
  return record;
}

Status RunStore::save(const RunRecord& record) const {
  TM_ASSIGN(std::string json, encode_run(record));
  return write_file_atomically(files_, join_path(directory(record.name, record.number), "run.json"), json);
}

Status RunStore::note_stop(const RunRecord& record) const {
  return write_file_atomically(files_, join_path(directory(record.name, record.number), "stopped"),
                               std::to_string(Random::system().next()));
}

std::string RunStore::last_stop(const RunRecord& record) const {
  auto noted = read_file(files_, join_path(directory(record.name, record.number), "stopped"));
  return noted.ok() ? *noted : std::string();
}

RunStore::Contents RunStore::contents(const RunRecord& record) const {
  Contents contents;
  std::string path = directory(record.name, record.number);
  auto entries = files_.list(path);
  if (!entries.ok()) return contents;
  for (const std::string& entry : *entries) {
    std::string whole = join_path(path, entry);
    bool made = is_of_run(entry) || entry == "files" ||
                std::find(record.made.begin(), record.made.end(), entry) != record.made.end();
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
