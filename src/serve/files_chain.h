// One chain of files: the rows (or the dead letters) of one input partition. A file is named by the
// input offset at which it begins. While it takes rows it has a dotted name that readers pass over;
// closed, it gets its final name, which never replaces another file.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "serve/files_journal.h"

namespace tidemill::serve {

// Used by one thread at a time (the partition's lock).
//
// Invariant: between calls the open file ends with what the journal holds as committed.
class FilesChain {
 public:
  FilesChain(FileSystem& files, std::string directory) : files_(files), directory_(std::move(directory)) {}

  // Brings the directory to what the journal says: cuts the open file to its committed length and
  // checks its bytes, gives a closed file its final name, removes files that were never committed.
  Status recover(const std::optional<ChainFile>& newest);

  // Writes `parts` behind what is committed; starts a file named `start` where none is open. Syncs it.
  // Returns what the journal is to say. Until accept() the rows are not part of the chain. Errors: kFenced
  // where a file of that name exists. The chain is as before, or broken.
  Result<ChainFile> write(Offset start, int64_t now_us, const std::vector<std::string_view>& parts);
  void accept(const ChainFile& file) { newest_ = file; }
  // Cuts what was written and not accepted.
  Status cut();

  // What the journal holds of the newest file.
  const std::optional<ChainFile>& newest() const { return newest_; }
  bool open() const { return newest_ && !newest_->closed; }
  // The newest file is accepted as closed, but has not got its final name yet.
  bool roll_due() const {
    return file_ != nullptr && newest_ && newest_->closed && newest_->start == file_start_;
  }
  // Gives it its final name. May be tried again after an error.
  Status roll();

 private:
  std::string open_path(Offset start) const;
  std::string final_path(Offset start) const;
  Status recover_newest(const ChainFile& newest, bool has_open, bool has_final);
  Status check_content(File& file, const ChainFile& expected);
  Status create(Offset start);

  FileSystem& files_;
  const std::string directory_;
  std::optional<ChainFile> newest_;
  std::unique_ptr<File> file_;  // of the newest file, until it has its final name
  Offset file_start_;
  bool linked_ = false;  // a roll got as far as the final name
  bool unsynced_cut_ = false;
  std::optional<Error> broken_;
};

// A folder name for any topic: letters, digits, '.', '_' and '-' stand for themselves (but no first
// '.'), every other byte is %XX.
std::string folder_name(const TopicPartition& tp);

}  // namespace tidemill::serve
