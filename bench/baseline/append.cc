#include "baseline/append.h"

#include <fcntl.h>
#include <unistd.h>

#include "baseline/fail.h"

namespace baseline {

PlainFile::PlainFile(const std::string& path)
    : fd_(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) {
  if (fd_ < 0) fail("open");
}
PlainFile::~PlainFile() {
  ::close(fd_);
}

void PlainFile::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0) fail("write");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void PlainFile::sync() {
  if (::fdatasync(fd_) != 0) fail("fdatasync");
}

}  // namespace baseline
