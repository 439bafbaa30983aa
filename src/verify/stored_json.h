// A stored event in JSON, with the members that the pipeline added, as a row: what topics and files hold.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verify/json_fields.h"
#include "verify/rows.h"
#include "verify/verify.h"

namespace tidemill::verify {

// What the JSON of a store holds beside the event's own members. What those of the event are that the fields
// do not name, StoredRow::further says.
struct JsonLayout {
  JsonLayout(const StoreColumns& names, const std::vector<std::string>& further)
      : columns(names), added(further) {
    for (const std::string& name :
         {names.partition, names.offset, names.enqueued_at, names.processed_at, names.stored_at}) {
      if (!name.empty()) added.push_back(name);
    }
  }
  StoreColumns columns;
  std::vector<std::string> added;  // all of their names
};

// Of the fields, those that are stored are required as the event has them; the others may be missing.
inline std::vector<FieldSpec> stored_fields(std::vector<FieldSpec> fields,
                                            const std::vector<std::string>& projected,
                                            std::vector<uint8_t>* has_field) {
  for (FieldSpec& field : fields) {
    bool stored =
        projected.empty() || std::find(projected.begin(), projected.end(), field.name) != projected.end();
    has_field->push_back(stored ? 1 : 0);
    if (!stored) field.nullable = true;
  }
  return fields;
}

class JsonRows {
 public:
  // Added members make a row longer than the longest event.
  static constexpr size_t kMaxRowBytes = 64u << 20;

  JsonRows(const JsonLayout& layout, const std::vector<FieldSpec>& fields)
      : layout_(layout), json_(fields, kMaxRowBytes) {}

  // Fills fields, positions and times of `row`; borrowed until the next call.
  void read(std::string_view json, StoredRow* row) {
    row->wrong.clear();
    row->further.clear();
    row->partition.reset();
    row->offset.reset();
    row->enqueued_us.reset();
    Decoded decoded = json_.decode(json, &row->fields, &row->unreadable, &row->wrong);
    if (decoded == Decoded::kOk) {
      row->further = json_.further_members(layout_.added);
    } else if (decoded == Decoded::kUnsure) {
      row->wrong = "not decodable here";
    }
    if (auto partition = integer(layout_.columns.partition))
      row->partition = static_cast<int32_t>(*partition);
    row->offset = integer(layout_.columns.offset);
    row->enqueued_us = time(layout_.columns.enqueued_at);
    if (auto stored = time(layout_.columns.stored_at)) row->stored_us = stored;
  }

 private:
  std::optional<int64_t> integer(const std::string& name) const {
    FieldValue value;
    bool there = !name.empty() && json_.member(name, &value) && value.kind == FieldValue::Kind::kInteger;
    return there ? std::optional(value.integer) : std::nullopt;
  }
  std::optional<int64_t> time(const std::string& name) const {
    FieldValue value;
    int64_t us = 0;
    bool there = !name.empty() && json_.member(name, &value) && value.kind == FieldValue::Kind::kText &&
                 parse_timestamp(value.text, &us);
    return there ? std::optional(us) : std::nullopt;
  }

  const JsonLayout& layout_;
  JsonFields json_;
};

}  // namespace tidemill::verify
