#include "solution/names.h"

#include <algorithm>
#include <iterator>

#include "solution/problem.h"

namespace tidemill::solution {
namespace {

constexpr size_t kMaxTopicName = 200;  // Kafka's 249, with room for the suffixes of derived topics

// The first folder of a path, however it is spelled: "./a//b" → "a".
std::string_view first_part(std::string_view path) {
  while (path.starts_with("./") || path.starts_with("/")) path.remove_prefix(path.find('/') + 1);
  return path.substr(0, path.find('/'));
}

}  // namespace

bool holds_only(std::string_view text, std::string_view extra) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           extra.find(c) != std::string_view::npos;
  });
}

std::string topic_fault(const std::string& topic) {
  if (topic.empty()) return "is empty; name the topic";
  if (topic.size() > kMaxTopicName) return "is too long; give at most 200 characters";
  if (topic == "." || topic == ".." || !holds_only(topic, "._-")) {
    return '"' + topic.substr(0, kMaxCited) +
           "\" is not a topic's name; use letters, digits, dot, dash and underscore";
  }
  if (topic.starts_with("__"))
    return '"' + topic.substr(0, kMaxCited) + "\" is reserved; do not begin with two underscores";
  return {};
}

std::string identifier_fault(const std::string& name, std::string_view what) {
  bool plain =
      !name.empty() && name.size() <= 63 && holds_only(name, "_") && !(name[0] >= '0' && name[0] <= '9');
  if (plain) return {};
  return '"' + name.substr(0, kMaxCited) + "\" is not a name of a " + std::string(what) +
         "; use at most 63 letters, digits and underscores, a letter first";
}

bool is_of_run(std::string_view name) {
  static constexpr std::string_view kOwn[] = {
      "run.json",         "run.json.tmp", "lock",         "socket",
      "socket.new",       "log",          "store.duckdb", "store.duckdb.wal",
      "store.duckdb.tmp", "query.tmp",    "sql.tmp",      "simulate",
      "output.txt",       "verify",       "verify-copy",  "state",
      "stopped",          "stopped.tmp",  "delta.tmp"};
  return std::find(std::begin(kOwn), std::end(kOwn), name) != std::end(kOwn);
}

std::string folder_fault(const std::string& path) {
  bool leaves = path == ".." || path.starts_with("../") || path.find("/../") != std::string::npos ||
                path.ends_with("/..");
  if (path.empty() || path == "." || path.starts_with("/") || leaves) {
    return '"' + path.substr(0, kMaxCited) +
           "\" does not lie in the run's data directory; give a folder's name, as files";
  }
  if (is_of_run(first_part(path))) {
    return '"' + path.substr(0, kMaxCited) +
           "\" is where a run keeps its own; give a folder of another name, as files";
  }
  return {};
}

}  // namespace tidemill::solution
