#include "serve/parquet_partition.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "base/logging.h"
#include "base/steps.h"

namespace tidemill::serve {
namespace {

constexpr std::string_view kFinalSuffix = ".parquet";

Result<uint64_t> size_of(FileSystem& files, const std::string& path) {
  TM_ASSIGN(auto file, files.open(path, OpenMode::kRead));
  return file->size();
}

}  // namespace

ParquetPartition::ParquetPartition(FileSystem& files, std::string directory, std::string staging,
                                   const std::string& dead_directory)
    : JournaledPartition(files, dead_directory),
      files_(files),
      directory_(std::move(directory)),
      staging_(std::move(staging)) {}

std::string ParquetPartition::staged_path(const WholeFile& file) const {
  return join_path(staging_,
                   file.name.substr(0, file.name.size() - kFinalSuffix.size()) + "." + kStagedExtension);
}

Status ParquetPartition::recover_rows() {
  staged_.clear();
  pending_ = state.files;
  return publish();
}

Status ParquetPartition::cut_rows() {
  // What waits for its final name is committed.
  if (!pending_.empty()) return {};
  staged_.clear();
  return files_.exists(staging_) ? files_.remove_tree(staging_) : Status();
}

void ParquetPartition::accept_rows(const PartitionState&) {
  if (!staged_.empty()) pending_ = std::move(staged_);
  staged_.clear();
  if (Status published = publish(); !published.ok()) {
    // The rows are committed; the next commit, or start, tries again before anything else.
    log_warning("parquet: committed files have no final names yet: " + published.error().message);
  }
}

Status ParquetPartition::begin() {
  TM_CHECK(pending_.empty(), "the last epoch's files are published first");
  TM_TRY(cut_rows());
  return files_.create_directories(staging_);
}

Status ParquetPartition::stage(const std::vector<ParquetFile>& written, const std::string& stem,
                               const std::function<Status(const std::string&)>& make_folder) {
  commit_step("parquet.files.written");
  std::vector<std::string> names;
  for (const ParquetFile& file : written) names.push_back(file.name);
  std::sort(names.begin(), names.end());
  std::map<std::string, int> in_folder;
  std::set<std::string> folders;
  std::vector<WholeFile> staged;
  for (const std::string& name : names) {
    // DuckDB may write several for one folder.
    const std::string folder = name.substr(0, name.rfind('/') + 1);
    const int number = in_folder[folder]++;
    WholeFile file;
    file.name = folder + stem + (number == 0 ? "" : "-" + std::to_string(number)) + std::string(kFinalSuffix);
    const std::string final = final_path(file), path = staged_path(file);
    if (files_.exists(final)) {
      return external_error(
          final +
              ": is there, but not in the journal, which was damaged or is an older copy; bring "
              "back the one of these files, or start a new run with --fresh",
          Code::kCorrupt);
    }
    TM_TRY(make_folder(parent_path(final)));
    if (join_path(staging_, name) != path) TM_TRY(files_.rename(join_path(staging_, name), path));
    TM_ASSIGN(auto opened, files_.open(path, OpenMode::kReadWrite));
    TM_ASSIGN(file.size_bytes, opened->size());
    TM_TRY(opened->sync());
    for (std::string at = parent_path(path); at.size() >= parent_path(staging_).size(); at = parent_path(at))
      folders.insert(at);
    staged.push_back(std::move(file));
  }
  for (const std::string& folder : folders) TM_TRY(files_.sync_directory(folder));
  staged_ = std::move(staged);
  commit_step("parquet.files.durable");
  return {};
}

Status ParquetPartition::publish_one(const WholeFile& file) {
  const std::string from = staged_path(file), to = final_path(file);
  TM_ASSIGN(uint64_t size, size_of(files_, from));
  if (size != file.size_bytes) {
    return internal_error(
        from + ": has " + std::to_string(size) + " bytes, " + std::to_string(file.size_bytes) +
            " are committed: the file was damaged; bring back a copy, or start a new run with "
            "--fresh",
        Code::kCorrupt);
  }
  Status linked = files_.link(from, to);
  if (linked.ok() || linked.error().code != Code::kExists) return linked;
  // A crash came between this and the removal of the other name.
  TM_ASSIGN(uint64_t there, size_of(files_, to));
  if (there == size) return {};
  return internal_error(to + ": somebody else has written it", Code::kCorrupt);
}

Status ParquetPartition::publish() {
  if (pending_.empty()) return {};
  std::set<std::string> folders;
  for (const WholeFile& file : pending_) {
    // One that has its final name only; a reader may have taken it away since.
    if (!files_.exists(staged_path(file))) continue;
    TM_TRY(publish_one(file));
    commit_step("parquet.file.linked");
    folders.insert(parent_path(final_path(file)));
  }
  for (const std::string& folder : folders) TM_TRY(files_.sync_directory(folder));
  commit_step("parquet.published");
  pending_.clear();
  return files_.exists(staging_) ? files_.remove_tree(staging_) : Status();
}

}  // namespace tidemill::serve
