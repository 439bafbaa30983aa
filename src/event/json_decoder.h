// JSON events into columns: only the fields that were planned, in one pass, with simdjson.
//
// What makes an event malformed is the same whatever was planned: the whole text must be one JSON
// object (RFC 8259, no duplicate-key rule), valid UTF-8, at most kMaxJsonDepth deep (the object itself
// is 1 deep) and event_limit_bytes long; an escape that names half a surrogate pair is malformed.
// A planned field that is absent or JSON null is NULL where it is nullable and an error where not, and
// so is one inside an object that is absent or null; a value that is no object there is an error. A
// member that occurs twice counts by its first occurrence, whatever its value.
//
// The reason names the field and what is wrong ("deviceSequenceNumber: expected BIGINT, found a
// string"); malformed text comes before a wrong field, and the first wrong field in the text before
// missing ones (in the plan's order). A reason repeats at most about 100 bytes of the event.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "event/batch.h"
#include "event/schema.h"

namespace tidemill {

inline constexpr size_t kMaxJsonDepth = 64;
inline constexpr size_t kDefaultEventLimitBytes = 1 << 20;

// What to decode; made once when the pipeline is planned.
struct DecodePlan {
  std::vector<Field> fields;
  // Top-level member names that will be spliced in: events that already have one are noted, so that
  // the splice replaces it.
  std::vector<std::string> added_names;
  size_t event_limit_bytes = kDefaultEventLimitBytes;
};

// One per task; not thread-safe. Keeps buffers between batches.
class JsonDecoder {
 public:
  explicit JsonDecoder(DecodePlan plan);
  ~JsonDecoder();
  JsonDecoder(JsonDecoder&&) noexcept;

  // Decodes the selected records of `batch` into batch.columns (plan order, one row per record;
  // rows that are not selected are null). An event that cannot be decoded is taken out of
  // `selected` and put into batch.dead_letters with its reason.
  void decode(Batch& batch);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The slow, obvious decoder that the fast one is checked against: recursive descent, no SIMD, no
// planning. `columns` are as a plan's; appends one row or returns the reason (kInvalid) and appends
// nothing.
Status decode_json_slowly(const DecodePlan& plan, std::string_view text, std::vector<Column>* columns);

// Whether `text` is one JSON object as described above, of any length.
bool is_valid_json_object(std::string_view text);

}  // namespace tidemill
