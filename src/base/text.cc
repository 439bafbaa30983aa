#include "base/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace tidemill {
namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

struct Unit {
  std::string_view name;
  int64_t size;
};
// From large to small.
constexpr std::array kDurationUnits = {Unit{"d", 86'400'000'000}, Unit{"h", 3'600'000'000},
                                       Unit{"m", 60'000'000},     Unit{"s", 1'000'000},
                                       Unit{"ms", 1'000},         Unit{"us", 1}};
constexpr std::array kByteUnits = {Unit{"TiB", int64_t{1} << 40},
                                   Unit{"GiB", int64_t{1} << 30},
                                   Unit{"MiB", int64_t{1} << 20},
                                   Unit{"KiB", int64_t{1} << 10},
                                   Unit{"TB", 1'000'000'000'000},
                                   Unit{"GB", 1'000'000'000},
                                   Unit{"MB", 1'000'000},
                                   Unit{"kB", 1'000},
                                   Unit{"B", 1}};

template <size_t kCount>
const Unit* find_unit(const std::array<Unit, kCount>& units, std::string_view name) {
  std::string wanted = to_lower(name);
  for (const Unit& unit : units) {
    if (to_lower(unit.name) == wanted) return &unit;
  }
  return nullptr;
}

// Takes "12" or "12.5" from the front of `text` and returns it times `unit`, if that is whole and
// fits. `unit` is asked for once the digits are known.
struct Decimal {
  int64_t digits = 0;  // without the point
  int64_t scale = 1;   // power of ten
};
std::optional<Decimal> take_decimal(std::string_view& text) {
  Decimal value;
  bool any = false;
  bool point = false;
  while (!text.empty() && (is_digit(text[0]) || (text[0] == '.' && !point && any))) {
    if (text[0] == '.') {
      point = true;
      any = false;  // a digit must follow
    } else {
      any = true;
      if (__builtin_mul_overflow(value.digits, 10, &value.digits)) return std::nullopt;
      if (__builtin_add_overflow(value.digits, text[0] - '0', &value.digits)) return std::nullopt;
      if (point && __builtin_mul_overflow(value.scale, 10, &value.scale)) return std::nullopt;
    }
    text.remove_prefix(1);
  }
  if (!any) return std::nullopt;
  return value;
}
std::optional<int64_t> times(const Decimal& value, int64_t unit) {
  int64_t product = 0;
  if (__builtin_mul_overflow(value.digits, unit, &product) || product % value.scale != 0) return std::nullopt;
  return product / value.scale;
}
std::string_view take_letters(std::string_view& text) {
  size_t size = 0;
  while (size < text.size() && lower(text[size]) >= 'a' && lower(text[size]) <= 'z') ++size;
  std::string_view letters = text.substr(0, size);
  text.remove_prefix(size);
  return letters;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  // Three rows of the table of optimal string alignment.
  std::vector<size_t> before(a.size() + 1), last(a.size() + 1), row(a.size() + 1);
  for (size_t i = 0; i <= a.size(); ++i) last[i] = i;
  for (size_t j = 1; j <= b.size(); ++j) {
    row[0] = j;
    size_t smallest = j;
    for (size_t i = 1; i <= a.size(); ++i) {
      bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[i] = std::min({row[i - 1] + 1, last[i] + 1, last[i - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1])) {
        row[i] = std::min(row[i], before[i - 2] + 1);
      }
      smallest = std::min(smallest, row[i]);
    }
    if (smallest > limit) return limit + 1;
    std::swap(before, last);
    std::swap(last, row);
  }
  return std::min(last[a.size()], limit + 1);
}

std::string_view nearest_name(std::string_view wanted, std::span<const std::string> names) {
  std::string_view nearest;
  size_t smallest = std::min<size_t>(16, std::max<size_t>(1, (wanted.size() + 1) / 3)) + 1;
  for (const std::string& name : names) {
    size_t distance = edit_distance(wanted, name, smallest - 1);
    if (distance < smallest) {
      smallest = distance;
      nearest = name;
      if (smallest == 0) break;
    }
  }
  return nearest;
}

std::string did_you_mean(std::string_view wanted, std::span<const std::string> names) {
  std::string_view nearest = nearest_name(wanted, names);
  return nearest.empty() ? std::string() : "; did you mean " + std::string(nearest) + "?";
}

std::optional<int64_t> parse_duration_us(std::string_view text) {
  text = trim(text);
  if (text == "0") return 0;
  if (text.empty()) return std::nullopt;
  int64_t total = 0;
  int64_t last_unit = std::numeric_limits<int64_t>::max();
  while (!text.empty()) {
    std::optional<Decimal> number = take_decimal(text);
    if (!number) return std::nullopt;
    text = trim(text);
    const Unit* unit = find_unit(kDurationUnits, take_letters(text));
    if (unit == nullptr || unit->size >= last_unit) return std::nullopt;
    last_unit = unit->size;
    std::optional<int64_t> part = times(*number, unit->size);
    if (!part || __builtin_add_overflow(total, *part, &total)) return std::nullopt;
    text = trim(text);
  }
  return total;
}

std::string format_duration_us(int64_t microseconds) {
  TM_CHECK(microseconds >= 0);
  if (microseconds == 0) return "0";
  for (const Unit& unit : kDurationUnits) {
    if (microseconds % unit.size == 0)
      return std::to_string(microseconds / unit.size) + std::string(unit.name);
  }
  check_failed("microseconds divide everything", __FILE__, __LINE__);
}

std::optional<int64_t> parse_bytes(std::string_view text) {
  text = trim(text);
  std::optional<Decimal> number = take_decimal(text);
  if (!number) return std::nullopt;
  text = trim(text);
  if (text.empty()) return times(*number, 1);
  const Unit* unit = find_unit(kByteUnits, text);
  if (unit == nullptr) return std::nullopt;
  return times(*number, unit->size);
}

std::string format_bytes(int64_t bytes) {
  TM_CHECK(bytes >= 0);
  if (bytes == 0) return "0";
  const Unit* largest = &kByteUnits.back();
  for (const Unit& unit : kByteUnits) {
    if (bytes % unit.size == 0 && unit.size > largest->size) largest = &unit;
  }
  return std::to_string(bytes / largest->size) + std::string(largest->name);
}

std::optional<int64_t> parse_count(std::string_view text) {
  text = trim(text);
  bool negative = !text.empty() && text[0] == '-';
  if (negative || (!text.empty() && text[0] == '+')) text.remove_prefix(1);
  if (text.empty() || !is_digit(text[0])) return std::nullopt;
  int64_t factor = 1;
  if (text.back() == 'k' || text.back() == 'M') {
    factor = text.back() == 'k' ? 1'000 : 1'000'000;
    text.remove_suffix(1);
  }
  int64_t value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '_' && i > 0 && i + 1 < text.size()) continue;
    if (!is_digit(text[i])) return std::nullopt;
    if (__builtin_mul_overflow(value, 10, &value)) return std::nullopt;
    if (__builtin_add_overflow(value, text[i] - '0', &value)) return std::nullopt;
  }
  if (__builtin_mul_overflow(value, factor, &value)) return std::nullopt;
  return negative ? -value : value;
}

std::optional<double> parse_number(std::string_view text) {
  text = trim(text);
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  // from_chars also reads "inf", "nan" and their like.
  if (text.empty() || text.find_first_not_of("0123456789.eE+-") != std::string_view::npos)
    return std::nullopt;
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value;
}

std::optional<double> parse_rate(std::string_view text) {
  text = trim(text);
  if (text.ends_with("/s")) text = trim(text.substr(0, text.size() - 2));
  double factor = 1;
  if (!text.empty() && (text.back() == 'k' || text.back() == 'M')) {
    factor = text.back() == 'k' ? 1e3 : 1e6;
    text = trim(text.substr(0, text.size() - 1));
  }
  std::optional<double> value = parse_number(text);
  if (!value || *value < 0 || !std::isfinite(*value * factor)) return std::nullopt;
  return *value * factor;
}

std::string format_number(double value) {
  char text[64];
  if (std::abs(value) < 1e15 && value == std::trunc(value)) {
    auto [end, error] = std::to_chars(text, text + sizeof text, static_cast<int64_t>(value));
    TM_CHECK(error == std::errc());
    return std::string(text, end);
  }
  auto [end, error] = std::to_chars(text, text + sizeof text, value);
  TM_CHECK(error == std::errc());
  return std::string(text, end);
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::string to_lower(std::string_view text) {
  std::string lowered(text);
  for (char& c : lowered) c = lower(c);
  return lowered;
}

std::string join(std::span<const std::string> parts, std::string_view separator) {
  std::string joined;
  for (const std::string& part : parts) {
    if (!joined.empty()) joined += separator;
    joined += part;
  }
  return joined;
}

}  // namespace tidemill
