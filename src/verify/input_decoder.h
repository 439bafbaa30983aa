// What becomes of an input record, by the verifier's own decoding: stored, dropped as a copy, or a
// dead letter.
#pragma once

#include <string>
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
    if (dedup_.kind == DedupKind::kNone) return Fate::kStored;
    const std::string_view id = values_[fields_].text, key = values_[fields_ + 1].text;
    if (id.empty() || key.empty() || id == "null" || key == "null") return Fate::kDead;
    if (dedup_.ways > 0) return Fate::kStored;  // whether it is a copy shows on its way
    return model_.seen(key, id, record.timestamp_ms) ? Fate::kDropped : Fate::kStored;
  }
  void new_partition() { model_.clear(); }
  // Of the last record decided: the event's fields.
  std::vector<FieldValue> values() const {
    return {values_.begin(),
            values_.begin() + static_cast<std::ptrdiff_t>(std::min(fields_, values_.size()))};
  }

 private:
  // The event's fields, then id and key where there is a dedup: as JSON, whatever their type.
  static std::vector<FieldSpec> specs(const Run& run) {
    std::vector<FieldSpec> out = run.fields;
    const Dedup& dedup = run.request.topology.dedup;
    if (dedup.kind != DedupKind::kNone) {
      out.push_back({"id", dedup.id_path, FieldType::kJson, true});
      out.push_back({"key", dedup.key_path, FieldType::kJson, true});
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
