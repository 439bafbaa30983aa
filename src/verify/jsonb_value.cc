#include "verify/jsonb_value.h"

#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <map>
#include <utility>

namespace tidemill::verify {
namespace {

namespace ondemand = simdjson::ondemand;

constexpr double kTwoTo64 = 18446744073709551616.0;

template <class Number>
std::string shortest(Number number) {
  char buffer[40];
  return {buffer, std::to_chars(buffer, buffer + sizeof buffer, number).ptr};
}

template <class Integer>
bool is_integer(std::string_view token, std::string* out) {
  Integer value = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
  if (error != std::errc() || end != token.data() + token.size()) return false;
  *out += shortest(value);
  return true;
}

bool append_number(std::string_view token, std::string* out) {
  token = token.substr(0, token.find_last_not_of(" \t\r\n") + 1);
  if (is_integer<int64_t>(token, out) || is_integer<uint64_t>(token, out)) return true;
  double real = 0;
  const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), real);
  if (error != std::errc() || end != token.data() + token.size()) {
    *out += token;  // beyond doubles: as it is
    return error == std::errc::result_out_of_range;
  }
  if (real != std::trunc(real) || std::abs(real) >= kTwoTo64) {
    *out += shortest(real);
  } else if (real < 0) {
    *out += (real > -kTwoTo64 / 2 ? shortest(static_cast<int64_t>(real)) : shortest(real));
  } else {
    *out += shortest(static_cast<uint64_t>(real));
  }
  return true;
}

void append_string(std::string_view text, std::string* out) {
  *out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') *out += '\\';
    *out += c;
  }
  *out += '"';
}

bool append_value(ondemand::value value, std::string* out);

bool append_object(ondemand::object object, std::string* out) {
  std::map<std::string, std::string, std::less<>> members;
  for (auto field : object) {
    std::string_view name;
    ondemand::value inside;
    if (field.unescaped_key().get(name) != simdjson::SUCCESS) return false;
    const std::string key(name);  // the next string overwrites it
    std::string text;
    if (field.value().get(inside) != simdjson::SUCCESS || !append_value(inside, &text)) return false;
    members[key] = std::move(text);
  }
  char before = '{';
  for (const auto& [name, text] : members) {
    *out += std::exchange(before, ',');
    append_string(name, out);
    *out += ':' + text;
  }
  *out += members.empty() ? "{}" : "}";
  return true;
}

bool append_array(ondemand::array array, std::string* out) {
  *out += '[';
  bool first = true;
  for (auto element : array) {
    ondemand::value inside;
    if (!std::exchange(first, false)) *out += ',';
    if (element.get(inside) != simdjson::SUCCESS || !append_value(inside, out)) return false;
  }
  *out += ']';
  return true;
}

bool append_value(ondemand::value value, std::string* out) {
  ondemand::json_type type{};
  if (value.type().get(type) != simdjson::SUCCESS) return false;
  ondemand::object object;
  ondemand::array array;
  std::string_view text;
  bool boolean = false;
  switch (type) {
    case ondemand::json_type::object:
      return value.get_object().get(object) == simdjson::SUCCESS && append_object(object, out);
    case ondemand::json_type::array:
      return value.get_array().get(array) == simdjson::SUCCESS && append_array(array, out);
    case ondemand::json_type::string:
      if (value.get_string().get(text) != simdjson::SUCCESS) return false;
      append_string(text, out);
      return true;
    case ondemand::json_type::boolean:
      if (value.get_bool().get(boolean) != simdjson::SUCCESS) return false;
      *out += boolean ? "true" : "false";
      return true;
    case ondemand::json_type::null:
      *out += "null";
      return true;
    case ondemand::json_type::number:
      break;
  }
  return append_number(value.raw_json_token(), out);
}

}  // namespace

bool jsonb_value(std::string_view text, std::string* out) {
  // In an array one way does for objects and for single numbers.
  const simdjson::padded_string padded("[" + std::string(text) + "]");
  ondemand::parser parser;
  ondemand::document document;
  ondemand::array array;
  if (parser.iterate(padded).get(document) != simdjson::SUCCESS ||
      document.get_array().get(array) != simdjson::SUCCESS)
    return false;
  std::string written;
  size_t elements = 0;
  for (auto element : array) {
    ondemand::value value;
    if (++elements > 1 || element.get(value) != simdjson::SUCCESS || !append_value(value, &written))
      return false;
  }
  if (elements != 1) return false;
  *out += written;
  return true;
}

}  // namespace tidemill::verify
