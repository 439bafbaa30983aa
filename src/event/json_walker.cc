#include "event/json_walker.h"

#include <bit>
#include <cstring>
#include <limits>

#include "event/json_number.h"
#include "event/json_reason.h"
#include "event/json_string.h"
#include "event/timestamp.h"

namespace tidemill::json {
namespace {

constexpr size_t kFirstCapacity = 4096;
// Beyond this the order of members is no prediction any more, only memory.
constexpr size_t kMaxExpected = 512;
// How many expected members may be passed over where an event lacks them.
constexpr size_t kMaxPassedOver = 3;

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
bool starts_number(char c) {
  return static_cast<unsigned char>(c - '0') <= 9 || c == '-';
}

bool matches(const ExpectedMember& expected, const char* key) {
#if defined(__AVX2__)
  static_assert(ExpectedMember::kMaxText == sizeof(__m256i) && kPadding >= ExpectedMember::kMaxText);
  __m256i there = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(key));
  __m256i text = _mm256_load_si256(reinterpret_cast<const __m256i*>(expected.text));
  __m256i mask = _mm256_load_si256(reinterpret_cast<const __m256i*>(expected.mask));
  return _mm256_testz_si256(_mm256_xor_si256(there, text), mask) != 0;
#else
  return std::memcmp(key, expected.text, expected.text_size) == 0;
#endif
}

// Whether there may be a backslash in `text`; looks at up to 63 bytes behind it, too.
bool may_have_backslash(std::string_view text) {
#if defined(__AVX2__)
  const __m256i backslash = _mm256_set1_epi8('\\');
  auto at = [&text](size_t i) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(text.data() + i));
  };
  __m256i found = _mm256_setzero_si256();
  static_assert(kPadding >= 2 * sizeof(__m256i));
  for (size_t i = 0; i < text.size(); i += 2 * sizeof(__m256i)) {
    __m256i first = _mm256_cmpeq_epi8(at(i), backslash);
    __m256i second = _mm256_cmpeq_epi8(at(i + sizeof(__m256i)), backslash);
    found = _mm256_or_si256(found, _mm256_or_si256(first, second));
  }
  return _mm256_testz_si256(found, found) == 0;
#else
  return std::memchr(text.data(), '\\', text.size()) != nullptr;
#endif
}

// Passes over members `"name":number,` while they are so, from a name to a name: the bulk of what
// telemetry holds and nobody asks for. Makes no call, so that its constants stay in registers.
uint32_t skip_plain_numbers(const char* text, const uint32_t* structurals, uint32_t at) {
#if defined(__AVX2__)
  for (;; at += 4) {
    const uint32_t* here = structurals + at;
    if (text[here[0]] != '"' || text[here[1]] != ':' || text[here[3]] != ',') return at;
    if (!PlainNumber(text + here[2], here[3] - here[2]).ok()) return at;
  }
#else
  (void)text;
  (void)structurals;
  return at;
#endif
}

std::string_view scan_error(simdjson::error_code code) {
  switch (code) {
    case simdjson::UTF8_ERROR:
      return "not UTF-8";
    case simdjson::UNCLOSED_STRING:
      return "a string without end";
    case simdjson::UNESCAPED_CHARS:
      return "a control character in a string";
    case simdjson::EMPTY:
      return "nothing there";
    default:
      return simdjson::error_message(code);
  }
}

}  // namespace

// The values that most events have most of; inlined where it is called.
inline uint32_t Walker::skip_value(uint32_t at) {
  const char* value = first(at);
  if (*value == '"' && !has_backslash_) return at + 1;
  if (starts_number(*value) && is_number(value, first(at + 1))) return at + 1;
  return skip_value_slowly(at);
}

bool Walker::decode(std::string_view padded_text, size_t row, Column* columns) {
  malformed_.clear();
  wrong_field_.clear();
  row_ = row;
  columns_ = columns;
  appended_ = 0;
  depth_ = 0;
  has_added_member_ = false;
  ++serial_;
  if (!scan(padded_text)) return false;
  // With a brace as the last structural, only the end of an object can be the end of the text; so
  // all that passes over a value needs to look for the end only behind a closing brace or bracket.
  if (byte(0) != '{') return fail(0, "an event is one object") != kFailed;
  if (byte(count_ - 1) != '}') return fail(count_ - 1, "the text ends inside the object") != kFailed;
  uint32_t end = object(tree_.nodes[0], 0);
  if (end == kFailed) return false;
  if (end != count_) return fail(end, "more text behind the object") != kFailed;
  if (appended_ != plan_.fields.size()) append_missing();
  return wrong_field_.empty();
}

bool Walker::scan(std::string_view text) {
  if (text.size() > capacity_) {
    capacity_ = std::bit_ceil(std::max(text.size(), kFirstCapacity));
    auto error = parser_ == nullptr ? simdjson::get_active_implementation()->create_dom_parser_implementation(
                                          capacity_, kMaxJsonDepth, parser_)
                                    : parser_->set_capacity(capacity_);
    TM_CHECK(error == simdjson::SUCCESS, "no memory for the JSON parser");
  }
  auto error = parser_ == nullptr ? simdjson::EMPTY
                                  : parser_->stage1(reinterpret_cast<const uint8_t*>(text.data()),
                                                    text.size(), simdjson::stage1_mode::regular);
  if (error != simdjson::SUCCESS) {
    malformed_ = malformed(scan_error(error));
    return false;
  }
  text_ = text.data();
  structurals_ = parser_->structural_indexes.get();
  count_ = parser_->n_structural_indexes;
  has_backslash_ = may_have_backslash(text);
  return true;
}

uint32_t Walker::object(PlanNode& node, uint32_t at) {
  if (++depth_ > kMaxJsonDepth) return fail(at, "nested too deep");
  ++at;
  if (byte(at) == '}') {
    --depth_;
    return at + 1;
  }
  for (size_t next = 0;; ++next) {
    // The key, its colon, and the first byte of its value.
    const ExpectedMember* expected = next < node.expected.size() ? &node.expected[next] : nullptr;
    if (expected != nullptr && matches(*expected, first(at))) [[likely]] {
      at += 2;
      if (expected->column >= 0) {
        at = planned_value(static_cast<uint32_t>(expected->column), at);
      } else {
        at = expected->member < 0 ? skip_value(at) : member_value(node, expected->member, at);
      }
    } else {
      if (byte(at) != '"') return fail(at, "expected a name");
      if (byte(at + 1) != ':') return fail(at + 1, "expected a colon");
      if (!well_formed_string(at)) return fail(at, "a wrong escape in a name");
      size_t limit = std::min(node.expected.size(), next + 1 + kMaxPassedOver);
      size_t later = next + 1;
      while (later < limit && !matches(node.expected[later], first(at))) ++later;
      int32_t member;
      if (later < limit) {
        member = node.expected[later].member;
        next = later;
      } else {
        member = look_up(node, next, at);
      }
      at = member < 0 ? skip_value(at + 2) : member_value(node, member, at + 2);
    }
    if (at == kFailed) return kFailed;
    char separator = byte(at);
    if (separator != ',') [[unlikely]] {
      if (separator != '}') return fail(at, "expected a comma or the end of the object");
      --depth_;
      return at + 1;
    }
    ++at;
  }
}

// Finds the member whose name is at `at`, and remembers to expect it there.
int32_t Walker::look_up(PlanNode& node, size_t place, uint32_t at) {
  std::string_view name = inside_string(at);
  bool escaped = has_backslash_ && name.find('\\') != std::string_view::npos;
  if (escaped) {
    unescape(name, &unescaped_);
    return node.find(unescaped_);
  }
  int32_t member = node.find(name);
  ExpectedMember expected;
  expected.text_size = static_cast<uint32_t>(name.size() + 3);
  bool compact = structurals_[at + 1] - structurals_[at] + 1 == expected.text_size;
  if (!compact || expected.text_size > ExpectedMember::kMaxText || place >= kMaxExpected) return member;
  std::memcpy(expected.text, first(at), expected.text_size);
  std::memset(expected.mask, 0xff, expected.text_size);
  expected.member = member;
  if (member >= 0) {
    const PlanMember& planned = node.members[static_cast<size_t>(member)];
    bool simple = planned.columns.size() == 1 && planned.child < 0 && !planned.added;
    if (simple) expected.column = static_cast<int32_t>(planned.columns[0]);
  }
  if (place >= node.expected.size()) {
    node.expected.push_back(expected);
  } else {
    node.expected[place] = expected;
  }
  return member;
}

// The value of a planned member that more than one thing may want.
uint32_t Walker::member_value(PlanNode& node, int32_t index, uint32_t at) {
  const PlanMember& member = node.members[static_cast<size_t>(index)];
  has_added_member_ |= member.added;
  uint32_t end = kFailed;
  for (uint32_t column : member.columns) {
    end = planned_value(column, at);
    if (end == kFailed) return kFailed;
  }
  if (member.child < 0) return end == kFailed ? skip_value(at) : end;

  PlanNode& child = tree_.nodes[static_cast<size_t>(member.child)];
  bool first_time = child.seen_in != serial_;
  child.seen_in = serial_;
  char c = byte(at);
  if (first_time && c == '{') return object(child, at);
  if (first_time && c != 'n' && wrong_field_.empty())
    wrong_field_ = not_an_object(child.path, kind_of_value(c));
  return skip_value(at);
}

uint32_t Walker::planned_value(uint32_t column, uint32_t at) {
  if (columns_[column].size() != row_) return skip_value(at);  // only the first occurrence counts
  ++appended_;
  const Field& field = plan_.fields[column];
  char c = byte(at);
  if (starts_number(c)) return number_value(column, at);
  if (c == '"') return string_value(column, at);
  uint32_t end = skip_value(at);
  if (end == kFailed) return kFailed;
  if (c == 'n') {
    columns_[column].append_null();
    if (!field.nullable && wrong_field_.empty()) wrong_field_ = is_null(field);
  } else if (field.type == Type::kJson) {
    bool container = c == '{' || c == '[';
    const char* last = container ? first(end - 1) + 1 : first(at) + scalar(at).size();
    columns_[column].append_text(std::string_view(first(at), static_cast<size_t>(last - first(at))));
  } else if (field.type == Type::kBoolean && (c == 't' || c == 'f')) {
    columns_[column].append_bool(c == 't');
  } else {
    wrong(column, wrong_type(field, kind_of_value(c)));
  }
  return end;
}

uint32_t Walker::string_value(uint32_t column, uint32_t at) {
  std::string_view text = inside_string(at);
  const Field& field = plan_.fields[column];
  if (field.type == Type::kJson) {
    if (!well_formed_string(at)) return fail(at, "a wrong escape in a string");
    columns_[column].append_text(std::string_view(text.data() - 1, text.size() + 2));
    return at + 1;
  }
  if (has_backslash_) {
    if (!unescape(text, &unescaped_)) return fail(at, "a wrong escape in a string");
    text = unescaped_;
  }
  if (field.type == Type::kVarchar) {
    columns_[column].append_text(text);
  } else if (field.type == Type::kTimestamp) {
    if (auto parsed = parse_timestamp_us(text)) {
      columns_[column].append_int64(*parsed);
    } else {
      wrong(column, not_a_timestamp(field, text));
    }
  } else {
    wrong(column, wrong_type(field, "a string"));
  }
  return at + 1;
}

uint32_t Walker::number_value(uint32_t column, uint32_t at) {
  std::string_view token = scalar(at);
  const char* last = token.data() + token.size();
  const Field& field = plan_.fields[column];
  if (field.type == Type::kDouble) {
    double value;
    NumberError error = parse_double(text_, token.data(), last, &value);
    if (error == NumberError::kNone) [[likely]] {
      columns_[column].append_double(value);
      return at + 1;
    }
    if (error == NumberError::kOutOfRange) {
      wrong(column, out_of_range(field, token));
      return at + 1;
    }
    return fail(at, "not a number");
  }
  if (!is_number(token.data(), last)) return fail(at, "not a number");
  if (field.type == Type::kBigint || field.type == Type::kInteger) {
    integer_value(column, token);
  } else if (field.type == Type::kJson) {
    columns_[column].append_text(token);
  } else {
    wrong(column, wrong_type(field, "a number"));
  }
  return at + 1;
}

void Walker::integer_value(uint32_t column, std::string_view token) {
  const Field& field = plan_.fields[column];
  int64_t value = 0;
  NumberError error = parse_int64(token.data(), token.data() + token.size(), &value);
  bool small = value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max();
  if (error == NumberError::kNotInteger) return wrong(column, wrong_type(field, token));
  if (error != NumberError::kNone || (field.type == Type::kInteger && !small)) {
    return wrong(column, out_of_range(field, token));
  }
  columns_[column].append_int64(value);
}

uint32_t Walker::skip_value_slowly(uint32_t at) {
  char c = byte(at);
  if (c == '{' || c == '[') return skip_container(at);
  if (starts_number(c)) {
    std::string_view token = scalar(at);
    if (!is_number(token.data(), token.data() + token.size())) return fail(at, "not a number");
  } else if (c == '"') {
    if (!well_formed_string(at)) return fail(at, "a wrong escape in a string");
  } else if (!is_atom(at)) {
    return fail(at, "expected a value");
  }
  return at + 1;
}

// Passes over an object or array that nobody asked for. The containers that are open are bits of
// one word, the innermost lowest; set: an object.
uint32_t Walker::skip_container(uint32_t at) {
  static_assert(kMaxJsonDepth <= 64);
  const char* const text = text_;
  const uint32_t* const structurals = structurals_;
  uint64_t objects = 0;
  uint32_t open = 0;
  for (;;) {
    char c = text[structurals[at]];
    if (c == '{' || c == '[') {
      if (depth_ + ++open > kMaxJsonDepth) return fail(at, "nested too deep");
      objects = objects << 1 | (c == '{' ? 1 : 0);
      ++at;
      if (text[structurals[at]] != (c == '{' ? '}' : ']')) {
        if (c == '[') continue;
        goto name;
      }
      goto close;
    }
    at = skip_value(at);
    if (at == kFailed) return kFailed;
  behind_value:
    c = text[structurals[at]];
    if (c == ',') {
      ++at;
      if ((objects & 1) == 0) continue;
    name:
      if (!has_backslash_) at = skip_plain_numbers(text, structurals, at);
      if (text[structurals[at]] != '"') return fail(at, "expected a name");
      if (has_backslash_ && !well_formed_string(at)) return fail(at, "a wrong escape in a name");
      if (text[structurals[at + 1]] != ':') return fail(at + 1, "expected a colon");
      at += 2;
      continue;
    }
    if (c != ((objects & 1) != 0 ? '}' : ']')) return fail(at, "expected a comma or the end of what is open");
  close:
    ++at;
    if (at == count_) return fail(at - 1, "the text ends inside the object");
    objects >>= 1;
    if (--open == 0) return at;
    goto behind_value;
  }
}

void Walker::append_missing() {
  for (size_t i = 0; i < plan_.fields.size(); ++i) {
    if (columns_[i].size() != row_) continue;
    columns_[i].append_null();
    if (!plan_.fields[i].nullable && wrong_field_.empty()) wrong_field_ = missing(plan_.fields[i]);
  }
}

// The token at `at`, up to the white space before the next structural.
std::string_view Walker::scalar(uint32_t at) const {
  uint32_t last = structurals_[at + 1];
  while (is_space(text_[last - 1])) --last;
  return {first(at), last - structurals_[at]};
}

// Between a string and the next structural there is white space only, so its end needs no search.
std::string_view Walker::inside_string(uint32_t at) const {
  uint32_t last = structurals_[at + 1] - 1;
  while (text_[last] != '"') --last;
  return {first(at) + 1, last - structurals_[at] - 1};
}

bool Walker::is_atom(uint32_t at) const {
  std::string_view token = scalar(at);
  return token == "true" || token == "false" || token == "null";
}

bool Walker::well_formed_string(uint32_t at) const {
  return !has_backslash_ || has_valid_escapes(inside_string(at));
}

uint32_t Walker::fail(uint32_t at, std::string_view what) {
  malformed_ = malformed_at(structurals_[at], what);
  return kFailed;
}

// The first wrong field is the reason; the row has a null there until it is removed.
void Walker::wrong(uint32_t column, std::string reason) {
  columns_[column].append_null();
  if (wrong_field_.empty()) wrong_field_ = std::move(reason);
}

}  // namespace tidemill::json
