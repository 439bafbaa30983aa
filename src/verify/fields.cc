#include "verify/fields.h"

#include <xxhash.h>

#include <bit>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstring>

#include "verify/jsonb_value.h"

namespace tidemill::verify {

bool same_value(const FieldValue& a, const FieldValue& b) {
  if (a.kind != b.kind) return false;
  switch (a.kind) {
    case FieldValue::Kind::kNull:
      return true;
    case FieldValue::Kind::kDouble:
      return std::bit_cast<uint64_t>(a.real) == std::bit_cast<uint64_t>(b.real);
    case FieldValue::Kind::kText:
      return a.text == b.text;
    default:
      return a.integer == b.integer;
  }
}

namespace {

// "{A0EEBC99-9C0B4EF8BB6D6BB9BD380A11}" → "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", as PostgreSQL prints it.
bool canonical_uuid(std::string_view text, std::string* out) {
  for (char c : text) {
    if (c == '-' || c == '{' || c == '}') continue;
    const char small = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
    if ((small < '0' || small > '9') && (small < 'a' || small > 'f')) return false;
    const size_t at = out->size();
    if (at == 8 || at == 13 || at == 18 || at == 23) *out += '-';
    *out += small;
  }
  return out->size() == 36;
}

// The decimal of the fewest digits that read back to the same double, rounded.
double rounded(double value, int32_t scale) {
  char text[400];
  const auto end = std::to_chars(text, text + sizeof text, std::abs(value), std::chars_format::fixed).ptr;
  std::string digits(text, end);
  size_t point = digits.find('.');
  if (point == std::string::npos) return value;
  const size_t kept = point + 1 + static_cast<size_t>(scale);
  if (kept >= digits.size()) return value;
  const bool up = digits[kept] >= '5';
  digits.resize(kept);
  digits.insert(0, 1, '0');
  for (size_t at = digits.size(); up && at-- > 0;) {
    if (digits[at] == '.') continue;
    digits[at] = digits[at] == '9' ? '0' : static_cast<char>(digits[at] + 1);
    if (digits[at] != '0') break;
  }
  double result = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), result);
  return value < 0 ? -result : result;
}

}  // namespace

FieldValue narrowed(const FieldValue& value, const Narrowing& by, std::deque<std::string>* texts) {
  using Kind = Narrowing::Kind;
  if (by.kind == Kind::kUuid || by.kind == Kind::kJsonb) {
    if (value.kind != FieldValue::Kind::kText) return value;
    std::string text;
    if (!(by.kind == Kind::kUuid ? canonical_uuid : jsonb_value)(value.text, &text)) return value;
    texts->push_back(std::move(text));
    return FieldValue::of_text(texts->back());
  }
  if (value.kind != FieldValue::Kind::kDouble || by.kind == Kind::kNone || std::isnan(value.real))
    return value;
  if (by.kind == Kind::kReal) {
    const auto kept = static_cast<double>(static_cast<float>(value.real));
    // What became an infinity or 0 is no value that a row may have.
    const bool fits = std::isinf(kept) == std::isinf(value.real) && (kept == 0) == (value.real == 0);
    return fits ? FieldValue::of_double(kept) : value;
  }
  const double result = by.kind == Kind::kRounded ? rounded(value.real, by.scale) : value.real;
  return FieldValue::of_double(result + 0.0);  // -0.0 + 0.0 is 0.0
}

std::string display(const FieldValue& value) {
  switch (value.kind) {
    case FieldValue::Kind::kNull:
      return "NULL";
    case FieldValue::Kind::kBoolean:
      return value.integer != 0 ? "true" : "false";
    case FieldValue::Kind::kInteger:
      return std::to_string(value.integer);
    case FieldValue::Kind::kTimestamp: {
      std::string out;
      append_timestamp(value.integer, 6, &out);
      return out;
    }
    case FieldValue::Kind::kDouble: {
      char buffer[40];
      auto end = std::to_chars(buffer, buffer + sizeof buffer, value.real).ptr;
      return std::string(buffer, end);
    }
    case FieldValue::Kind::kText:
      break;
  }
  constexpr size_t kShown = 60;
  std::string shown = "'" + std::string(value.text.substr(0, kShown));
  for (char& c : shown) c = c >= ' ' && c <= '~' ? c : '.';
  return shown + (value.text.size() > kShown ? "…'" : "'");
}

std::vector<FieldSpec> telemetry_fields(int complex_count, int complex_first) {
  std::vector<FieldSpec> fields;
  fields.push_back({"eventId", {"eventId"}, FieldType::kText, false});
  for (int m = 0; m < complex_count; ++m) {
    std::string member = "moreData" + std::to_string(complex_first + m);
    fields.push_back({"complexData." + member, {"complexData", member}, FieldType::kDouble, false});
  }
  fields.push_back({"value", {"value"}, FieldType::kDouble, false});
  fields.push_back({"deviceId", {"deviceId"}, FieldType::kText, false});
  fields.push_back({"deviceSequenceNumber", {"deviceSequenceNumber"}, FieldType::kBigint, false});
  fields.push_back({"type", {"type"}, FieldType::kText, false});
  fields.push_back({"createdAt", {"createdAt"}, FieldType::kTimestamp, false});
  return fields;
}

std::vector<FieldSpec> sensor_fields() {
  return {{"sensor", {"sensor"}, FieldType::kText, true},
          {"measure1", {"measure1"}, FieldType::kDouble, true},
          {"measure2", {"measure2"}, FieldType::kDouble, true}};
}

Sum128 content_hash(std::string_view bytes) {
  XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return static_cast<Sum128>(hash.high64) << 64 | hash.low64;
}

Sum128 content_hash(const std::vector<FieldValue>& values) {
  std::string bytes;
  for (const FieldValue& value : values) {
    bytes.push_back(static_cast<char>(value.kind));
    if (value.kind == FieldValue::Kind::kText) {
      uint64_t size = value.text.size();
      bytes.append(reinterpret_cast<const char*>(&size), sizeof size);
      bytes.append(value.text);
    } else {
      uint64_t bits = value.kind == FieldValue::Kind::kDouble ? std::bit_cast<uint64_t>(value.real)
                                                              : static_cast<uint64_t>(value.integer);
      bytes.append(reinterpret_cast<const char*>(&bits), sizeof bits);
    }
  }
  return content_hash(std::string_view(bytes));
}

std::string hex(Sum128 sum) {
  std::string out(32, '0');
  for (size_t at = 32; at-- > 0; sum >>= 4) out[at] = "0123456789abcdef"[static_cast<size_t>(sum & 15)];
  return out;
}

namespace {

bool digits(std::string_view text, size_t at, size_t count, int* value) {
  *value = 0;
  if (at + count > text.size()) return false;
  for (size_t n = at; n < at + count; ++n) {
    if (text[n] < '0' || text[n] > '9') return false;
    *value = *value * 10 + (text[n] - '0');
  }
  return true;
}

// "Z", "+hh:mm", "+hhmm" or "+hh", in seconds.
bool parse_zone(std::string_view zone, int64_t* seconds) {
  *seconds = 0;
  if (zone == "Z") return true;
  if (zone.empty() || (zone[0] != '+' && zone[0] != '-')) return false;
  int hours = 0, minutes = 0;
  if (!digits(zone, 1, 2, &hours)) return false;
  if (zone.size() == 6 && zone[3] == ':') {
    if (!digits(zone, 4, 2, &minutes)) return false;
  } else if (zone.size() == 5) {
    if (!digits(zone, 3, 2, &minutes)) return false;
  } else if (zone.size() != 3) {
    return false;
  }
  if (hours > 23 || minutes > 59) return false;
  *seconds = (zone[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

bool parse_timestamp(std::string_view text, int64_t* microseconds) {
  using namespace std::chrono;
  int y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0;
  if (text.size() < 20 || text[4] != '-' || text[7] != '-' || (text[10] != 'T' && text[10] != ' ') ||
      text[13] != ':' || text[16] != ':' || !digits(text, 0, 4, &y) || !digits(text, 5, 2, &mo) ||
      !digits(text, 8, 2, &d) || !digits(text, 11, 2, &h) || !digits(text, 14, 2, &mi) ||
      !digits(text, 17, 2, &s)) {
    return false;
  }
  year_month_day date{year{y}, month{static_cast<unsigned>(mo)}, day{static_cast<unsigned>(d)}};
  if (y < 1 || !date.ok() || h > 23 || mi > 59 || s > 59) return false;
  size_t at = 19;
  int64_t fraction = 0;
  if (text[at] == '.') {
    size_t begin = ++at;
    int64_t scale = 100'000;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at, scale /= 10) {
      fraction += scale * (text[at] - '0');
    }
    if (at == begin || at - begin > 9) return false;
  }
  int64_t zone = 0;
  if (!parse_zone(text.substr(at), &zone)) return false;
  int64_t seconds =
      int64_t{sys_days{date}.time_since_epoch().count()} * 86400 + h * 3600 + mi * 60 + s - zone;
  *microseconds = seconds * 1'000'000 + fraction;
  return true;
}

void append_timestamp(int64_t microseconds, int fraction_digits, std::string* out) {
  using namespace std::chrono;
  sys_time<std::chrono::microseconds> time{std::chrono::microseconds(microseconds)};
  sys_days date = floor<days>(time);
  year_month_day ymd{date};
  int64_t rest = (time - date).count();
  auto put = [out](int64_t value, int width) {
    char buffer[24];
    for (int at = width - 1; at >= 0; --at, value /= 10) buffer[at] = static_cast<char>('0' + value % 10);
    out->append(buffer, static_cast<size_t>(width));
  };
  put(static_cast<int>(ymd.year()), 4);
  out->push_back('-');
  put(static_cast<unsigned>(ymd.month()), 2);
  out->push_back('-');
  put(static_cast<unsigned>(ymd.day()), 2);
  out->push_back('T');
  put(rest / 3'600'000'000, 2);
  out->push_back(':');
  put(rest / 60'000'000 % 60, 2);
  out->push_back(':');
  put(rest / 1'000'000 % 60, 2);
  if (fraction_digits > 0) {
    int64_t fraction = rest % 1'000'000 * 10;  // 7 digits
    for (int n = fraction_digits; n < 7; ++n) fraction /= 10;
    out->push_back('.');
    put(fraction, fraction_digits);
  }
  out->push_back('Z');
}

}  // namespace tidemill::verify
