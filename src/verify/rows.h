// What a store holds, row by row: the verifier's view of it, behind which DuckDB or a topic stands.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "verify/fields.h"

namespace tidemill::verify {

// One stored row, in the order in which the store took it in. Borrowed until the reader's next().
struct StoredRow {
  std::vector<FieldValue> fields;   // as the reader was asked for
  std::vector<uint8_t> unreadable;  // per field, 1 where the store holds something of another type
  std::string wrong;                // empty, or why the row is not what it should be
  std::string further;              // of JSON: JsonFields::further_members()
  bool has_key = false;             // of a topic: the record's
  std::string_view key;
  std::optional<int32_t> partition;
  std::optional<int64_t> offset;
  std::optional<int64_t> enqueued_us;
  std::optional<int64_t> stored_us;
  int32_t output_partition = 0;  // of a topic; of files: of the input
  int64_t place = 0;             // the row's number, its offset in the output topic, its line in the file
  std::string_view file;         // of files: where the line stands
};

class StoredRows {
 public:
  virtual ~StoredRows() = default;
  // False at the end.
  virtual Result<bool> next(StoredRow* row) = 0;
};

struct StoreShape {
  bool whole = false;      // rows keep the members that no field names
  bool keys = false;       // rows have keys
  bool positions = false;  // rows carry the input's partition and offset
  bool enqueued_at = false;
  bool stored_at = false;
  bool unordered = false;          // nobody can tell in which order the rows were stored
  bool in_order = false;           // the rows of an output partition stand in the order of the input's
  std::vector<uint8_t> has_field;  // per field asked for
  std::vector<Narrowing> narrows;  // the same; empty: none is narrowed

  // What the store must hold of an event's value. A text that was made for it is in `texts`.
  FieldValue as_stored(size_t field, const FieldValue& value, std::deque<std::string>* texts) const {
    return narrows.empty() ? value : narrowed(value, narrows[field], texts);
  }
};

// A store that can be gone through any number of times.
class RowStore {
 public:
  virtual ~RowStore() = default;
  virtual const StoreShape& shape() const = 0;
  // Without `with_fields` only the first field (the id), the positions and the times are filled for certain.
  virtual Result<std::unique_ptr<StoredRows>> rows(bool with_fields) = 0;
  virtual std::string describe(const StoredRow& row) const = 0;  // "row 17", "out-0 offset 17"
};

struct DeadLetter {
  std::string_view topic;
  int32_t partition = -1;
  int64_t offset = -1;
  std::string_view reason;
  std::string_view value;
  std::optional<uint64_t> whole_bytes;  // of a value that was cut, as the topic could not hold all of it
  bool holds(std::string_view event) const {
    if (!whole_bytes) return event == value;
    return *whole_bytes == event.size() && !value.empty() && event.starts_with(value);
  }
};

class DeadLetterRows {
 public:
  virtual ~DeadLetterRows() = default;
  virtual Result<bool> next(DeadLetter* letter) = 0;  // borrowed until the next call
};

class DeadLetterStore {
 public:
  virtual ~DeadLetterStore() = default;
  virtual Result<std::unique_ptr<DeadLetterRows>> rows() = 0;
};

}  // namespace tidemill::verify
