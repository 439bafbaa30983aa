// Sending an event to the dead letter.
#pragma once

#include <string>

#include "event/batch.h"

namespace tidemill::process {

// Adds the row, with its position, bytes and this reason, to batch.dead_letters; the caller leaves it out of
// batch.selected.
inline void add_dead_letter(Batch& batch, uint32_t row, std::string reason) {
  const Record& record = batch.records()[row];
  DeadLetter letter;
  letter.source = batch.source;
  letter.offset = record.offset;
  letter.timestamp_ms = record.timestamp_ms;
  letter.reason = std::move(reason);
  letter.key = record.key;
  letter.has_key = record.has_key;
  letter.has_value = record.has_value;
  letter.value = record.value;
  batch.dead_letters.push_back(std::move(letter));
}

}  // namespace tidemill::process
