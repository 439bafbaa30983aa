#include "event/json_number.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <cstring>
#include <string_view>

namespace tidemill::json {
namespace {

// 19 decimal digits fit 64 bits; with more the token goes to the exact, slow conversion.
constexpr ptrdiff_t kMaxDigits = 19;
// Powers of ten for which compute_float_64 has its tables.
constexpr int64_t kSmallestPower = -342;
constexpr int64_t kLargestPower = 308;

bool is_digit(char c) {
  return static_cast<unsigned char>(c - '0') <= 9;
}

const char* skip_digits(const char* at, const char* last) {
  while (at != last && is_digit(*at)) ++at;
  return at;
}

NumberError exact_double(const char* first, const char* last, double* value) {
  *value = simdjson::internal::from_chars(first, last);
  return std::isfinite(*value) ? NumberError::kNone : NumberError::kOutOfRange;
}

// `digits` × 10^power, rounded once.
NumberError scale(const char* first, const char* last, uint64_t digits, int64_t power, bool negative,
                  double* value) {
  if (power >= kSmallestPower && power <= kLargestPower &&
      simdjson::builtin::numberparsing::compute_float_64(power, digits, negative, *value)) {
    return NumberError::kNone;
  }
  return exact_double(first, last, value);
}

// Any number, byte by byte. Precondition: it follows the grammar.
NumberError parse_checked_double(const char* first, const char* last, double* value) {
  bool negative = *first == '-';
  const char* at = first + (negative ? 1 : 0);
  uint64_t digits = 0;
  ptrdiff_t significant = 0;
  auto take = [&](char c) {
    digits = digits * 10 + static_cast<uint64_t>(c - '0');
    significant += significant != 0 || c != '0' ? 1 : 0;
  };
  while (at != last && is_digit(*at) && significant <= kMaxDigits) take(*at++);
  int64_t power = 0;
  if (at != last && *at == '.') {
    const char* fraction = ++at;
    while (at != last && is_digit(*at) && significant <= kMaxDigits) take(*at++);
    power = -(at - fraction);
  }
  if (significant > kMaxDigits) return exact_double(first, last, value);
  if (at != last && (*at == 'e' || *at == 'E')) {
    ++at;
    bool down = *at == '-';
    if (*at == '-' || *at == '+') ++at;
    int64_t exponent = 0;
    auto [end, error] = std::from_chars(at, last, exponent);
    if (error != std::errc{} || exponent > 100'000) return exact_double(first, last, value);
    power += down ? -exponent : exponent;
  }
  return scale(first, last, digits, power, negative, value);
}

#if defined(__AVX2__)
// The value of the decimal digits in the last `count` (at most 20) of 32 bytes.
uint64_t digits_value(__m256i bytes, size_t count) {
  alignas(32) static constexpr char kMask[64] = {
      0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
      0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
      -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
  __m256i mask = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask + count));
  __m256i ones = _mm256_and_si256(_mm256_sub_epi8(bytes, _mm256_set1_epi8('0')), mask);
  __m256i pairs = _mm256_maddubs_epi16(ones, _mm256_set1_epi16(0x010a));    // 10, 1
  __m256i fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00010064));  // 100, 1
  __m256i packed = _mm256_packus_epi32(fours, fours);
  __m256i eights = _mm256_madd_epi16(packed, _mm256_set1_epi32(0x00012710));  // 10000, 1
  auto low = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm256_castsi256_si128(eights)));
  auto high = static_cast<uint64_t>(_mm_cvtsi128_si64(_mm256_extracti128_si256(eights, 1)));
  return (low >> 32) * 10'000'000'000'000'000u + (high & 0xffff'ffffu) * 100'000'000u + (high >> 32);
}

// A decimal fraction of at most 19 digits, without exponent: the bytes of the token stand at the
// end of 32, those before the point are moved over it, and all digits are summed at once.
bool parse_plain_double(const char* first, const char* last, NumberError* error, double* value) {
  PlainNumber number(first, static_cast<uint32_t>(last - first));
  size_t fraction = number.fraction_size();
  size_t digits = number.size - 1;
  if (!number.ok() || fraction == 0 || digits > kMaxDigits) return false;

  alignas(32) static constexpr char kBefore[64] = {
      -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
      -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,
      0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0};
  __m256i in_place = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(last - 32));
  __m256i moved = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(last - 33));
  __m256i before = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kBefore + fraction));
  uint64_t sum = digits_value(_mm256_blendv_epi8(in_place, moved, before), digits);
  *error = scale(first, last, sum, -static_cast<int64_t>(fraction), number.first != first, value);
  return true;
}
#endif

}  // namespace

bool follows_number_grammar(const char* first, const char* last) {
  const char* at = first;
  if (at != last && *at == '-') ++at;
  const char* whole = at;
  at = skip_digits(at, last);
  if (at == whole || (*whole == '0' && at - whole > 1)) return false;
  if (at != last && *at == '.') {
    const char* fraction = ++at;
    at = skip_digits(at, last);
    if (at == fraction) return false;
  }
  if (at != last && (*at == 'e' || *at == 'E')) {
    ++at;
    if (at != last && (*at == '+' || *at == '-')) ++at;
    const char* exponent = at;
    at = skip_digits(at, last);
    if (at == exponent) return false;
  }
  return at == last;
}

NumberError parse_double([[maybe_unused]] const char* floor, const char* first, const char* last,
                         double* value) {
#if defined(__AVX2__)
  if (last - floor >= 33 && last != first) [[likely]] {
    NumberError error;
    if (parse_plain_double(first, last, &error, value)) return error;
  }
#endif
  if (!follows_number_grammar(first, last)) return NumberError::kMalformed;
  return parse_checked_double(first, last, value);
}

NumberError parse_int64(const char* first, const char* last, int64_t* value) {
  const char* at = first + (first != last && *first == '-' ? 1 : 0);
  bool plain = at != last && last - at <= kMaxDigits - 1 && (*at != '0' || last - at == 1);
  if (plain) {
    int64_t sum = 0;
    bool digits = true;
    for (const char* digit = at; digit != last; ++digit) {
      sum = sum * 10 + (*digit - '0');
      digits &= is_digit(*digit);
    }
    *value = at == first ? sum : -sum;
    if (digits) return NumberError::kNone;
  }
  if (!follows_number_grammar(first, last)) return NumberError::kMalformed;
  auto [end, error] = std::from_chars(first, last, *value);
  if (end != last) return NumberError::kNotInteger;
  return error == std::errc{} ? NumberError::kNone : NumberError::kOutOfRange;
}

}  // namespace tidemill::json
