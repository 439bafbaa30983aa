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

// The same for many rows of a batch, in any order: what is the same as in the row before is not
// written again. Times of one batch are.
class AddedMembers {
 public:
  // Before the rows of a batch, which must not change until the last of them.
  void begin(const Batch& batch);
  // Each member behind a comma, then the closing brace: `,"enqueuedAt":"…","processedAt":"…"}`. Holds
  // until the next call.
  std::string_view text(uint32_t row);

 private:
  struct Member {
    const Column* column = nullptr;
    std::string name;   // `,"enqueuedAt":`
    size_t begins = 0;  // in text_
  };
  std::vector<Member> members_;
  std::string text_;
  bool written_ = false;
  uint32_t last_row_ = 0;  // that text_ is of
};

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
