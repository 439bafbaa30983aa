// createdAt as text, at a few nanoseconds per event: the second's text is kept.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "event/timestamp.h"
#include "simulate/digits.h"

namespace tidemill::simulate {

class CreatedAtText {
 public:
  // `digits`: 3, 6 or 7. Microseconds are cut to 3 digits, or followed by a 0.
  explicit CreatedAtText(int digits) : digits_(digits) {
    TM_CHECK(digits == 3 || digits == 6 || digits == 7);
  }

  size_t size() const { return kSecond + 2 + static_cast<size_t>(digits_); }

  // "2026-11-21T09:07:00.123456Z". Writes at most kRoom characters, of which size() count.
  // Precondition: a time from 1970 to 9999.
  static constexpr size_t kRoom = 32;
  char* write(int64_t us, char* to) {
    const int64_t second = us / 1'000'000;
    if (second != second_) load(second);
    std::memcpy(to, text_, kSecond);
    char fraction[8];
    write_8_digits(static_cast<uint64_t>(us - second * 1'000'000) * 10, fraction);  // 0, six digits, 0
    to[kSecond] = '.';
    std::memcpy(to + kSecond + 1, fraction + 1, 7);
    to[kSecond + 1 + digits_] = 'Z';
    return to + size();
  }

 private:
  static constexpr size_t kSecond = 19;  // "2026-11-21T09:07:00"
  void load(int64_t second) {
    char text[kTimestampTextSize];
    const size_t size = format_timestamp(second * 1'000'000, 0, text);
    TM_CHECK(size == kSecond + 1, "a time with a year of four digits");
    std::memcpy(text_, text, kSecond);
    second_ = second;
  }

  int digits_;
  int64_t second_ = std::numeric_limits<int64_t>::min();
  char text_[kSecond] = {};
};

}  // namespace tidemill::simulate
