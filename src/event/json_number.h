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
// A number without exponent, of at most 31 bytes, looked at in one step. Decimals without sign whose
// first digit is not 0 take no branch on their bytes.
struct PlainNumber {
  PlainNumber(const char* token, uint32_t token_size) : first(token), size(token_size) {
    uint32_t zero_first = 0;
    if (static_cast<unsigned char>(*first - '1') > 8) [[unlikely]] {
      if (*first == '-') {
        ++first;
        --size;
      }
      zero_first = *first == '0' && size > 1 ? 2 : 0;
    }
    if (size - 1 > 30) [[unlikely]] {
      wrong = 1;
      return;
    }
    __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(first));
    __m256i values = _mm256_sub_epi8(bytes, _mm256_set1_epi8('0'));
    __m256i digits = _mm256_cmpeq_epi8(_mm256_min_epu8(values, _mm256_set1_epi8(9)), values);
    __m256i point = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('.'));
    others = _bzhi_u32(~static_cast<uint32_t>(_mm256_movemask_epi8(digits)), size);
    auto points = static_cast<uint32_t>(_mm256_movemask_epi8(point));
    wrong = _andn_u32(points, others) |     // something else than digits and points
            _blsr_u32(others) |             // two points
            (others & 1) |                  // no digit before the point
            (others >> (size - 1)) |        // no digit behind it
            _andn_u32(others, zero_first);  // a digit behind a leading zero
  }
  bool ok() const { return wrong == 0; }
  // Where ok(): the digits behind the point, 0 where there is none.
  uint32_t fraction_size() const {
    return others == 0 ? 0 : size - 1 - static_cast<uint32_t>(std::countr_zero(others));
  }

  const char* first;    // behind the sign
  uint32_t size;        // without the sign
  uint32_t others = 0;  // bit i: first[i] is no digit
  uint32_t wrong;
};
#endif

// Whether the token is a number. Takes one branch for the usual forms.
inline bool is_number(const char* first, const char* last) {
#if defined(__AVX2__)
  if (PlainNumber(first, static_cast<uint32_t>(last - first)).ok()) [[likely]] {
    return true;
  }
#endif
  return follows_number_grammar(first, last);
}

}  // namespace tidemill::json
