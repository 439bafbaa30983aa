// The operating system's files, behind an interface. Production uses FileSystem::posix(); the
// simulation puts a disk there that crashes, tears, lies and fills up.
//
// Errors: Domain::kExternal with the path and errno's text; Code::kNotFound for a missing file,
// kExists for create_new of an existing one, kDiskFull for ENOSPC and EDQUOT (retryable).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill {

// One open file. Positional reads and writes are safe from several threads at once; the caller
// orders writes to the same range. Closed by the destructor, which syncs nothing.
class File {
 public:
  virtual ~File() = default;
  // Reads up to `size` bytes at `offset` into `to`; the count is short only at the end of the file.
  virtual Result<size_t> read_at(uint64_t offset, char* to, size_t size) = 0;
  // Writes all of `bytes` at `offset`. After an error any prefix may have been written.
  virtual Status write_at(uint64_t offset, std::string_view bytes) = 0;
  // Writes the parts one after another at `offset`, as one call where the OS has it.
  virtual Status write_at(uint64_t offset, const std::vector<std::string_view>& parts) = 0;
  // fdatasync: what was written, and the size, survive a power cut. After an error the file's
  // content is undefined: callers must stop using it (the kernel may have dropped dirty pages).
  virtual Status sync() = 0;
  virtual Status truncate(uint64_t size) = 0;
  virtual Result<uint64_t> size() = 0;
  virtual const std::string& path() const = 0;
  // A hint that the file grows by appends, of one thread at a time: room on the disk is kept beyond its end,
  // as much as it holds and `most` bytes at most, until it is truncated or closed. A process that dies leaves
  // it to the file. Takes a quarter off what a write costs the kernel, which else finds room for every page.
  virtual void keep_room(uint64_t most) { static_cast<void>(most); }
};

// An exclusive lock on a file, released by the destructor or the process's death.
class FileLock {
 public:
  virtual ~FileLock() = default;
};

enum class OpenMode {
  kRead,       // must exist
  kReadWrite,  // must exist
  kCreateNew,  // must not exist
  kCreate,     // created where missing
};

// Thread-safe.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  virtual bool exists(const std::string& path) = 0;
  // Names (not paths) in the directory, sorted; without "." and "..".
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual Status create_directories(const std::string& path) = 0;
  // Atomic; replaces `to`. Durable only after sync_directory of both directories.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  // Hard link; Code::kExists where `to` exists.
  virtual Status link(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  virtual Status remove_tree(const std::string& path) = 0;
  virtual Status sync_directory(const std::string& path) = 0;
  // Bytes that an unprivileged process may still write.
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
  // Does not wait: Code::kExists when another holder has it. Creates the file.
  virtual Result<std::unique_ptr<FileLock>> lock(const std::string& path) = 0;

  static FileSystem& posix();
};

// The whole file. `limit` bounds what is read into memory.
Result<std::string> read_file(FileSystem& files, const std::string& path, uint64_t limit = 64u << 20);
// Writes `path`.tmp, syncs it, renames it over `path` and syncs the directory: after a crash the
// file has either its old or its new content.
Status write_file_atomically(FileSystem& files, const std::string& path, std::string_view content);

std::string join_path(std::string_view directory, std::string_view name);
std::string parent_path(std::string_view path);

}  // namespace tidemill
