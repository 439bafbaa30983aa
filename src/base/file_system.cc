#include "base/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace tidemill {
namespace {

Error os_error(const std::string& path, const char* what, int error) {
  Code code = Code::kFailed;
  bool retryable = false;
  if (error == ENOENT || error == ENOTDIR) code = Code::kNotFound;
  if (error == EEXIST) code = Code::kExists;
  if (error == ENOSPC || error == EDQUOT) {
    code = Code::kDiskFull;
    retryable = true;
  }
  if (error == EMFILE || error == ENFILE || error == ENOMEM) retryable = true;  // others give some back
  return external_error(path + ": " + what + ": " + std::generic_category().message(error), code, retryable);
}

class PosixFile final : public File {
 public:
  PosixFile(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  ~PosixFile() override {
    give_back_room();
    ::close(fd_);
  }
  PosixFile(const PosixFile&) = delete;
  PosixFile& operator=(const PosixFile&) = delete;

  Result<size_t> read_at(uint64_t offset, char* to, size_t size) override {
    size_t done = 0;
    while (done < size) {
      ssize_t n = ::pread(fd_, to + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error(path_, "read", errno);
      if (n == 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }
  Status write_at(uint64_t offset, std::string_view bytes) override {
    make_room(offset, bytes.size());
    while (!bytes.empty()) {
      ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error(path_, "write", errno);
      bytes.remove_prefix(static_cast<size_t>(n));
      offset += static_cast<uint64_t>(n);
    }
    return {};
  }
  Status write_at(uint64_t offset, const std::vector<std::string_view>& parts) override {
    std::vector<iovec> vectors;
    vectors.reserve(parts.size());
    size_t bytes = 0;
    for (std::string_view part : parts) {
      bytes += part.size();
      if (!part.empty()) vectors.push_back({const_cast<char*>(part.data()), part.size()});
    }
    make_room(offset, bytes);
    size_t first = 0;
    while (first < vectors.size()) {
      int count = static_cast<int>(std::min<size_t>(vectors.size() - first, IOV_MAX));
      ssize_t n = ::pwritev(fd_, &vectors[first], count, static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error(path_, "write", errno);
      offset += static_cast<uint64_t>(n);
      auto left = static_cast<size_t>(n);
      while (first < vectors.size() && left >= vectors[first].iov_len) left -= vectors[first++].iov_len;
      if (left > 0) {
        vectors[first].iov_base = static_cast<char*>(vectors[first].iov_base) + left;
        vectors[first].iov_len -= left;
      }
    }
    return {};
  }
  Status sync() override {
    if (::fdatasync(fd_) != 0) return os_error(path_, "fdatasync", errno);
    return {};
  }
  Status truncate(uint64_t size) override {
    if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) return os_error(path_, "truncate", errno);
    room_end_ = 0;
    return {};
  }
  Result<uint64_t> size() override {
    struct stat info {};
    if (::fstat(fd_, &info) != 0) return os_error(path_, "stat", errno);
    return static_cast<uint64_t>(info.st_size);
  }
  const std::string& path() const override { return path_; }
  void keep_room(uint64_t most) override { most_room_ = most; }

 private:
  static constexpr uint64_t kLeastRoom = 1u << 20;  // small files are not worth it

  void make_room(uint64_t offset, uint64_t bytes) {
    const uint64_t end = offset + bytes, room = std::min(most_room_, end);
    if (end <= room_end_ || room < kLeastRoom) return;
    if (::fallocate(fd_, FALLOC_FL_KEEP_SIZE, static_cast<off_t>(offset), static_cast<off_t>(bytes + room)) ==
        0) {
      room_end_ = end + room;
    } else {
      most_room_ = 0;  // a full disk, or a file system that cannot: writes go without
      room_end_ = end + room;
      give_back_room();  // a full disk may have given a part
    }
  }
  void give_back_room() {
    struct stat info {};
    if (room_end_ == 0 || ::fstat(fd_, &info) != 0) return;
    // To the size that it has: what is lost where this fails is room, until the file is removed.
    if (static_cast<uint64_t>(info.st_size) < room_end_ && ::ftruncate(fd_, info.st_size) == 0) room_end_ = 0;
  }

  int fd_;
  std::string path_;
  uint64_t most_room_ = 0;
  uint64_t room_end_ = 0;  // up to which there is room
};

class PosixLock final : public FileLock {
 public:
  explicit PosixLock(int fd) : fd_(fd) {}
  ~PosixLock() override { ::close(fd_); }
  PosixLock(const PosixLock&) = delete;
  PosixLock& operator=(const PosixLock&) = delete;

 private:
  int fd_;
};

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    int flags = O_CLOEXEC;
    switch (mode) {
      case OpenMode::kRead:
        flags |= O_RDONLY;
        break;
      case OpenMode::kReadWrite:
        flags |= O_RDWR;
        break;
      case OpenMode::kCreateNew:
        flags |= O_RDWR | O_CREAT | O_EXCL;
        break;
      case OpenMode::kCreate:
        flags |= O_RDWR | O_CREAT;
        break;
    }
    int fd = ::open(path.c_str(), flags, 0644);
    if (fd < 0) return os_error(path, "open", errno);
    return std::unique_ptr<File>(std::make_unique<PosixFile>(fd, path));
  }
  bool exists(const std::string& path) override {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0;
  }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    DIR* handle = ::opendir(directory.c_str());
    if (handle == nullptr) return os_error(directory, "list", errno);
    std::vector<std::string> names;
    while (dirent* entry = ::readdir(handle)) {
      std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
    }
    ::closedir(handle);
    std::sort(names.begin(), names.end());
    return names;
  }
  Status create_directories(const std::string& path) override {
    std::error_code error;
    std::filesystem::create_directories(path, error);
    if (error) return os_error(path, "create directory", error.value());
    return {};
  }
  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return os_error(from, ("rename to " + to).c_str(), errno);
    return {};
  }
  Status link(const std::string& from, const std::string& to) override {
    if (::link(from.c_str(), to.c_str()) != 0) return os_error(to, "link", errno);
    return {};
  }
  Status remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return os_error(path, "remove", errno);
    return {};
  }
  Status remove_tree(const std::string& path) override {
    std::error_code error;
    std::filesystem::remove_all(path, error);
    if (error) return os_error(path, "remove", error.value());
    return {};
  }
  Status sync_directory(const std::string& path) override {
    int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return os_error(path, "open directory", errno);
    int failed = ::fsync(fd) != 0 ? errno : 0;
    ::close(fd);
    if (failed != 0) return os_error(path, "fsync", failed);
    return {};
  }
  Result<uint64_t> free_bytes(const std::string& path) override {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) return os_error(path, "statvfs", errno);
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override {
    int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return os_error(path, "open", errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      int error = errno;
      ::close(fd);
      if (error == EWOULDBLOCK)
        return external_error(path + ": held by another process", Code::kExists, true);
      return os_error(path, "lock", error);
    }
    return std::unique_ptr<FileLock>(std::make_unique<PosixLock>(fd));
  }
};

}  // namespace

FileSystem& FileSystem::posix() {
  static PosixFileSystem files;
  return files;
}

Result<std::string> read_file(FileSystem& files, const std::string& path, uint64_t limit) {
  TM_ASSIGN(auto file, files.open(path, OpenMode::kRead));
  TM_ASSIGN(uint64_t size, file->size());
  if (size > limit) return user_error(path + ": is larger than " + std::to_string(limit) + " bytes");
  std::string content(size, '\0');
  TM_ASSIGN(size_t read, file->read_at(0, content.data(), content.size()));
  content.resize(read);
  return content;
}

Status write_file_atomically(FileSystem& files, const std::string& path, std::string_view content) {
  std::string temporary = path + ".tmp";
  {
    TM_ASSIGN(auto file, files.open(temporary, OpenMode::kCreate));
    TM_TRY(file->truncate(0));
    TM_TRY(file->write_at(0, content));
    TM_TRY(file->sync());
  }
  TM_TRY(files.rename(temporary, path));
  return files.sync_directory(parent_path(path));
}

std::string join_path(std::string_view directory, std::string_view name) {
  std::string path(directory);
  if (!path.empty() && path.back() != '/') path += '/';
  path += name;
  return path;
}

std::string parent_path(std::string_view path) {
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(slash == 0 ? "/" : path.substr(0, slash));
}

}  // namespace tidemill
