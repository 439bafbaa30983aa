// What happened in one run, line by line: every decision of the scheduler, every change of the disk,
// every answer. Two runs of one seed must have the same trace, byte for byte.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string_view>

#include "base/crc32c.h"

namespace tidemill::sim {

class Trace {
 public:
  // Lines go to `out`, where it is not null; they always go into the hash.
  explicit Trace(std::FILE* out) : out_(out) {}

  void line(std::string_view text) {
    hash_ = crc32c(text, hash_);
    hash_ = crc32c("\n", hash_);
    ++lines_;
    if (out_ == nullptr) return;
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fputc('\n', out_);
  }
  uint32_t hash() const { return hash_; }
  uint64_t lines() const { return lines_; }

 private:
  std::FILE* out_;
  uint32_t hash_ = 0;
  uint64_t lines_ = 0;
};

}  // namespace tidemill::sim
