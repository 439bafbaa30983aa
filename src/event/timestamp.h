// ISO 8601 timestamps, as the events write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tidemill {

// "2026-11-21T09:07:00.123456Z": date, 'T' or a space, time, 0 to 9 fraction digits, then 'Z' or
// ±hh:mm / ±hhmm / ±hh. Microseconds since 1970 UTC; digits beyond the sixth are cut off (towards
// the past). Years 0001 to 9999; seconds 0 to 59 (60 is refused). nullopt for anything else.
std::optional<int64_t> parse_timestamp_us(std::string_view text);

// "2026-11-21T09:07:00.123456Z" with `digits` (0 to 9) fraction digits; returns the length.
// `to` has room for kTimestampTextSize.
inline constexpr size_t kTimestampTextSize = 40;
size_t format_timestamp(int64_t microseconds, int digits, char* to);
std::string format_timestamp(int64_t microseconds, int digits = 6);

// A record's timestamp in microseconds. Producers choose it: nullopt where it says "none" (below zero) or is
// beyond what microseconds hold.
std::optional<int64_t> record_time_us(int64_t timestamp_ms);

}  // namespace tidemill
