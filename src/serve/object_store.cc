#include "serve/object_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <set>
#include <system_error>

#include "base/steps.h"

namespace tidemill::serve {

std::string random_id(Random& random) {
  const uint64_t high = random.next(), low = random.next();
  // Version 4, variant 1 (RFC 9562).
  return fmt::format("{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xffff, high & 0xfff,
                     0x8000 | (low >> 50), low & 0xffff'ffff'ffff);
}

LocalFiles::~LocalFiles() {
  if (copies_) (void)FileSystem::posix().remove_tree(folder_).ok();
}

void ObjectStore::drop(const std::string& written) {
  (void)FileSystem::posix().remove(path_of(written)).ok();
}

Status FolderStore::put_if_absent(const std::string& name, std::string_view content) {
  const std::string path = path_of(name), folder = parent_path(path);
  const std::string written = join_path(folder, "." + random_id(random_) + ".tmp");
  TM_TRY(files_.create_directories(folder));
  Status whole = [&]() -> Status {
    TM_ASSIGN(auto file, files_.open(written, OpenMode::kCreateNew));
    TM_TRY(file->write_at(0, content));
    return file->sync();
  }();
  if (whole.ok()) {
    commit_step("delta.commit.written");
    whole = link_durably(written, name);
  }
  (void)files_.remove(written).ok();
  return whole;
}

Status FolderStore::link_durably(const std::string& from, const std::string& name) {
  const std::string path = path_of(name);
  TM_TRY(files_.link(from, path));
  Status kept = files_.sync_directory(parent_path(path));
  if (kept.ok()) return {};
  Error error = std::move(kept).error().within(path + " may not outlive a power cut");
  error.code = Code::kUnknown;
  error.retryable = false;
  return error;
}

Status FolderStore::keep_as(const std::string& written, const std::string& name) {
  {
    TM_ASSIGN(auto file, files_.open(path_of(written), OpenMode::kReadWrite));
    TM_TRY(file->sync());
  }
  Status kept = link_durably(path_of(written), name);
  drop(written);
  return kept;
}

Result<LocalFiles> FolderStore::fetch(const std::vector<std::string>&) {
  return LocalFiles(folder_, false);
}

Status FolderStore::put(const std::string& name, std::string_view content) {
  return write_file_atomically(files_, path_of(name), content);
}

Result<std::string> FolderStore::get(const std::string& name) {
  return read_file(files_, path_of(name));
}

Result<std::vector<std::string>> FolderStore::list(const std::string& folder) {
  const std::string path = path_of(folder);
  if (!files_.exists(path)) return std::vector<std::string>();
  return files_.list(path);
}

Result<std::vector<StoredObject>> FolderStore::list_all() {
  namespace fs = std::filesystem;
  std::vector<StoredObject> all;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    struct stat seen = {};
    const std::string path = at->path().string();
    // What has gone meanwhile is not there.
    if (::stat(path.c_str(), &seen) != 0 || !S_ISREG(seen.st_mode)) continue;
    all.push_back({path.substr(folder_.size() + 1), int64_t{seen.st_mtime} * 1000, int64_t{seen.st_size}});
  }
  if (error) return external_error(folder_ + ": " + error.message());
  return all;
}

Status FolderStore::remove(const std::string& name) {
  return files_.remove(path_of(name));
}

Status FolderStore::keep(const std::vector<std::string>& names) {
  std::set<std::string> folders;
  for (const std::string& name : names) {
    const std::string path = path_of(name);
    TM_ASSIGN(auto file, files_.open(path, OpenMode::kReadWrite));
    TM_TRY(file->sync());
    for (std::string folder = parent_path(path); folder.size() >= folder_.size();
         folder = parent_path(folder)) {
      folders.insert(folder);
    }
  }
  for (const std::string& folder : folders) TM_TRY(files_.sync_directory(folder));
  return {};
}

}  // namespace tidemill::serve
