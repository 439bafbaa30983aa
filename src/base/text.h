// Text that people write and read: quantities with units, and the name that they probably meant.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tidemill {

// The number of single-character insertions, deletions, replacements and swaps of neighbours that
// turn one into the other, without regard to case. At most `limit` + 1 (the work is bounded by it).
size_t edit_distance(std::string_view a, std::string_view b, size_t limit = 16);

// The name nearest to `wanted`, if one is near enough to be meant (a third of its length may differ);
// else empty. Of equally near names the first. The view is into `names`.
std::string_view nearest_name(std::string_view wanted, std::span<const std::string> names);
// "; did you mean NAME?", or empty.
std::string did_you_mean(std::string_view wanted, std::span<const std::string> names);

// "100ms", "1.5s", "1m30s", "2h", "7d", "250us", "0": microseconds. nullopt for anything else, a
// missing unit among it, negative numbers, and what exceeds 2^63 - 1.
std::optional<int64_t> parse_duration_us(std::string_view text);
// The shortest exact form: 60,000,000 → "1m", 1,500,000 → "1500ms". Precondition: not negative.
std::string format_duration_us(int64_t microseconds);

// "4096", "512B", "64kB" (1000), "64KiB" (1024), and so on to TB and TiB; fractions of units are allowed
// where they give whole bytes ("1.5GiB"). The case of letters does not matter.
std::optional<int64_t> parse_bytes(std::string_view text);
// Exact: "64MiB", "1GB", "1234567B". Precondition: not negative.
std::string format_bytes(int64_t bytes);

// A whole number: "100", "100_000", "100k", "2M" (decimal multiples), with a sign.
std::optional<int64_t> parse_count(std::string_view text);
// A finite decimal number: "0.25", "1e-3", "12".
std::optional<double> parse_number(std::string_view text);
// Events per second: a number, or "10k", "1.5M"; "/s" may follow. Not negative, finite.
std::optional<double> parse_rate(std::string_view text);
// The shortest text that reads back to the same double; whole numbers without exponent or point.
std::string format_number(double value);

std::string_view trim(std::string_view text);  // without the white space around it
std::string to_lower(std::string_view text);   // ASCII
std::string join(std::span<const std::string> parts, std::string_view separator);

}  // namespace tidemill
