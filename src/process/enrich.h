// enrich: adds to every event where and when it came.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "pipeline/operator.h"

namespace tidemill::process {

enum class EnrichKind {
  kEnqueuedAt,   // TIMESTAMP: when the log took it in (the record's timestamp); NULL where it has none
  kProcessedAt,  // TIMESTAMP: the wall clock when its batch was taken up
  kPartition,    // INTEGER: of the source's topic
  kOffset,       // BIGINT
};

struct EnrichField {
  EnrichKind kind = EnrichKind::kEnqueuedAt;
  std::string name;  // empty: enqueuedAt, processedAt, partition, offset
};

// The kind by its default name. Errors: kUser, with the nearest name.
Result<EnrichKind> parse_enrich_kind(std::string_view name);

// In this order they are added to the event. Errors: kUser (no field, or the same name twice).
Result<std::unique_ptr<pipeline::Operator>> make_enrich(std::vector<EnrichField> fields);

}  // namespace tidemill::process
