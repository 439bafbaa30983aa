// Files of JSON Lines as a sink: one chain of files for each input partition, exactly once. Format:
// docs/formats/files.md; page: docs/connectors/files.md.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "pipeline/sink.h"
#include "serve/event_json.h"
#include "serve/files_chain.h"

namespace tidemill::serve {

struct FilesSinkOptions {
  std::string directory;
  // A file is closed, and readers see it, when it has grown to this, or was opened this long ago and a commit
  // comes by; and at the end of the run.
  uint64_t roll_bytes = 128u << 20;
  int64_t roll_interval_us = 60'000'000;
  std::string dead_folder;  // in `directory`; empty: "dead-letters"
  JsonForm form = JsonForm::kSplice;
  FilesJournal::Options journal;
};

// Thread-safe. It must outlive its writers.
class FilesSink final : public pipeline::Sink {
 public:
  FilesSink(FileSystem& files, Clock& clock, FilesSinkOptions options);
  ~FilesSink() override;

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  // Takes the directory's lock. Errors: kExists while another process has it; kCorrupt.
  Status prepare(const Schema& schema) override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class FilesWriter;
  // One input partition. Whoever commits or takes over holds the lock from its first write to the
  // end: a takeover waits a commit out.
  struct Partition {
    Partition(FileSystem& files, const std::string& rows_directory, const std::string& dead_directory)
        : rows(files, rows_directory), dead(files, dead_directory) {}
    std::mutex mutex;
    bool recovered = false;
    PartitionState state;
    FilesChain rows;
    FilesChain dead;
  };
  Partition& partition(const TopicPartition& source);

  FileSystem& files_;
  Clock& clock_;
  const FilesSinkOptions options_;
  std::vector<Field> fields_;
  std::unique_ptr<FileLock> lock_;
  std::unique_ptr<FilesJournal> journal_;
  PartitionStates found_;  // in the journal, when it was opened
  std::mutex mutex_;       // of the map
  std::map<TopicPartition, std::unique_ptr<Partition>> partitions_;
};

}  // namespace tidemill::serve
