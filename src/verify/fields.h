// Values of an event's fields as the verifier compares them, and what their fields are.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace tidemill::verify {

enum class FieldType { kBoolean, kInteger, kBigint, kDouble, kTimestamp, kText, kJson };

// A field of the event, as the solution's schema says it.
struct FieldSpec {
  std::string name;               // the column: "complexData.moreData7"
  std::vector<std::string> path;  // the members to follow
  FieldType type = FieldType::kText;
  bool nullable = true;
  bool undecoded = false;  // nothing reads it: whatever stands there is kept (of type kJson)
};

// One value. `text` is borrowed from whatever produced it, which says for how long.
struct FieldValue {
  enum class Kind : uint8_t { kNull, kBoolean, kInteger, kDouble, kTimestamp, kText };
  Kind kind = Kind::kNull;
  int64_t integer = 0;  // also the boolean, and the timestamp in microseconds since 1970 UTC
  double real = 0;
  std::string_view text;

  static FieldValue of_integer(int64_t value) { return {Kind::kInteger, value, 0, {}}; }
  static FieldValue of_boolean(bool value) { return {Kind::kBoolean, value, 0, {}}; }
  static FieldValue of_timestamp(int64_t us) { return {Kind::kTimestamp, us, 0, {}}; }
  static FieldValue of_double(double value) { return {Kind::kDouble, 0, value, {}}; }
  static FieldValue of_text(std::string_view value) { return {Kind::kText, 0, 0, value}; }
};

// Integers and doubles by their bits, timestamps by their microseconds, text by its bytes. A double
// is never equal to an integer, nor 0.0 to -0.0.
bool same_value(const FieldValue& a, const FieldValue& b);
// What a column keeps of a value where that is less than the value.
struct Narrowing {
  enum class Kind : uint8_t {
    kNone,
    kReal,     // of a double: the nearest float
    kDecimal,  // of a double: all but the sign of -0.0
    kRounded,  // of a double: `scale` digits behind the point, the nearest, away from 0 in the middle
    kUuid,     // of a text: its hexadecimal digits
    kJsonb,    // of a text that is JSON: its value, in no order of members, of equal names the last
  } kind = Kind::kNone;
  int32_t scale = 0;
};
// Twice is as once. A text that was made for it is in `texts`.
FieldValue narrowed(const FieldValue& value, const Narrowing& by, std::deque<std::string>* texts);
// For people: "63.09999999999999", "'TEMP'", "NULL", "2026-11-21 09:07:00.123456".
std::string display(const FieldValue& value);

// The fields of the documented telemetry and sensor events, in the order in which they are written.
std::vector<FieldSpec> telemetry_fields(int complex_count, int complex_first);
std::vector<FieldSpec> sensor_fields();

// The sum of the 128-bit hashes of records modulo 2^128: equal for equal multisets.
__extension__ using Sum128 = unsigned __int128;
Sum128 content_hash(std::string_view bytes);
Sum128 content_hash(const std::vector<FieldValue>& values);
std::string hex(Sum128 sum);  // 32 digits, the highest first

// "2026-11-21T09:07:00.123456Z" and its kin (a space for the T, 0 to 9 fraction digits, an offset
// for the Z) to microseconds; finer digits are cut off. False for anything else.
bool parse_timestamp(std::string_view text, int64_t* microseconds);
// The opposite, with `digits` (0 to 7) fraction digits, and Z; appended to `out`.
void append_timestamp(int64_t microseconds, int digits, std::string* out);

}  // namespace tidemill::verify
