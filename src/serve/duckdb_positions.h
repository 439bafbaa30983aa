// The table tidemill_positions: what each pipeline has committed to this database, per input
// partition, and who owns it. One row per (pipeline, topic, partition), made by the first takeover.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "duck/duck.h"
#include "pipeline/epoch.h"

namespace tidemill::serve {

std::string positions_table_sql();
Status create_positions_table(duck::Connection& connection);

// Raises the owner tokens. Inside the caller's transaction.
Status raise_owners(duck::Connection& connection, const std::string& pipeline,
                    std::span<const TopicPartition> sources);

// The compare-and-set of a commit: false where the row holds another position or owner. Inside the
// caller's transaction.
Result<bool> advance_position(duck::Connection& connection, const std::string& pipeline,
                              const pipeline::PartitionEpoch& epoch);

// In the order asked for; defaults where there is no row. Errors (kCorrupt): more than one row for a
// partition.
Result<std::vector<pipeline::Committed>> read_positions(duck::Connection& connection,
                                                        const std::string& pipeline,
                                                        std::span<const TopicPartition> sources);

}  // namespace tidemill::serve
