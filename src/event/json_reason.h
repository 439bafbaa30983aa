// The wording of reasons for dead letters; shared by the fast and the slow decoder, so that both
// say the same and a test can compare them.
#pragma once

#include <string>
#include <string_view>

#include "event/schema.h"

namespace tidemill::json {

// At most this much of an event is repeated in a reason.
inline constexpr size_t kMaxExcerptBytes = 100;

// `text` (UTF-8), cut at a character where it is longer, then with "…".
std::string excerpt(std::string_view text);

std::string missing(const Field& field);
std::string is_null(const Field& field);
// `found`: "a string", "an object", "1.5" …
std::string wrong_type(const Field& field, std::string_view found);
std::string out_of_range(const Field& field, std::string_view number);
std::string not_a_timestamp(const Field& field, std::string_view text);
// `path`: the members above a nested field, "complexData".
std::string not_an_object(std::string_view path, std::string_view found);
std::string too_long(size_t bytes, size_t limit_bytes);
std::string malformed(std::string_view what);
std::string malformed_at(size_t position, std::string_view what);

// What a JSON value is called, by its first byte: "a string", "a number" …
std::string_view kind_of_value(char first);

// "complexData.moreData" for the first `count` names of a path.
std::string join_path_names(const std::vector<std::string>& path, size_t count);

}  // namespace tidemill::json
