// Events that the harnesses feed to sinks: every type, nulls, nesting, hostile text; with records
// that become dead letters and records that are dropped in between. What becomes of a record is a
// function of its offset, so that whoever looks into a store can tell what it must hold.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "event/batch.h"
#include "event/schema.h"
#include "pipeline/sink.h"

namespace tidemill::pipeline::testing {

// id VARCHAR, n BIGINT, small INTEGER, ratio DOUBLE, flag BOOLEAN, at TIMESTAMP, text VARCHAR,
// any JSON, nested.a DOUBLE, nested.deep.b BIGINT; and processedAt TIMESTAMP, which an operator added.
Schema harness_schema();

enum class Fate { kStored, kDead, kDropped };
Fate harness_fate(Offset offset);

// The event of one record, as JSON text without the added field; its id is "<partition>/<offset>".
std::string harness_json(Partition partition, Offset offset);
std::string harness_key(Offset offset);
// The added field of one record.
TimestampUs harness_processed_at(Offset offset);
std::string harness_dead_reason(Offset offset);
std::string harness_dead_value(Offset offset);  // not JSON, not UTF-8, with line breaks

struct HarnessId {
  Partition partition;
  Offset offset;
  auto operator<=>(const HarnessId&) const = default;
};
// From an id, or from the JSON text of an event. nullopt: neither.
std::optional<HarnessId> parse_harness_id(std::string_view text);

// Records [first, first + count) of `source`, decoded as `needs` asks for it; `wire` chooses
// RecordBatch v2 bytes as backing, else views.
BatchPtr harness_batch(const TopicPartition& source, Offset first, size_t count, const SinkNeeds& needs,
                       bool wire);

}  // namespace tidemill::pipeline::testing
