// What becomes of an input record, by the verifier's own decoding: stored, dropped as a copy, or a
// dead letter.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "verify/dedup_model.h"
#include "verify/json_fields.h"
#include "verify/run.h"
#include "verify/stored_json.h"

namespace tidemill::verify {

// The fields that a dedup compares: id and key. Of the type that the event's field has: a time can be written
// in several ways.
inline std::vector<FieldSpec> dedup_specs(const Run& run) {
  const Dedup& dedup = run.request.topology.dedup;
  std::vector<FieldSpec> out{{"id", dedup.id_path, FieldType::kJson, true},
                             {"key", dedup.key_path, FieldType::kJson, true}};
  for (FieldSpec& spec : out) {
    for (const FieldSpec& field : run.fields) {
      if (field.path == spec.path) spec.type = field.type;
    }
  }
  if (dedup.key_type) out[1].type = *dedup.key_type;
  return out;
}
// Equal where a dedup takes two values for the same.
inline std::string dedup_text(const FieldValue& value) {
  return value.kind == FieldValue::Kind::kText ? std::string(value.text) : std::to_string(value.integer);
}

class InputDecoder {
 public:
  explicit InputDecoder(const Run& run)
      : run_(run),
        dedup_(run.request.topology.dedup),
        model_(dedup_),
        decoder_(specs(run), static_cast<size_t>(run.request.event_limit_bytes)),
        fields_(run.fields.size()),
        added_(JsonLayout(run.request.store.columns, run.request.store.added_members).added) {}

  enum class Fate { kStored, kDropped, kDead, kUnsure };
  // Records of a partition in their order; new_partition() between partitions.
  Fate decide(const LogRecord& record, std::string* wrong) {
    if (run_.too_long(record)) return Fate::kDead;
    Decoded decoded =
        record.has_value ? decoder_.decode(record.value, &values_, &unreadable_, wrong) : Decoded::kMalformed;
    if (decoded == Decoded::kUnsure) return Fate::kUnsure;
    if (decoded == Decoded::kMalformed) return Fate::kDead;
    if (dedup_.kind == DedupKind::kNone) return in_folder(wrong);
    const FieldValue &id = values_[fields_], &key = values_[fields_ + 1];
    if (id.kind == FieldValue::Kind::kNull || key.kind == FieldValue::Kind::kNull) return Fate::kDead;
    if (dedup_.ways == 0 && dedup_.key_type && (!record.has_key || record.key != dedup_text(key))) {
      *wrong = "its record has another key";
      // A filter may have dropped it before that.
      return run_.request.topology.filter ? Fate::kUnsure : Fate::kDead;
    }
    // Behind ways, whether it is a copy shows there.
    const bool copy = dedup_.ways == 0 && model_.seen(dedup_text(key), dedup_text(id), record.timestamp_ms);
    return copy ? Fate::kDropped : in_folder(wrong);
  }
  void new_partition() { model_.clear(); }
  // Of the last record decided: the event's fields.
  std::vector<FieldValue> values() const {
    return {values_.begin(),
            values_.begin() + static_cast<std::ptrdiff_t>(std::min(fields_, values_.size()))};
  }
  // Of the last record decided, as rows of the store have it: StoredRow::further.
  std::string further() const {
    return run_.rows->shape().whole ? decoder_.further_members(added_, true) : std::string();
  }

 private:
  // What the store makes of texts that are to name folders.
  Fate in_folder(std::string* wrong) {
    for (size_t f = 0; f < fields_ && !run_.folders.names.empty(); ++f) {
      const FieldSpec& spec = run_.fields[f];
      const auto& names = run_.folders.names;
      if (spec.type != FieldType::kText || values_[f].kind != FieldValue::Kind::kText ||
          std::find(names.begin(), names.end(), spec.name) == names.end())
        continue;
      if (values_[f].text.empty()) {
        values_[f] = {};
      } else if (!names_folder(spec.name, values_[f].text, run_.folders.name_is_value)) {
        *wrong = spec.name + " names no folder";
        // A filter may have dropped it before that.
        return run_.request.topology.filter ? Fate::kUnsure : Fate::kDead;
      }
    }
    return Fate::kStored;
  }
  // Of 255 bytes at most, where all but [A-Za-z0-9_.~-] are three; DuckDB reads "null" as NULL.
  static bool names_folder(std::string_view column, std::string_view text, bool name_is_value) {
    size_t bytes = 1;
    std::string lower;
    for (std::string_view part : {column, text}) {
      lower.clear();
      for (char c : part) {
        const char small = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
        const bool plain = (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9');
        bytes += plain || std::string_view("_.~-").find(c) != std::string_view::npos ? 1 : 3;
        if (lower.size() < 5) lower += small;
      }
    }
    if (bytes > 255) return false;
    return !name_is_value || (lower != "null" && text != "__HIVE_DEFAULT_PARTITION__");
  }
  // The event's fields, then id and key where there is a dedup.
  static std::vector<FieldSpec> specs(const Run& run) {
    std::vector<FieldSpec> out = run.fields;
    if (run.request.topology.dedup.kind == DedupKind::kNone) return out;
    for (FieldSpec& spec : dedup_specs(run)) out.push_back(std::move(spec));
    return out;
  }

  const Run& run_;
  Dedup dedup_;
  DedupModel model_;
  JsonFields decoder_;
  size_t fields_;
  std::vector<FieldValue> values_;
  std::vector<uint8_t> unreadable_;
  std::vector<std::string> added_;
};

}  // namespace tidemill::verify
