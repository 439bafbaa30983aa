#include "log/topics_file.h"

#include <cstdio>
#include <sstream>

#include "base/crc32c.h"
#include "log/format.h"

namespace tidemill::log {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string with_checksum(std::string text) {
  char line[32];
  std::snprintf(line, sizeof line, "crc32c %08x\n", crc32c(text));
  return text + line;
}

// The text without its checksum line; nullopt where that does not match.
std::optional<std::string> checked(const std::string& content) {
  size_t line = content.rfind("crc32c ");
  if (line == std::string::npos) return std::nullopt;
  std::string text = content.substr(0, line);
  if (with_checksum(text) != content) return std::nullopt;
  return text;
}

std::optional<TopicId> parse_topic_id(const std::string& text) {
  if (text.size() != 22) return std::nullopt;
  TopicId id{};
  uint32_t bits = 0;
  int have = 0;
  size_t at = 0;
  for (char c : text) {
    size_t value = kAlphabet.find(c);
    if (value == std::string_view::npos) return std::nullopt;
    bits = (bits << 6) | static_cast<uint32_t>(value);
    have += 6;
    if (have >= 8 && at < id.size()) {
      have -= 8;
      id[at++] = static_cast<char>((bits >> have) & 0xff);
    }
  }
  return id;
}

std::string_view durability_name(Durability durability) {
  switch (durability) {
    case Durability::kSync:
      return "sync";
    case Durability::kInterval:
      return "interval";
    case Durability::kNone:
      return "none";
  }
  return "";
}

// One line's words, read in order; bad() after the first that does not fit.
class Words {
 public:
  explicit Words(const std::string& line) : stream_(line) {}
  std::string word() {
    std::string text;
    if (!(stream_ >> text)) bad_ = true;
    return text;
  }
  int64_t number(int64_t low, int64_t high) {
    std::optional<int64_t> value = parse_integer(word());
    if (!value || *value < low || *value > high) bad_ = true;
    return value.value_or(0);
  }
  bool bad() const { return bad_; }

 private:
  std::istringstream stream_;
  bool bad_ = false;
};

bool parse_topic(Words& words, TopicsFile* file) {
  std::string name = words.word();
  TopicEntry entry;
  std::optional<TopicId> id = parse_topic_id(words.word());
  entry.config.partitions = static_cast<int32_t>(words.number(1, INT32_MAX));
  std::string type = words.word();
  entry.config.retention_us = words.number(-1, INT64_MAX);
  entry.config.retention_bytes = words.number(-1, INT64_MAX);
  std::string state = words.word();
  if (words.bad() || !id || !check_topic_name(name).ok()) return false;
  if (type != "append-time" && type != "create-time") return false;
  if (state != "live" && state != "deleting") return false;
  entry.id = *id;
  entry.config.timestamp_type =
      type == "append-time" ? TimestampType::kLogAppendTime : TimestampType::kCreateTime;
  entry.deleting = state == "deleting";
  file->topics[name] = entry;
  return true;
}

}  // namespace

std::string topic_id_text(const TopicId& id) {
  std::string text;
  uint32_t bits = 0;
  int have = 0;
  for (char c : id) {
    bits = (bits << 8) | static_cast<uint8_t>(c);
    have += 8;
    while (have >= 6) {
      have -= 6;
      text += kAlphabet[(bits >> have) & 63];
    }
  }
  text += kAlphabet[(bits << (6 - have)) & 63];
  return text;
}

Result<TopicsFile> TopicsFile::load(FileSystem& files, const std::string& path) {
  TopicsFile file;
  auto content = read_file(files, path);
  if (!content.ok()) {
    if (content.error().code == Code::kNotFound) return file;
    return std::move(content).error();
  }
  Error corrupt = external_error(path + ": damaged: not a topics file (version 1) with a matching checksum",
                                 Code::kCorrupt);
  std::optional<std::string> text = checked(*content);
  if (!text) return corrupt;
  std::istringstream lines(*text);
  std::string line;
  if (!std::getline(lines, line) || line != "tidemill-topics 1") return corrupt;
  while (std::getline(lines, line)) {
    Words words(line);
    std::string kind = words.word();
    if (kind == "leader-epoch") {
      file.leader_epoch = LeaderEpoch(static_cast<int32_t>(words.number(0, INT32_MAX - 1)));
    } else if (kind == "durability") {
      std::string name = words.word();
      if (name == "none") file.durability = Durability::kNone;
      if (name == "interval") file.durability = Durability::kInterval;
    } else if (kind == "topic") {
      if (!parse_topic(words, &file)) return corrupt;
    } else {
      return corrupt;
    }
    if (words.bad()) return corrupt;
  }
  return file;
}

Status TopicsFile::save(FileSystem& files, const std::string& path) const {
  std::ostringstream text;
  text << "tidemill-topics 1\n";
  text << "leader-epoch " << leader_epoch.value() << '\n';
  text << "durability " << durability_name(durability) << '\n';
  for (const auto& [name, entry] : topics) {
    const TopicConfig& config = entry.config;
    text << "topic " << name << ' ' << topic_id_text(entry.id) << ' ' << config.partitions << ' '
         << (config.timestamp_type == TimestampType::kLogAppendTime ? "append-time" : "create-time") << ' '
         << config.retention_us << ' ' << config.retention_bytes << ' '
         << (entry.deleting ? "deleting" : "live") << '\n';
  }
  return write_file_atomically(files, path, with_checksum(text.str()));
}

CleanShutdown CleanShutdown::load(FileSystem& files, const std::string& path) {
  auto content = read_file(files, path);
  if (!content.ok()) return {};
  std::optional<std::string> text = checked(*content);
  if (!text) return {};
  CleanShutdown file;
  std::istringstream lines(*text);
  std::string line;
  if (!std::getline(lines, line)) return {};
  Words head(line);
  if (head.word() != "tidemill-clean-shutdown-1") return {};
  file.leader_epoch = LeaderEpoch(static_cast<int32_t>(head.number(0, INT32_MAX)));
  if (head.bad()) return {};
  while (std::getline(lines, line)) {
    Words words(line);
    TopicPartition tp;
    tp.topic = words.word();
    tp.partition = Partition(static_cast<int32_t>(words.number(0, INT32_MAX)));
    End end;
    end.log_end = Offset(words.number(0, INT64_MAX));
    end.active_base = Offset(words.number(0, INT64_MAX));
    end.active_size = static_cast<uint64_t>(words.number(0, INT64_MAX));
    if (words.bad()) return {};
    file.ends[tp] = end;
  }
  return file;
}

Status CleanShutdown::save(FileSystem& files, const std::string& path) const {
  std::ostringstream text;
  text << "tidemill-clean-shutdown-1 " << leader_epoch.value() << '\n';
  for (const auto& [tp, end] : ends) {
    text << tp.topic << ' ' << tp.partition.value() << ' ' << end.log_end.value() << ' '
         << end.active_base.value() << ' ' << end.active_size << '\n';
  }
  return write_file_atomically(files, path, with_checksum(text.str()));
}

}  // namespace tidemill::log
