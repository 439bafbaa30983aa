#include "verify/stoppable_files.h"

#include <utility>

namespace tidemill::verify {
namespace {

class StoppableFile final : public File {
 public:
  StoppableFile(std::unique_ptr<File> file, std::function<bool()> stop)
      : file_(std::move(file)), stop_(std::move(stop)) {}
  Result<size_t> read_at(uint64_t offset, char* to, size_t size) override {
    if (stop_()) return stopped();
    return file_->read_at(offset, to, size);
  }
  Status write_at(uint64_t offset, std::string_view bytes) override { return file_->write_at(offset, bytes); }
  Status write_at(uint64_t offset, const std::vector<std::string_view>& parts) override {
    return file_->write_at(offset, parts);
  }
  Status sync() override { return file_->sync(); }
  Status truncate(uint64_t size) override { return file_->truncate(size); }
  Result<uint64_t> size() override { return file_->size(); }
  const std::string& path() const override { return file_->path(); }

 private:
  std::unique_ptr<File> file_;
  std::function<bool()> stop_;
};

class StoppableFiles final : public FileSystem {
 public:
  StoppableFiles(FileSystem& files, std::function<bool()> stop) : files_(files), stop_(std::move(stop)) {}
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    TM_ASSIGN(auto file, files_.open(path, mode));
    return std::unique_ptr<File>(std::make_unique<StoppableFile>(std::move(file), stop_));
  }
  bool exists(const std::string& path) override { return files_.exists(path); }
  Result<std::vector<std::string>> list(const std::string& directory) override {
    return files_.list(directory);
  }
  Status create_directories(const std::string& path) override { return files_.create_directories(path); }
  Status rename(const std::string& from, const std::string& to) override { return files_.rename(from, to); }
  Status link(const std::string& from, const std::string& to) override { return files_.link(from, to); }
  Status remove(const std::string& path) override { return files_.remove(path); }
  Status remove_tree(const std::string& path) override { return files_.remove_tree(path); }
  Status sync_directory(const std::string& path) override { return files_.sync_directory(path); }
  Result<uint64_t> free_bytes(const std::string& path) override { return files_.free_bytes(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return files_.lock(path); }

 private:
  FileSystem& files_;
  std::function<bool()> stop_;
};

}  // namespace

Error stopped() {
  return Error{Domain::kUser, Code::kStopped, false, "the verification was stopped"};
}

std::unique_ptr<FileSystem> stoppable(FileSystem& files, std::function<bool()> stop) {
  return std::make_unique<StoppableFiles>(files, std::move(stop));
}

}  // namespace tidemill::verify
