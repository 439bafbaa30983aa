// Files of JSON Lines as a sink: one chain of files for each input partition, exactly once. Format:
// docs/formats/files.md; page: docs/connectors/files.md.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "pipeline/sink.h"
#include "serve/event_json.h"
#include "serve/journaled_sink.h"

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
class FilesSink final : public JournaledSink {
 public:
  FilesSink(FileSystem& files, Clock& clock, FilesSinkOptions options);

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  // Takes the directory's lock. Errors: kExists while another process has it; kCorrupt.
  Status prepare(const Schema& schema) override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class FilesWriter;
  std::unique_ptr<JournaledPartition> make_partition(const TopicPartition& source,
                                                     const std::string& dead_directory) override;

  const FilesSinkOptions options_;
  std::vector<Field> fields_;
};

}  // namespace tidemill::serve
