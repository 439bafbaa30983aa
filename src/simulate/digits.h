// Printing numbers at the speed that a load generator needs: no branches, no allocation.
#pragma once

#include <cstdint>
#include <cstring>

namespace tidemill::simulate {

namespace internal {
// Eight decimal digits of v < 10^8 as bytes 0 to 9, the first in the lowest byte: halves of four,
// of two, of one digit, side by side in one word (the quotients by multiplication).
constexpr uint64_t eight_digits(uint64_t v) {
  const uint64_t high = v / 10'000;
  const uint64_t fours = high | ((v - high * 10'000) << 32);
  const uint64_t hundreds = ((fours * 10'486) >> 20) & 0x0000007f'0000007fULL;
  const uint64_t twos = hundreds | ((fours - hundreds * 100) << 16);
  const uint64_t tens = ((twos * 103) >> 10) & 0x000f'000f'000f'000fULL;
  return tens | ((twos - tens * 10) << 8);
}
}  // namespace internal

// Exactly 16 digits. Precondition: v < 10^16.
inline void write_16_digits(uint64_t v, char* to) {
  constexpr uint64_t kZeros = 0x3030303030303030ULL;
  const uint64_t high = v / 100'000'000;
  const uint64_t first = internal::eight_digits(high) | kZeros;
  const uint64_t second = internal::eight_digits(v - high * 100'000'000) | kZeros;
  std::memcpy(to, &first, 8);
  std::memcpy(to + 8, &second, 8);
}

// Exactly 8 digits. Precondition: v < 10^8.
inline void write_8_digits(uint64_t v, char* to) {
  const uint64_t digits = internal::eight_digits(v) | 0x3030303030303030ULL;
  std::memcpy(to, &digits, 8);
}

// `dd.ddddddddddddddd`: 18 characters of v, an integer of 17 digits. May write nothing beyond them.
inline void write_10_to_100(uint64_t v, char* to) {
  constexpr uint64_t k15 = 1'000'000'000'000'000ULL;
  const uint64_t whole = v / k15;
  write_16_digits(v - whole * k15, to + 2);  // its first digit is 0, and becomes the point
  to[0] = static_cast<char>('0' + whole / 10);
  to[1] = static_cast<char>('0' + whole % 10);
  to[2] = '.';
}

// As many digits as v has; returns the end. Writes at most 20.
inline char* write_unsigned(uint64_t v, char* to) {
  char buffer[20];
  char* at = buffer + sizeof buffer;
  do {
    *--at = static_cast<char>('0' + v % 10);
    v /= 10;
  } while (v != 0);
  const auto size = static_cast<size_t>(buffer + sizeof buffer - at);
  std::memcpy(to, at, size);
  return to + size;
}

}  // namespace tidemill::simulate
