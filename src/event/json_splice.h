// Adding members to a JSON object without re-serialising it.
//
// Rule when the event already has a top-level member of that name: the added one replaces it; the
// old member is cut out, so that the result has each name once.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "event/batch.h"

namespace tidemill {

// The members of `row` of the columns in batch.added as JSON text: `"enqueuedAt":"…","processedAt":"…"`
// (timestamps ISO 8601 UTC with 6 fraction digits, NULL as null). Appended to `out`.
void append_added_members(const Batch& batch, uint32_t row, std::string* out);

// Where to cut a valid JSON object so that members fit in: value = head + "," + members + "}".
// `comma` is false for an empty object. Trailing white space after the brace is dropped.
struct SplicePoint {
  std::string_view head;  // up to but without the closing brace and the white space before it
  bool comma = true;
};
SplicePoint find_splice_point(std::string_view object);

// `object` (valid) without its top-level members of these names. Slow path, for events that
// already have an added member.
std::string remove_members(std::string_view object, const std::vector<std::string_view>& names);

// A JSON string literal, quotes included, appended to `out`.
void append_json_string(std::string_view text, std::string* out);

}  // namespace tidemill
