// Times as the telemetry event writes them, "2026-11-21T09:07:00.123456Z", and nothing else.
#pragma once

#include <cstdint>

namespace baseline {

inline constexpr int kTimestampText = 27;

inline int64_t days_from_civil(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2;
  int64_t era = year / 400;
  auto of_era = static_cast<unsigned>(year - era * 400);
  unsigned of_year = (153 * (month + (month > 2 ? -3u : 9u)) + 2) / 5 + day - 1;
  unsigned in_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
  return era * 146097 + in_era - 719468;
}

inline int64_t two_digits(const char* at) {
  return (at[0] - '0') * 10 + (at[1] - '0');
}

inline int64_t parse_timestamp(const char* at) {
  int64_t days =
      days_from_civil(two_digits(at) * 100 + two_digits(at + 2), static_cast<unsigned>(two_digits(at + 5)),
                      static_cast<unsigned>(two_digits(at + 8)));
  int64_t seconds = two_digits(at + 11) * 3600 + two_digits(at + 14) * 60 + two_digits(at + 17);
  int64_t micros = two_digits(at + 20) * 10000 + two_digits(at + 22) * 100 + two_digits(at + 24);
  return (days * 86400 + seconds) * 1'000'000 + micros;
}

inline void put_two(char* to, int64_t value) {
  to[0] = static_cast<char>('0' + value / 10);
  to[1] = static_cast<char>('0' + value % 10);
}

inline void write_timestamp(int64_t us, char* to) {
  int64_t seconds = us / 1'000'000;
  int64_t micros = us % 1'000'000;
  int64_t z = seconds / 86400 + 719468;
  int64_t era = z / 146097;
  int64_t of_era = z - era * 146097;
  int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  int64_t shifted = (5 * of_year + 2) / 153;
  int64_t day = of_year - (153 * shifted + 2) / 5 + 1;
  int64_t month = shifted < 10 ? shifted + 3 : shifted - 9;
  int64_t year = year_of_era + era * 400 + (month <= 2 ? 1 : 0);
  int64_t of_day = seconds % 86400;
  put_two(to, year / 100);
  put_two(to + 2, year % 100);
  to[4] = '-';
  put_two(to + 5, month);
  to[7] = '-';
  put_two(to + 8, day);
  to[10] = 'T';
  put_two(to + 11, of_day / 3600);
  to[13] = ':';
  put_two(to + 14, of_day / 60 % 60);
  to[16] = ':';
  put_two(to + 17, of_day % 60);
  to[19] = '.';
  put_two(to + 20, micros / 10000);
  put_two(to + 22, micros / 100 % 100);
  put_two(to + 24, micros % 100);
  to[26] = 'Z';
}

}  // namespace baseline
