// Bytes to a file, one write() after another.
#pragma once

#include <string>
#include <string_view>

namespace baseline {

class PlainFile {
 public:
  explicit PlainFile(const std::string& path);  // created, or emptied
  ~PlainFile();
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  void write(std::string_view bytes);
  void sync();  // fdatasync

 private:
  int fd_;
};

}  // namespace baseline
