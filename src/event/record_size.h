// How much room a record takes in a RecordBatch v2, before it is added to one.
#pragma once

#include <cstddef>

namespace tidemill {

// Of length, attributes, timestamp, offset, the sizes of key and value, and no headers; at most.
inline constexpr size_t kRecordOverheadBytes = 48;

constexpr size_t most_record_bytes(size_t key, size_t value, size_t headers) {
  return kRecordOverheadBytes + key + value + headers;
}

}  // namespace tidemill
