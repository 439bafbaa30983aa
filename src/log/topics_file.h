// `topics`, the root file of a log: which topics it has, and the leader epoch of this opening.
// Text, replaced atomically; docs/formats/log.md.
#pragma once

#include <array>
#include <map>
#include <string>

#include "base/file_system.h"
#include "base/result.h"
#include "event/position.h"
#include "log/log.h"

namespace tidemill::log {

using TopicId = std::array<char, 16>;
// Kafka's text form: unpadded URL-safe base64, 22 characters.
std::string topic_id_text(const TopicId& id);

struct TopicEntry {
  TopicConfig config;
  TopicId id{};
  bool deleting = false;  // its files are being removed
};

struct TopicsFile {
  LeaderEpoch leader_epoch{-1};  // of the last opening; -1: never opened
  // How the process that last opened the log synced: recovery must know what it could rely on.
  Durability durability = Durability::kSync;
  std::map<std::string, TopicEntry> topics;

  // A missing file is an empty one. Errors: kCorrupt.
  static Result<TopicsFile> load(FileSystem& files, const std::string& path);
  Status save(FileSystem& files, const std::string& path) const;
};

// Written at close: where each partition ended. Worth something only where its epoch is that of
// the topics file, that is, where nothing was opened since.
struct CleanShutdown {
  struct End {
    Offset log_end;
    Offset active_base;
    uint64_t active_size = 0;
  };
  LeaderEpoch leader_epoch{-1};
  std::map<TopicPartition, End> ends;

  // A missing or damaged file is an empty one: then recovery scans.
  static CleanShutdown load(FileSystem& files, const std::string& path);
  Status save(FileSystem& files, const std::string& path) const;
};

}  // namespace tidemill::log
