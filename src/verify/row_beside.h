// What a stored row has beside the event's fields, and must have: the record's key and members that no field
// names.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "verify/run.h"

namespace tidemill::verify {

struct RecordKey {
  bool has = false;
  std::string text;
};

// The keys that records of the store must have: those of the input, or behind a rekey that field's values.
class KeyRule {
 public:
  // The run's rows are open.
  explicit KeyRule(const Run& run) {
    const std::vector<Way>& ways = run.request.ways;
    const auto last =
        std::find_if(ways.rbegin(), ways.rend(), [](const Way& way) { return !way.by.empty(); });
    known_ = run.rows->shape().keys;
    if (last == ways.rend()) return;
    const auto by = std::find_if(run.fields.begin(), run.fields.end(),
                                 [&](const FieldSpec& field) { return field.name == last->by; });
    known_ =
        known_ && by != run.fields.end() && by->type != FieldType::kDouble && by->type != FieldType::kJson;
    by_ = static_cast<size_t>(by - run.fields.begin());
  }
  // False: the store has no keys, or ones that are not compared: of numbers with a point, of JSON, of fields
  // that the event has not.
  bool known() const { return known_; }
  // `values`: of the event's fields. `key`: of the input record, where it has one.
  RecordKey of(bool has_key, std::string_view key, const std::vector<FieldValue>& values) const {
    if (!by_) return {has_key, std::string(has_key ? key : std::string_view())};
    const FieldValue& value = values[*by_];
    switch (value.kind) {
      case FieldValue::Kind::kText:
        return {true, std::string(value.text)};
      case FieldValue::Kind::kInteger:
        return {true, std::to_string(value.integer)};
      case FieldValue::Kind::kBoolean:
        return {true, value.integer != 0 ? "true" : "false"};
      case FieldValue::Kind::kTimestamp: {
        std::string text = "\"";
        append_timestamp(value.integer, 6, &text);
        return {true, text + '"'};
      }
      case FieldValue::Kind::kNull:
      case FieldValue::Kind::kDouble:
        break;
    }
    return {};
  }

 private:
  bool known_ = false;
  std::optional<size_t> by_;
};

// Empty, or how the row differs. `further`: what the event has (JsonFields::further_members); `key`: what the
// row's must be, nullopt: it is not compared.
inline std::string differs_beside(const StoredRow& row, std::string_view further,
                                  const std::optional<RecordKey>& key) {
  auto shown = [](bool there, std::string_view text) {
    return there ? display(FieldValue::of_text(text)) : std::string("NULL");
  };
  if (row.further != further) {
    if (further.empty()) return row.further + " (added)";
    return "beside the fields is " + shown(!row.further.empty(), row.further) + " instead of " +
           shown(true, further);
  }
  if (key && (row.has_key != key->has || row.key != key->text))
    return "the key is " + shown(row.has_key, row.key) + " instead of " + shown(key->has, key->text);
  return {};
}

}  // namespace tidemill::verify
