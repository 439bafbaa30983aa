#include "event/json_value.h"

#include <charconv>
#include <cmath>

#include "event/json_splice.h"
#include "event/timestamp.h"

namespace tidemill {

void append_json_value(const Column* column, uint32_t row, std::string* out) {
  if (column == nullptr || !column->valid(row)) {
    *out += "null";
    return;
  }
  char buffer[kTimestampTextSize + 8];
  auto append_number = [&](auto value) {
    auto result = std::to_chars(buffer, buffer + sizeof buffer, value);
    out->append(buffer, result.ptr);
  };
  switch (column->type()) {
    case Type::kBoolean:
      *out += column->bool_at(row) ? "true" : "false";
      return;
    case Type::kInteger:
    case Type::kBigint:
      append_number(column->int64_at(row));
      return;
    case Type::kDouble:
      // JSON has no infinities.
      std::isfinite(column->double_at(row)) ? append_number(column->double_at(row))
                                            : static_cast<void>(*out += "null");
      return;
    case Type::kTimestamp:
      *out += '"';
      out->append(buffer, format_timestamp(column->int64_at(row), 6, buffer));
      *out += '"';
      return;
    case Type::kVarchar:
      append_json_string(column->text_at(row), out);
      return;
    case Type::kJson:
      *out += column->text_at(row);
      return;
  }
}

}  // namespace tidemill
