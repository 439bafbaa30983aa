// Columns that operators add to a batch and that a JSON sink splices into the event.
#pragma once

#include <algorithm>
#include <utility>

#include "event/batch.h"

namespace tidemill::process {

// Puts the column (one row per record) into the batch, in place of one of the same name, and lists it
// in batch.added.
inline void add_column(Batch& batch, Column column) {
  TM_CHECK(column.size() == batch.size());
  size_t index = 0;
  while (index < batch.columns.size() && batch.columns[index].name() != column.name()) ++index;
  if (index == batch.columns.size()) {
    batch.columns.push_back(std::move(column));
  } else {
    batch.columns[index] = std::move(column);
  }
  auto added = static_cast<uint32_t>(index);
  if (std::find(batch.added.begin(), batch.added.end(), added) == batch.added.end())
    batch.added.push_back(added);
}

}  // namespace tidemill::process
