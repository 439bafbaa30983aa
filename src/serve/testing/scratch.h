// A directory for one test, removed with it. In memory where the system has such a file system: what
// survives a kill does not depend on the disk, and syncs cost nothing there.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace tidemill::serve {

class Scratch {
 public:
  explicit Scratch(const std::string& name) {
    std::string base = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : std::filesystem::temp_directory_path();
    path_ = base + "/tidemill-" + name + "-" + std::to_string(::getpid());
    clear();
  }
  ~Scratch() { std::filesystem::remove_all(path_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::string& path() const { return path_; }
  std::string path(const std::string& name) const { return path_ + "/" + name; }
  void clear() {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_);
  }

 private:
  std::string path_;
};

}  // namespace tidemill::serve
