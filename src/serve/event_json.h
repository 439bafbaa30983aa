// The JSON text of an event as sinks of JSON store it: its own bytes with the added members spliced
// in, or written anew from its columns.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "event/batch.h"
#include "event/json_splice.h"
#include "event/json_value.h"
#include "event/schema.h"

namespace tidemill::serve {

enum class JsonForm {
  kSplice,   // the event's bytes, unchanged but for the added members
  kRebuild,  // one member for each field of the sink's schema, in its order: events whose shape an operator
             // changed
};

// Where the field stands in the event: its path, or its name at the top.
std::vector<std::string> member_path(const Field& field);

// Writes the columns of a row as one JSON object. Fields whose paths share their first members are
// written as one nested object, where the first of them stands. NULL is null; doubles have the
// fewest digits that read back to the same bits; timestamps 6 fraction digits and Z.
class JsonWriter {
 public:
  JsonWriter() = default;
  explicit JsonWriter(const std::vector<Field>& fields);
  // `columns[i]` is that of fields[i]; null: the field is written as null.
  void append(const std::vector<const Column*>& columns, uint32_t row, std::string* out) const;

 private:
  struct Step {
    std::string before;  // "{\"a\":", ",\"b\":{\"c\":": punctuation and names up to the value
    size_t field = 0;
  };
  std::vector<Step> steps_;
  std::string after_;
};

// Used by one thread.
class EventJson {
 public:
  // `fields`: those of the sink's schema.
  EventJson(JsonForm form, std::vector<Field> fields);

  // Before the rows of a batch, which must not change until the last of them.
  void begin(const Batch& batch);
  struct Parts {
    std::array<std::string_view, 2> parts;
    size_t count = 0;  // 0: the event has no value (a tombstone)
    size_t size_bytes() const;
  };
  // Rows in ascending order. The views hold until the next call.
  Parts value(uint32_t row);

 private:
  const JsonForm form_;
  const std::vector<Field> fields_;
  const JsonWriter writer_;
  const Batch* batch_ = nullptr;
  std::vector<const Column*> columns_;
  std::vector<std::string_view> added_names_;
  AddedMembers added_;
  size_t replaced_at_ = 0;  // in batch_->has_added_member
  std::string members_;
  std::string cut_;
};

}  // namespace tidemill::serve
