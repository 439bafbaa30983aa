#include "event/json_string.h"

#include <cstdint>
#include <cstring>

namespace tidemill::json {
namespace {

constexpr size_t kEscapeSize = 6;  // \uXXXX

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = static_cast<char>(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The number of \uXXXX at the start of `text`, or -1.
int32_t code_unit(std::string_view text) {
  if (text.size() < kEscapeSize || text[0] != '\\' || text[1] != 'u') return -1;
  int32_t unit = 0;
  for (size_t i = 2; i < kEscapeSize; ++i) {
    int digit = hex_digit(text[i]);
    if (digit < 0) return -1;
    unit = unit * 16 + digit;
  }
  return unit;
}

struct Escape {
  size_t size = 0;  // bytes of the escape; 0: it is none
  int32_t code_point = 0;
};

// Precondition: text[0] is a backslash.
Escape parse_escape(std::string_view text) {
  if (text.size() < 2) return {};
  switch (text[1]) {
    case '"':
    case '\\':
    case '/':
      return {2, text[1]};
    case 'b':
      return {2, '\b'};
    case 'f':
      return {2, '\f'};
    case 'n':
      return {2, '\n'};
    case 'r':
      return {2, '\r'};
    case 't':
      return {2, '\t'};
    case 'u':
      break;
    default:
      return {};
  }
  int32_t unit = code_unit(text);
  if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff)) return {};
  if (unit < 0xd800 || unit > 0xdfff) return {kEscapeSize, unit};
  int32_t low = code_unit(text.substr(kEscapeSize));
  if (low < 0xdc00 || low > 0xdfff) return {};
  return {2 * kEscapeSize, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)};
}

void append_utf8(int32_t code_point, std::string* out) {
  auto put = [out](int32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) return put(code_point);
  if (code_point < 0x800) {
    put(0xc0 | (code_point >> 6));
    return put(0x80 | (code_point & 0x3f));
  }
  if (code_point < 0x10000) {
    put(0xe0 | (code_point >> 12));
  } else {
    put(0xf0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3f));
  }
  put(0x80 | ((code_point >> 6) & 0x3f));
  put(0x80 | (code_point & 0x3f));
}

// Goes from escape to escape; `out` may be null.
bool resolve(std::string_view inside, std::string* out) {
  while (!inside.empty()) {
    const void* found = std::memchr(inside.data(), '\\', inside.size());
    size_t plain = found == nullptr ? inside.size()
                                    : static_cast<size_t>(static_cast<const char*>(found) - inside.data());
    if (out != nullptr) out->append(inside.substr(0, plain));
    inside.remove_prefix(plain);
    if (inside.empty()) break;
    Escape escape = parse_escape(inside);
    if (escape.size == 0) return false;
    if (out != nullptr) append_utf8(escape.code_point, out);
    inside.remove_prefix(escape.size);
  }
  return true;
}

}  // namespace

bool unescape(std::string_view inside, std::string* out) {
  out->clear();
  return resolve(inside, out);
}

bool has_valid_escapes(std::string_view inside) {
  return resolve(inside, nullptr);
}

}  // namespace tidemill::json
