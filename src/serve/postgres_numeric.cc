#include "serve/postgres_numeric.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>

#include "base/check.h"

namespace tidemill::serve {
namespace {

constexpr int kGroup = 4;  // decimal digits in one of numeric's
constexpr uint16_t kPositive = 0, kNegative = 0x4000, kNan = 0xC000;

void put_half(uint16_t value, std::string* to) {
  *to += static_cast<char>(value >> 8);
  *to += static_cast<char>(value);
}

void put_header(int groups, int weight, uint16_t sign, int shown, std::string* to) {
  put_half(0, to);
  put_half(static_cast<uint16_t>(2 * (4 + groups)), to);
  put_half(static_cast<uint16_t>(groups), to);
  put_half(static_cast<uint16_t>(weight), to);
  put_half(sign, to);
  put_half(static_cast<uint16_t>(shown), to);
}

}  // namespace

Decimal Decimal::of(double value) {
  TM_CHECK(std::isfinite(value), "the caller has asked");
  Decimal decimal;
  if (value == 0) return decimal;
  char text[32];
  const auto done = std::to_chars(text, text + sizeof text, std::abs(value), std::chars_format::scientific);
  const std::string_view written(text, static_cast<size_t>(done.ptr - text));
  const size_t e = written.find('e');
  for (char c : written.substr(0, e)) {
    if (c != '.') decimal.digits_[static_cast<size_t>(decimal.size_++)] = c;
  }
  const char* exponent = written.data() + e + (written[e + 1] == '+' ? 2 : 1);
  std::from_chars(exponent, done.ptr, decimal.point_);
  ++decimal.point_;
  decimal.negative_ = value < 0;
  return decimal;
}

Decimal Decimal::of(int64_t value) {
  Decimal decimal;
  if (value == 0) return decimal;
  decimal.negative_ = value < 0;
  const uint64_t size = decimal.negative_ ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  char* first = decimal.digits_.data();
  decimal.size_ = static_cast<int>(std::to_chars(first, first + decimal.digits_.size(), size).ptr - first);
  decimal.point_ = decimal.size_;
  return decimal;
}

bool Decimal::fits(int32_t precision, int32_t scale) const {
  if (precision == 0 || size_ == 0) return true;
  const int kept = point_ + scale;  // digits
  if (kept < 0) return true;        // it becomes 0
  int point = point_;
  if (kept < size_ && digits_[static_cast<size_t>(kept)] >= '5' &&
      std::all_of(digits_.begin(), digits_.begin() + kept, [](char c) { return c == '9'; }))
    ++point;  // 9.99 becomes 10.0
  return point <= precision - scale || (kept == 0 && digits_[0] < '5');
}

void Decimal::append_numeric(std::string* to) const {
  if (size_ == 0) return put_header(0, 0, kPositive, 0, to);
  // The first group holds the digits from 10^(4 × weight) to 10^(4 × weight + 3).
  const int highest = point_ - 1;
  const int weight = (highest >= 0 ? highest : highest - (kGroup - 1)) / kGroup;
  const int before = kGroup * weight + (kGroup - 1) - highest;  // zeros
  const int groups = (before + size_ + kGroup - 1) / kGroup;
  put_header(groups, weight, negative_ ? kNegative : kPositive, std::max(0, size_ - point_), to);
  for (int group = 0; group < groups; ++group) {
    int value = 0;
    for (int at = group * kGroup - before, end = at + kGroup; at < end; ++at)
      value = value * 10 + (at >= 0 && at < size_ ? digits_[static_cast<size_t>(at)] - '0' : 0);
    put_half(static_cast<uint16_t>(value), to);
  }
}

void append_numeric_nan(std::string* to) {
  put_header(0, 0, kNan, 0, to);
}

}  // namespace tidemill::serve
