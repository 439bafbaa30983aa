// The journal of a files sink: what is committed, for every partition, and which rows and dead
// letters belong to it. Format: docs/formats/files.md. One record may hold several partitions: they
// are committed together or not at all.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "pipeline/epoch.h"

namespace tidemill::serve {

// Creates a directory and those above it that are missing, and syncs each into the one above. What is there
// already may have been made by a process that failed or died before it could sync that: so the lowest
// `levels` are synced again, those far up only where that is allowed.
Status create_durable_directories(FileSystem& files, const std::string& path, size_t levels);

// The newest file of a chain.
struct ChainFile {
  Offset start;               // its name
  uint64_t length_bytes = 0;  // committed; what lies beyond was never committed
  uint32_t crc32c = 0;        // of those bytes
  bool closed = false;        // it takes no more rows and gets its final name
  int64_t opened_us = 0;      // wall clock
  auto operator<=>(const ChainFile&) const = default;
};

// A file that came with its epoch, whole (Parquet).
struct WholeFile {
  std::string name;  // its final one, below the sink's directory
  uint64_t size_bytes = 0;
  auto operator<=>(const WholeFile&) const = default;
};

// Everything that is durable about one input partition. Of `rows` and `files` a sink has the one or the
// other.
struct PartitionState {
  pipeline::Committed committed;
  std::optional<ChainFile> rows;
  std::vector<WholeFile> files;  // of the newest epoch; those before have their final names
  std::optional<ChainFile> dead;
};
using PartitionStates = std::map<TopicPartition, PartitionState>;

std::string encode_journal_record(const PartitionStates& states);
// Applies every whole record of `journal` in order. Returns the length up to which it is whole: less
// than its size where the last record was torn. Errors (kCorrupt): a damaged record before the last.
Result<size_t> replay_journal(std::string_view journal, PartitionStates* states);

// Thread-safe.
class FilesJournal {
 public:
  struct Options {
    uint64_t compact_bytes = 4u << 20;  // beyond this it is written anew, with the newest states only
  };
  // Reads it, or creates it, and cuts a torn tail.
  static Result<std::unique_ptr<FilesJournal>> open(FileSystem& files, const std::string& path,
                                                    const Options& options, PartitionStates* states);

  // Makes the states durable, all or none. Errors: retryable ones have changed nothing; kUnknown: a failed
  // sync, after which nothing can be written until the sink is opened anew.
  Status append(const PartitionStates& states);
  // The error after which nothing can be written any more, if there was one.
  Status check();

 private:
  FilesJournal(FileSystem& files, std::string path, const Options& options)
      : files_(files), path_(std::move(path)), options_(options) {}
  Status compact_locked();

  FileSystem& files_;
  const std::string path_;
  const Options options_;
  std::mutex mutex_;
  std::unique_ptr<File> file_;
  uint64_t size_ = 0;
  PartitionStates newest_;
  std::optional<Error> broken_;
};

}  // namespace tidemill::serve
