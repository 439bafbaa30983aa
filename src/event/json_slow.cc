// The slow, obvious decoder: parses the whole text into a tree, then looks the fields up in it. It
// shares with the fast one what timestamps are and how reasons are worded, nothing else.
#include <locale.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <list>
#include <utility>

#include "event/json_decoder.h"
#include "event/json_reason.h"
#include "event/timestamp.h"

namespace tidemill {
namespace {

enum class Kind { kNull, kBoolean, kNumber, kString, kArray, kObject };

struct Value {
  Kind kind = Kind::kNull;
  size_t begin = 0;  // where it stands in the text
  size_t end = 0;
  std::string text;  // of a string, unescaped
  // A list, because a vector of a type that is not complete yet is more than Clang 14 takes in C++20.
  std::list<std::pair<std::string, Value>> members;
};

// Throws nothing; after the first error `error_` is set and every function returns at once.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  // The one object that the text is, or the reason why it is none.
  std::string parse(Value* root) {
    if (!is_utf8()) return json::malformed("not UTF-8");
    skip_space();
    if (peek() != '{') return json::malformed("an event is one object");
    if (!value(root, 1)) return json::malformed_at(at_, error_);
    skip_space();
    if (at_ != text_.size()) return json::malformed_at(at_, "more text behind the object");
    return "";
  }

 private:
  int peek() const { return at_ < text_.size() ? static_cast<unsigned char>(text_[at_]) : -1; }

  bool fail(const char* what) {
    error_ = what;
    return false;
  }

  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r') ++at_;
  }

  bool value(Value* out, size_t depth) {
    out->begin = at_;
    bool good = false;
    switch (peek()) {
      case '{':
        good = object(out, depth);
        break;
      case '[':
        good = array(out, depth);
        break;
      case '"':
        out->kind = Kind::kString;
        good = string(&out->text);
        break;
      case 't':
        out->kind = Kind::kBoolean;
        good = word("true");
        break;
      case 'f':
        out->kind = Kind::kBoolean;
        good = word("false");
        break;
      case 'n':
        out->kind = Kind::kNull;
        good = word("null");
        break;
      default:
        out->kind = Kind::kNumber;
        good = number();
    }
    out->end = at_;
    return good;
  }

  bool object(Value* out, size_t depth) {
    if (depth > kMaxJsonDepth) return fail("nested too deep");
    out->kind = Kind::kObject;
    ++at_;
    skip_space();
    if (peek() == '}') {
      ++at_;
      return true;
    }
    while (true) {
      std::pair<std::string, Value> member;
      if (peek() != '"') return fail("expected a name");
      if (!string(&member.first)) return false;
      skip_space();
      if (peek() != ':') return fail("expected a colon");
      ++at_;
      skip_space();
      if (!value(&member.second, depth + 1)) return false;
      out->members.push_back(std::move(member));
      skip_space();
      if (peek() == '}') {
        ++at_;
        return true;
      }
      if (peek() != ',') return fail("expected a comma or the end of the object");
      ++at_;
      skip_space();
    }
  }

  bool array(Value* out, size_t depth) {
    if (depth > kMaxJsonDepth) return fail("nested too deep");
    out->kind = Kind::kArray;
    ++at_;
    skip_space();
    if (peek() == ']') {
      ++at_;
      return true;
    }
    while (true) {
      Value element;
      if (!value(&element, depth + 1)) return false;
      skip_space();
      if (peek() == ']') {
        ++at_;
        return true;
      }
      if (peek() != ',') return fail("expected a comma or the end of the array");
      ++at_;
      skip_space();
    }
  }

  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return fail("expected a value");
    at_ += expected.size();
    return true;
  }

  bool digits() {
    if (peek() < '0' || peek() > '9') return fail("expected a digit");
    while (peek() >= '0' && peek() <= '9') ++at_;
    return true;
  }

  bool number() {
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else if (!digits()) {
      return false;
    }
    if (peek() == '.') {
      ++at_;
      if (!digits()) return false;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return false;
    }
    return true;
  }

  bool string(std::string* out) {
    ++at_;
    while (peek() != '"') {
      if (peek() < 0) return fail("a string without end");
      if (peek() < 0x20) return fail("a control character in a string");
      if (peek() != '\\') {
        *out += text_[at_++];
        continue;
      }
      ++at_;
      int escaped = peek();
      ++at_;
      switch (escaped) {
        case '"':
        case '\\':
        case '/':
          *out += static_cast<char>(escaped);
          break;
        case 'b':
          *out += '\b';
          break;
        case 'f':
          *out += '\f';
          break;
        case 'n':
          *out += '\n';
          break;
        case 'r':
          *out += '\r';
          break;
        case 't':
          *out += '\t';
          break;
        case 'u':
          if (!unicode_escape(out)) return false;
          break;
        default:
          return fail("a wrong escape");
      }
    }
    ++at_;
    return true;
  }

  bool four_hex_digits(unsigned* unit) {
    *unit = 0;
    for (int i = 0; i < 4; ++i) {
      int c = peek();
      unsigned digit = 0;
      if (c >= '0' && c <= '9') {
        digit = static_cast<unsigned>(c - '0');
      } else if (c >= 'a' && c <= 'f') {
        digit = static_cast<unsigned>(c - 'a') + 10;
      } else if (c >= 'A' && c <= 'F') {
        digit = static_cast<unsigned>(c - 'A') + 10;
      } else {
        return fail("a wrong escape");
      }
      *unit = *unit * 16 + digit;
      ++at_;
    }
    return true;
  }

  bool unicode_escape(std::string* out) {
    unsigned unit = 0;
    if (!four_hex_digits(&unit)) return false;
    if (unit >= 0xdc00 && unit < 0xe000) return fail("half a surrogate pair");
    if (unit >= 0xd800 && unit < 0xdc00) {
      if (text_.substr(at_, 2) != "\\u") return fail("half a surrogate pair");
      at_ += 2;
      unsigned low = 0;
      if (!four_hex_digits(&low)) return false;
      if (low < 0xdc00 || low > 0xdfff) return fail("half a surrogate pair");
      unit = 0x10000 + (unit - 0xd800) * 0x400 + (low - 0xdc00);
    }
    if (unit < 0x80) {
      *out += static_cast<char>(unit);
    } else if (unit < 0x800) {
      *out += static_cast<char>(0xc0 + unit / 0x40);
      *out += static_cast<char>(0x80 + unit % 0x40);
    } else if (unit < 0x10000) {
      *out += static_cast<char>(0xe0 + unit / 0x1000);
      *out += static_cast<char>(0x80 + unit / 0x40 % 0x40);
      *out += static_cast<char>(0x80 + unit % 0x40);
    } else {
      *out += static_cast<char>(0xf0 + unit / 0x40000);
      *out += static_cast<char>(0x80 + unit / 0x1000 % 0x40);
      *out += static_cast<char>(0x80 + unit / 0x40 % 0x40);
      *out += static_cast<char>(0x80 + unit % 0x40);
    }
    return true;
  }

  // The table of well-formed sequences in the Unicode standard (table 3-7).
  bool is_utf8() const {
    size_t i = 0;
    auto in = [&](size_t ahead, unsigned low, unsigned high) {
      if (i + ahead >= text_.size()) return false;
      auto c = static_cast<unsigned char>(text_[i + ahead]);
      return c >= low && c <= high;
    };
    while (i < text_.size()) {
      size_t size = 0;
      if (in(0, 0x00, 0x7f)) size = 1;
      if (in(0, 0xc2, 0xdf) && in(1, 0x80, 0xbf)) size = 2;
      bool three = (in(0, 0xe0, 0xe0) && in(1, 0xa0, 0xbf)) || (in(0, 0xe1, 0xec) && in(1, 0x80, 0xbf)) ||
                   (in(0, 0xed, 0xed) && in(1, 0x80, 0x9f)) || (in(0, 0xee, 0xef) && in(1, 0x80, 0xbf));
      if (three && in(2, 0x80, 0xbf)) size = 3;
      bool four = (in(0, 0xf0, 0xf0) && in(1, 0x90, 0xbf)) || (in(0, 0xf1, 0xf3) && in(1, 0x80, 0xbf)) ||
                  (in(0, 0xf4, 0xf4) && in(1, 0x80, 0x8f));
      if (four && in(2, 0x80, 0xbf) && in(3, 0x80, 0xbf)) size = 4;
      if (size == 0) return false;
      i += size;
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  const char* error_ = "";
};

const Value* first_member(const Value& object, const std::string& name) {
  for (const auto& [member, value] : object.members) {
    if (member == name) return &value;
  }
  return nullptr;
}

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::kNull:
      return "null";
    case Kind::kBoolean:
      return "a boolean";
    case Kind::kNumber:
      return "a number";
    case Kind::kString:
      return "a string";
    case Kind::kArray:
      return "an array";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

// A reason and where in the text it arose: the first in the text is the one to report. What is
// wrong with a field counts before what is wrong with a path through the same value.
struct Problem {
  size_t position = std::numeric_limits<size_t>::max();
  int rank = 0;
  std::string reason;
};
constexpr size_t kMissing = std::numeric_limits<size_t>::max() - 1;

class Row {
 public:
  Row(const DecodePlan& plan, std::string_view text, const Value& root)
      : plan_(plan), text_(text), root_(root) {}

  std::string append_to(std::vector<Column>* columns) {
    for (size_t i = 0; i < plan_.fields.size(); ++i) append(plan_.fields[i], &(*columns)[i]);
    return problem_.reason;
  }

 private:
  void note(size_t position, int rank, std::string reason) {
    if (std::pair(position, rank) < std::pair(problem_.position, problem_.rank)) {
      problem_ = {position, rank, std::move(reason)};
    }
  }

  void append(const Field& field, Column* column) {
    const Value* value = &root_;
    for (size_t depth = 0; depth < field.path.size(); ++depth) {
      if (value->kind != Kind::kObject) {
        if (value->kind != Kind::kNull) {
          note(value->begin, 1,
               json::not_an_object(json::join_path_names(field.path, depth), kind_name(value->kind)));
        }
        value = nullptr;
        break;
      }
      value = first_member(*value, field.path[depth]);
      if (value == nullptr) break;
    }
    if (value == nullptr) {
      if (!field.nullable) note(kMissing, 0, json::missing(field));
    } else if (value->kind == Kind::kNull) {
      if (!field.nullable) note(value->begin, 0, json::is_null(field));
    } else if (append_value(field, *value, column)) {
      return;
    }
    column->append_null();
  }

  bool wrong(const Value& value, std::string reason) {
    note(value.begin, 0, std::move(reason));
    return false;
  }

  bool append_value(const Field& field, const Value& value, Column* column) {
    std::string raw(text_.substr(value.begin, value.end - value.begin));
    if (field.type == Type::kJson) {
      column->append_text(raw);
      return true;
    }
    bool is_text = field.type == Type::kVarchar || field.type == Type::kTimestamp;
    Kind wanted = is_text ? Kind::kString : field.type == Type::kBoolean ? Kind::kBoolean : Kind::kNumber;
    if (value.kind != wanted) return wrong(value, json::wrong_type(field, kind_name(value.kind)));
    if (field.type == Type::kVarchar) {
      column->append_text(value.text);
    } else if (field.type == Type::kTimestamp) {
      auto parsed = parse_timestamp_us(value.text);
      if (!parsed) return wrong(value, json::not_a_timestamp(field, value.text));
      column->append_int64(*parsed);
    } else if (field.type == Type::kBoolean) {
      column->append_bool(raw == "true");
    } else if (field.type == Type::kDouble) {
      static locale_t c_locale = newlocale(LC_ALL_MASK, "C", nullptr);
      double parsed = strtod_l(raw.c_str(), nullptr, c_locale);
      if (!std::isfinite(parsed)) return wrong(value, json::out_of_range(field, raw));
      column->append_double(parsed);
    } else {
      return append_integer(field, value, raw, column);
    }
    return true;
  }

  bool append_integer(const Field& field, const Value& value, const std::string& raw, Column* column) {
    if (raw.find_first_of(".eE") != std::string::npos) return wrong(value, json::wrong_type(field, raw));
    int64_t parsed = 0;
    auto result = std::from_chars(raw.data(), raw.data() + raw.size(), parsed);
    bool fits = result.ec == std::errc{};
    if (field.type == Type::kInteger && (parsed < INT32_MIN || parsed > INT32_MAX)) fits = false;
    if (!fits) return wrong(value, json::out_of_range(field, raw));
    column->append_int64(parsed);
    return true;
  }

  const DecodePlan& plan_;
  std::string_view text_;
  const Value& root_;
  Problem problem_;
};

}  // namespace

Status decode_json_slowly(const DecodePlan& plan, std::string_view text, std::vector<Column>* columns) {
  if (text.size() > plan.event_limit_bytes)
    return user_error(json::too_long(text.size(), plan.event_limit_bytes));
  Value root;
  std::string reason = Parser(text).parse(&root);
  if (!reason.empty()) return user_error(std::move(reason));
  std::vector<size_t> rows;
  for (const Column& column : *columns) rows.push_back(column.size());
  reason = Row(plan, text, root).append_to(columns);
  if (reason.empty()) return {};
  for (size_t i = 0; i < columns->size(); ++i) (*columns)[i].truncate(rows[i]);
  return user_error(std::move(reason));
}

bool is_valid_json_object(std::string_view text) {
  Value root;
  return Parser(text).parse(&root).empty();
}

}  // namespace tidemill
