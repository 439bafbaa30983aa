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

namespace tidemill::verify {

class InputDecoder {
 public:
  explicit InputDecoder(const Run& run)
      : run_(run),
        dedup_(run.request.topology.dedup),
        model_(dedup_),
        decoder_(specs(run), static_cast<size_t>(run.request.event_limit_bytes)),
        fields_(run.fields.size()) {}

  enum class Fate { kStored, kDropped, kDead, kUnsure };
  // Records of a partition in their order; new_partition() between partitions.
  Fate decide(const LogRecord& record, std::string* wrong) {
    if (run_.too_long(record)) return Fate::kDead;
    Decoded decoded =
        record.has_value ? decoder_.decode(record.value, &values_, &unreadable_, wrong) : Decoded::kMalformed;
    if (decoded == Decoded::kUnsure) return Fate::kUnsure;
    if (decoded == Decoded::kMalformed) return Fate::kDead;
    if (dedup_.kind == DedupKind::kNone) return in_folder(wrong);
    const std::string_view id = values_[fields_].text, key = values_[fields_ + 1].text;
    if (id.empty() || key.empty() || id == "null" || key == "null") return Fate::kDead;
    if (dedup_.ways == 0 && dedup_.key_type && !has_key(record, values_[fields_ + 2])) {
      *wrong = "its record has another key";
      // A filter may have dropped it before that.
      return run_.request.topology.filter ? Fate::kUnsure : Fate::kDead;
    }
    // Behind ways, whether it is a copy shows there.
    const bool copy = dedup_.ways == 0 && model_.seen(key, id, record.timestamp_ms);
    return copy ? Fate::kDropped : in_folder(wrong);
  }
  void new_partition() { model_.clear(); }
  // Of the last record decided: the event's fields.
  std::vector<FieldValue> values() const {
    return {values_.begin(),
            values_.begin() + static_cast<std::ptrdiff_t>(std::min(fields_, values_.size()))};
  }

 private:
  static bool has_key(const LogRecord& record, const FieldValue& key) {
    if (!record.has_key) return false;
    if (key.kind == FieldValue::Kind::kText) return record.key == key.text;
    return record.key == std::to_string(key.integer);
  }
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
  // The event's fields, then id and key where there is a dedup: as JSON, whatever their type; and what the
  // record's key has to be.
  static std::vector<FieldSpec> specs(const Run& run) {
    std::vector<FieldSpec> out = run.fields;
    const Dedup& dedup = run.request.topology.dedup;
    if (dedup.kind != DedupKind::kNone) {
      out.push_back({"id", dedup.id_path, FieldType::kJson, true});
      out.push_back({"key", dedup.key_path, FieldType::kJson, true});
      if (dedup.key_type) out.push_back({"record key", dedup.key_path, *dedup.key_type, true});
    }
    return out;
  }

  const Run& run_;
  Dedup dedup_;
  DedupModel model_;
  JsonFields decoder_;
  size_t fields_;
  std::vector<FieldValue> values_;
  std::vector<uint8_t> unreadable_;
};

}  // namespace tidemill::verify
