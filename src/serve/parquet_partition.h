// The Parquet files of one input partition, from written to visible.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "serve/journaled_sink.h"
#include "serve/parquet_files.h"

namespace tidemill::serve {

constexpr const char* kStagedExtension = "new";

// publish() completes what the newest record names. Invariant: files of records before it have their final
// names.
class ParquetPartition final : public JournaledPartition {
 public:
  // `staging`: a folder of this partition alone, which holds one epoch's files at most.
  ParquetPartition(FileSystem& files, std::string directory, std::string staging,
                   const std::string& dead_directory);
  Status recover_rows() override;
  Status cut_rows() override;
  void accept_rows(const PartitionState& next) override;

  const std::string& staging() const { return staging_; }
  // An empty staging folder.
  Status begin();
  // Names and syncs what was written to it. `make_folder`: of files with their final names, durable.
  Status stage(const std::vector<ParquetFile>& written, const std::string& stem,
               const std::function<Status(const std::string&)>& make_folder);
  const std::vector<WholeFile>& staged() const { return staged_; }
  // Gives committed files their final names. May be tried again after an error.
  Status publish();

 private:
  std::string staged_path(const WholeFile& file) const;
  std::string final_path(const WholeFile& file) const { return join_path(directory_, file.name); }
  Status publish_one(const WholeFile& file);

  FileSystem& files_;
  const std::string directory_;
  const std::string staging_;
  std::vector<WholeFile> staged_;   // written, not in the journal
  std::vector<WholeFile> pending_;  // in the journal, without a final name
};

}  // namespace tidemill::serve
