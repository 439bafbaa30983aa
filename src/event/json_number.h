// The numbers of JSON (RFC 8259 section 6): checking and parsing one token. For the fast decoder.
//
// A token is [first, last) with no white space. Every function may read kNumberLookahead bytes from
// `first` on, whatever the token's length; what it reads behind `last` changes nothing.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace tidemill::json {

inline constexpr size_t kNumberLookahead = 32;

// The grammar, byte by byte: -? (0 | [1-9][0-9]*) (\. [0-9]+)? ([eE] [+-]? [0-9]+)?
bool follows_number_grammar(const char* first, const char* last);

enum class NumberError : uint8_t { kNone, kMalformed, kNotInteger, kOutOfRange };

// Correctly rounded. kOutOfRange: the nearest double is infinite. Bytes from `floor` on may be read.
NumberError parse_double(const char* floor, const char* first, const char* last, double* value);
// kNotInteger: a fraction or an exponent, whatever its value; kOutOfRange: not an int64.
NumberError parse_int64(const char* first, const char* last, int64_t* value);

#if defined(__AVX2__)
// Bit i: first[i] is no digit, for the first 32 bytes.
inline uint32_t non_digits(const char* first) {
  __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first));
  __m256i values = _mm256_sub_epi8(bytes, _mm256_set1_epi8('0'));
  __m256i digits = _mm256_cmpeq_epi8(_mm256_min_epu8(values, _mm256_set1_epi8(9)), values);
  return ~static_cast<uint32_t>(_mm256_movemask_epi8(digits));
}
#endif

// Whether the token is a number. Without branches on its bytes for the usual forms: integers and
// decimal fractions of at most 31 bytes without exponent.
inline bool is_number(const char* first, const char* last) {
#if defined(__AVX2__)
  auto size = static_cast<size_t>(last - first);
  if (size - 1 < 31) [[likely]] {
    uint32_t others = non_digits(first) & ((uint32_t{1} << size) - 1);
    uint32_t minus = *first == '-' ? 1 : 0;
    others ^= others & minus;
    bool leading_zero = first[minus] == '0';
    if (others == 0) {
      if (size > minus && (!leading_zero || size == minus + 1)) return true;
    } else if ((others & (others - 1)) == 0) [[likely]] {
      auto point = static_cast<uint32_t>(std::countr_zero(others));
      if (first[point] == '.' && point > minus && point + 1 < size && (!leading_zero || point == minus + 1)) {
        return true;
      }
    }
  }
#endif
  return follows_number_grammar(first, last);
}

}  // namespace tidemill::json
