// dedup: passes the first occurrence of an id within its key on and drops the later ones.
//
// Exact within its horizon, which is either the last N ids of each key, or a span of time by the
// log's append time (the records' timestamps). A duplicate makes its id the most recent again.
// State, memory and its format: docs/operators.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "pipeline/operator.h"

namespace tidemill::process {

struct DedupOptions {
  std::string id;   // field; empty: the schema's id_field
  std::string key;  // field; empty: the schema's key_field
  // At most one of the two; neither: last 100.
  std::optional<int64_t> last;        // ids of each key, 1 … 65535
  std::optional<int64_t> horizon_us;  // a whole number of milliseconds counts, >= 1 ms
  // Stops the pipeline at the first record whose key is not its key field's value: then copies of one event
  // could lie in different partitions. Off where the stream is known to be partitioned by the field.
  bool check_key = true;
};

// Errors: kUser, an option out of range or both horizons.
Result<std::unique_ptr<pipeline::Operator>> make_dedup(DedupOptions options);

}  // namespace tidemill::process
