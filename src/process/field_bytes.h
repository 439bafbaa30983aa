// The bytes that stand for a value of a column where values are compared as bytes: text as it is,
// integers and timestamps (microseconds) as decimal text, which is also what their keys are.
#pragma once

#include <charconv>
#include <string>
#include <string_view>
#include <vector>

#include "event/columns.h"

namespace tidemill::process {

class FieldBytes {
 public:
  static bool can_hold(Type type) {
    return type == Type::kVarchar || type == Type::kBigint || type == Type::kInteger ||
           type == Type::kTimestamp;
  }

  // Of this column until the next start(). What at() gives is good as long as the column and until then.
  void start(const Column& column) {
    column_ = &column;
    if (column.is_text()) return;
    // Filled at once, so that views into it stay good.
    digits_.resize(column.size() * kMostDigits);
    sizes_.resize(column.size());
    for (size_t row = 0; row < column.size(); ++row) {
      char* to = digits_.data() + row * kMostDigits;
      char* end = column.valid(row) ? std::to_chars(to, to + kMostDigits, column.int64_at(row)).ptr : to;
      sizes_[row] = static_cast<uint8_t>(end - to);
    }
  }
  std::string_view at(size_t row) const {
    if (column_->is_text()) return column_->text_at(row);
    return {digits_.data() + row * kMostDigits, sizes_[row]};
  }

 private:
  static constexpr size_t kMostDigits = 20;
  const Column* column_ = nullptr;
  std::string digits_;
  std::vector<uint8_t> sizes_;
};

}  // namespace tidemill::process
