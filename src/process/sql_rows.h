// From batches to the table `input`, and from a result to batches.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "duck/duck.h"
#include "event/batch.h"

namespace tidemill::process {

// Fills an appender of `input` with the selected rows of batches.
class InputWriter {
 public:
  explicit InputWriter(const std::vector<Field>& fields) : fields_(fields) {}
  Status append(const Batch& batch, duck::Appender& appender);

 private:
  const std::vector<Field>& fields_;
};

// What the rows of a result have in common.
struct RowFrame {
  TopicPartition source;
  Offset offset;  // of the last event of the interval
  Position end;
  int64_t timestamp_ms = 0;
  int32_t key = -1;  // the column whose value is the key; -1: none
};

// The chunk that `rows` has loaded. Each row has the event's JSON and its columns.
BatchPtr make_rows_batch(const duck::Rows& rows, size_t count, const std::vector<Field>& columns,
                         const RowFrame& frame);

}  // namespace tidemill::process
