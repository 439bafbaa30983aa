#include "event/json_reason.h"

namespace tidemill::json {

std::string excerpt(std::string_view text) {
  if (text.size() <= kMaxExcerptBytes) return std::string(text);
  size_t size = kMaxExcerptBytes;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
  return std::string(text.substr(0, size)) + "…";
}

std::string missing(const Field& field) {
  return field.name + ": missing";
}

std::string is_null(const Field& field) {
  return field.name + ": null where a value is required";
}

std::string wrong_type(const Field& field, std::string_view found) {
  return field.name + ": expected " + std::string(type_name(field.type)) + ", found " + excerpt(found);
}

std::string out_of_range(const Field& field, std::string_view number) {
  return field.name + ": " + excerpt(number) + " is outside the range of " +
         std::string(type_name(field.type));
}

std::string not_a_timestamp(const Field& field, std::string_view text) {
  return field.name + ": not a timestamp: \"" + excerpt(text) + "\"";
}

std::string not_an_object(std::string_view path, std::string_view found) {
  return std::string(path) + ": expected an object, found " + std::string(found);
}

std::string too_long(size_t bytes, size_t limit_bytes) {
  return "an event of " + std::to_string(bytes) + " bytes; the limit is " + std::to_string(limit_bytes);
}

std::string malformed(std::string_view what) {
  return "malformed JSON: " + std::string(what);
}

std::string malformed_at(size_t position, std::string_view what) {
  return "malformed JSON at byte " + std::to_string(position) + ": " + std::string(what);
}

std::string_view kind_of_value(char first) {
  switch (first) {
    case '"':
      return "a string";
    case '{':
      return "an object";
    case '[':
      return "an array";
    case 't':
    case 'f':
      return "a boolean";
    case 'n':
      return "null";
    default:
      return "a number";
  }
}

std::string join_path_names(const std::vector<std::string>& path, size_t count) {
  std::string joined;
  for (size_t i = 0; i < count; ++i) joined += (i == 0 ? "" : ".") + path[i];
  return joined;
}

}  // namespace tidemill::json
