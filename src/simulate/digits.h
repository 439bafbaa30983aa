// Printing numbers at the speed that a load generator needs: no branches, no allocation.
#pragma once

#include <cstdint>
#include <cstring>

#ifdef __AVX2__
#include <immintrin.h>
#endif

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
// `dd.` of a number below 100.
inline void write_whole(uint64_t v, char* to) {
  const uint64_t tens = (v * 103) >> 10;
  to[0] = static_cast<char>('0' + tens);
  to[1] = static_cast<char>('0' + (v - tens * 10));
  to[2] = '.';
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
  internal::write_whole(whole, to);
}

// Two numbers as write_10_to_100 writes them: with AVX2 their digits are made side by side.
inline void write_10_to_100_pair(uint64_t v, char* to, uint64_t w, char* to_w) {
#ifdef __AVX2__
  constexpr uint64_t k15 = 1'000'000'000'000'000ULL;
  constexpr uint64_t k8 = 100'000'000;
  const uint64_t whole_v = v / k15;
  const uint64_t whole_w = w / k15;
  const uint64_t rest_v = v - whole_v * k15;
  const uint64_t rest_w = w - whole_w * k15;
  const uint64_t high_v = rest_v / k8;
  const uint64_t high_w = rest_w / k8;
  // Four times eight digits; then eight times four, sixteen times two, thirty-two times one, each
  // quotient by multiplication with the divisor's inverse, its remainder beside it.
  const __m256i eights =
      _mm256_set_epi64x(static_cast<long long>(rest_w - high_w * k8), static_cast<long long>(high_w),
                        static_cast<long long>(rest_v - high_v * k8), static_cast<long long>(high_v));
  const __m256i by_10000 = _mm256_srli_epi64(_mm256_mul_epu32(eights, _mm256_set1_epi64x(0xd1b71759)), 45);
  const __m256i fours = _mm256_or_si256(
      by_10000, _mm256_slli_epi64(
                    _mm256_sub_epi32(eights, _mm256_mul_epu32(by_10000, _mm256_set1_epi64x(10'000))), 32));
  const __m256i by_100 = _mm256_srli_epi16(_mm256_mulhi_epu16(fours, _mm256_set1_epi16(5243)), 3);
  const __m256i twos = _mm256_or_si256(
      by_100,
      _mm256_slli_epi32(_mm256_sub_epi16(fours, _mm256_mullo_epi16(by_100, _mm256_set1_epi16(100))), 16));
  const __m256i by_10 = _mm256_mulhi_epu16(twos, _mm256_set1_epi16(6554));
  const __m256i ones = _mm256_or_si256(
      by_10, _mm256_slli_epi16(_mm256_sub_epi16(twos, _mm256_mullo_epi16(by_10, _mm256_set1_epi16(10))), 8));
  const __m256i text = _mm256_or_si256(ones, _mm256_set1_epi8('0'));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2), _mm256_castsi256_si128(text));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to_w + 2), _mm256_extracti128_si256(text, 1));
  internal::write_whole(whole_v, to);
  internal::write_whole(whole_w, to_w);
#else
  write_10_to_100(v, to);
  write_10_to_100(w, to_w);
#endif
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
