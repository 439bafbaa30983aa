#include "event/timestamp.h"

#include <algorithm>
#include <limits>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace tidemill {
namespace {

constexpr int64_t kSecond = 1'000'000;
constexpr int64_t kMinute = 60 * kSecond;
constexpr int64_t kHour = 60 * kMinute;
constexpr int64_t kDay = 24 * kHour;
constexpr size_t kShortest = sizeof("2026-11-21T09:07:00Z") - 1;
constexpr int kMaxFractionDigits = 9;

// Days since 1970-01-01 of the proleptic Gregorian calendar, and back (Howard Hinnant,
// "chrono-Compatible Low-Level Date Algorithms", days_from_civil and civil_from_days).
constexpr int64_t days_from_civil(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  int64_t era = (year >= 0 ? year : year - 399) / 400;
  auto year_of_era = static_cast<unsigned>(year - era * 400);
  unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + static_cast<int64_t>(day_of_era) - 719468;
}
static_assert(days_from_civil(1970, 1, 1) == 0);

struct Date {
  int64_t year;
  unsigned month;
  unsigned day;
};
constexpr Date civil_from_days(int64_t days) {
  days += 719468;
  int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  auto day_of_era = static_cast<unsigned>(days - era * 146097);
  unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned shifted_month = (5 * day_of_year + 2) / 153;
  unsigned day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {static_cast<int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

constexpr unsigned days_in_month(unsigned year, unsigned month) {
  constexpr unsigned kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// Two digits; anything else is noted in `bad` and found by one check at the end.
unsigned two_digits(const char* at, bool* bad) {
  unsigned high = static_cast<unsigned char>(at[0]) - unsigned{'0'};
  unsigned low = static_cast<unsigned char>(at[1]) - unsigned{'0'};
  *bad |= high > 9 || low > 9;
  return high * 10 + low;
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// A day and a time of it, in the ranges of both.
std::optional<int64_t> whole_seconds_us(unsigned year, unsigned month, unsigned day, unsigned hour,
                                        unsigned minute, unsigned second) {
  if (year == 0 || month - 1 > 11 || hour > 23 || minute > 59 || second > 59) return std::nullopt;
  if (day == 0 || day > days_in_month(year, month)) return std::nullopt;
  return days_from_civil(year, month, day) * kDay + hour * kHour + minute * kMinute + second * kSecond;
}

// The usual form, six digits and Z.
constexpr size_t kUsual = sizeof("2026-11-21T09:07:00.123456Z") - 1;
#if defined(__AVX2__)
// All digits at once, as pairs. nullopt: it is something else, which may be a timestamp all the same.
std::optional<int64_t> parse_usual_us(const char* at) {
  auto load = [at](size_t from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at + from)); };
  const __m256i text = _mm256_set_m128i(load(11), load(0));
  const __m256i form = _mm256_setr_epi8(0, 0, 0, 0, '-', 0, 0, '-', 0, 0, 'T', 0, 0, ':', 0, 0,  //
                                        0, 0, ':', 0, 0, ':', 0, 0, '.', 0, 0, 0, 0, 0, 0, 'Z');
  constexpr uint32_t kForm = 0x8124'2490;  // where it has no zero
  const auto same = static_cast<uint32_t>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(text, form)));
  const __m256i places = _mm256_setr_epi8(0, 1, 2, 3, 5, 6, 8, 9, -1, -1, -1, -1, -1, -1, -1, -1,  //
                                          0, 1, 3, 4, 6, 7, 9, 10, 11, 12, 13, 14, -1, -1, -1, -1);
  const __m256i digits = _mm256_shuffle_epi8(_mm256_sub_epi8(text, _mm256_set1_epi8('0')), places);
  const __m256i good = _mm256_cmpeq_epi8(_mm256_min_epu8(digits, _mm256_set1_epi8(9)), digits);
  if ((same & kForm) != kForm || _mm256_movemask_epi8(good) != -1) return std::nullopt;
  alignas(32) uint16_t pairs[16];
  _mm256_store_si256(reinterpret_cast<__m256i*>(pairs),
                     _mm256_maddubs_epi16(digits, _mm256_set1_epi16(0x010a)));  // 10 x the first + the second
  auto whole_us =
      whole_seconds_us(pairs[0] * 100u + pairs[1], pairs[2], pairs[3], pairs[8], pairs[9], pairs[10]);
  if (!whole_us) return std::nullopt;
  return *whole_us + pairs[11] * 10'000 + pairs[12] * 100 + pairs[13];
}
#else
std::optional<int64_t> parse_usual_us(const char*) {
  return std::nullopt;
}
#endif

// What stands behind the seconds and their fraction: Z, ±hh, ±hhmm or ±hh:mm, to the end.
std::optional<int64_t> parse_zone(std::string_view text) {
  if (text == "Z") return 0;
  bool colon = text.size() == 6 && text[3] == ':';
  if (text.size() != 3 && text.size() != 5 && !colon) return std::nullopt;
  if (text[0] != '+' && text[0] != '-') return std::nullopt;
  bool bad = false;
  unsigned hours = two_digits(text.data() + 1, &bad);
  unsigned minutes = text.size() == 3 ? 0 : two_digits(text.data() + (colon ? 4 : 3), &bad);
  if (bad || hours > 23 || minutes > 59) return std::nullopt;
  int64_t east = hours * kHour + minutes * kMinute;
  return text[0] == '-' ? -east : east;
}

char* put_digits(char* to, uint64_t value, int digits) {
  for (int i = digits - 1; i >= 0; --i) {
    to[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return to + digits;
}

}  // namespace

std::optional<int64_t> parse_timestamp_us(std::string_view text) {
  if (text.size() < kShortest) return std::nullopt;
  const char* at = text.data();
  if (text.size() == kUsual) {
    if (auto usual = parse_usual_us(at)) return usual;
  }
  bool bad =
      at[4] != '-' || at[7] != '-' || (at[10] != 'T' && at[10] != ' ') || at[13] != ':' || at[16] != ':';
  unsigned year = two_digits(at, &bad) * 100 + two_digits(at + 2, &bad);
  unsigned month = two_digits(at + 5, &bad);
  unsigned day = two_digits(at + 8, &bad);
  unsigned hour = two_digits(at + 11, &bad);
  unsigned minute = two_digits(at + 14, &bad);
  unsigned second = two_digits(at + 17, &bad);
  if (bad) return std::nullopt;
  const auto whole_us = whole_seconds_us(year, month, day, hour, minute, second);
  if (!whole_us) return std::nullopt;
  size_t behind = 19;
  int64_t fraction_us = 0;
  if (text[behind] == '.') {
    size_t first = ++behind;
    int64_t unit = kSecond;
    while (behind < text.size() && is_digit(text[behind])) {
      unit /= 10;
      fraction_us += (text[behind] - '0') * unit;
      ++behind;
    }
    if (behind == first || behind - first > kMaxFractionDigits) return std::nullopt;
  }
  auto east_us = parse_zone(text.substr(behind));
  if (!east_us) return std::nullopt;
  return *whole_us + fraction_us - *east_us;
}

size_t format_timestamp(int64_t microseconds, int digits, char* to) {
  int64_t days = microseconds / kDay;
  int64_t of_day = microseconds % kDay;
  if (of_day < 0) {
    --days;
    of_day += kDay;
  }
  Date date = civil_from_days(days);
  char* at = to;
  int year_digits = 4;
  if (date.year < 0 || date.year > 9999) {  // ISO 8601's expanded form
    *at++ = date.year < 0 ? '-' : '+';
    year_digits = 6;
  }
  at = put_digits(at, static_cast<uint64_t>(date.year < 0 ? -date.year : date.year), year_digits);
  *at++ = '-';
  at = put_digits(at, date.month, 2);
  *at++ = '-';
  at = put_digits(at, date.day, 2);
  *at++ = 'T';
  at = put_digits(at, static_cast<uint64_t>(of_day / kHour), 2);
  *at++ = ':';
  at = put_digits(at, static_cast<uint64_t>(of_day / kMinute % 60), 2);
  *at++ = ':';
  at = put_digits(at, static_cast<uint64_t>(of_day / kSecond % 60), 2);
  digits = std::clamp(digits, 0, kMaxFractionDigits);
  if (digits > 0) {
    *at++ = '.';
    char fraction[kMaxFractionDigits];
    put_digits(fraction, static_cast<uint64_t>(of_day % kSecond * 1000), kMaxFractionDigits);
    at = std::copy_n(fraction, digits, at);
  }
  *at++ = 'Z';
  return static_cast<size_t>(at - to);
}

std::string format_timestamp(int64_t microseconds, int digits) {
  char buffer[kTimestampTextSize];
  return std::string(buffer, format_timestamp(microseconds, digits, buffer));
}

std::optional<int64_t> record_time_us(int64_t timestamp_ms) {
  if (timestamp_ms < 0 || timestamp_ms > std::numeric_limits<int64_t>::max() / 1000) return std::nullopt;
  return timestamp_ms * 1000;
}

}  // namespace tidemill
