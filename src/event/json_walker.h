// One JSON document into one row of columns, in one pass over the positions that simdjson's first
// stage found (quotes, braces, brackets, colons, commas and the first byte of every other scalar).
//
// That stage has checked that the text is UTF-8, that every string ends and that none holds a
// control character. The walker checks all the rest, in planned and other members alike.
#pragma once

#include <simdjson.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "event/json_decoder.h"
#include "event/json_plan.h"

namespace tidemill::json {

// Bytes behind a document that must be readable; their content is of no matter.
inline constexpr size_t kPadding = 64;

class Walker {
 public:
  explicit Walker(const DecodePlan& plan) : plan_(plan), tree_(plan) {}

  // Appends row `row` to every column. False: the event cannot be decoded and reason() says why;
  // the columns may then hold parts of the row, for the caller to truncate.
  bool decode(std::string_view padded_text, size_t row, Column* columns);
  // Whether the document has a top-level member with one of the plan's added names.
  bool has_added_member() const { return has_added_member_; }
  std::string reason() const { return malformed_.empty() ? wrong_field_ : malformed_; }

 private:
  // Positions are counted in structurals: `at` is an index into structurals_. Functions that pass
  // over something return the index behind it, or kFailed once malformed_ is set.
  static constexpr uint32_t kFailed = 0;

  bool scan(std::string_view text);
  uint32_t object(PlanNode& node, uint32_t at);
  int32_t look_up(PlanNode& node, size_t expected, uint32_t at);
  uint32_t member_value(PlanNode& node, int32_t member, uint32_t at);
  uint32_t planned_value(uint32_t column, uint32_t at);
  uint32_t string_value(uint32_t column, uint32_t at);
  uint32_t number_value(uint32_t column, uint32_t at);
  void integer_value(uint32_t column, std::string_view token);
  uint32_t skip_value(uint32_t at);
  uint32_t skip_value_slowly(uint32_t at);
  uint32_t skip_container(uint32_t at);
  void append_missing();

  char byte(uint32_t at) const { return text_[structurals_[at]]; }
  const char* first(uint32_t at) const { return text_ + structurals_[at]; }
  std::string_view scalar(uint32_t at) const;
  std::string_view inside_string(uint32_t at) const;
  bool is_atom(uint32_t at) const;
  bool well_formed_string(uint32_t at) const;

  uint32_t fail(uint32_t at, std::string_view what);
  void wrong(uint32_t column, std::string reason);

  const DecodePlan& plan_;
  PlanTree tree_;
  std::unique_ptr<simdjson::internal::dom_parser_implementation> parser_;
  size_t capacity_ = 0;

  // The document at hand.
  const char* text_ = nullptr;
  const uint32_t* structurals_ = nullptr;
  uint32_t count_ = 0;
  uint64_t serial_ = 0;
  size_t row_ = 0;
  Column* columns_ = nullptr;
  size_t appended_ = 0;  // columns that have their value
  uint32_t depth_ = 0;
  bool has_backslash_ = false;
  bool has_added_member_ = false;
  std::string unescaped_;
  std::string malformed_;
  std::string wrong_field_;
};

}  // namespace tidemill::json
