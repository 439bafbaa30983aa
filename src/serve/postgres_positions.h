// The table tidemill_positions: what each pipeline has committed to this schema, per input partition, and who
// owns it. One row per (pipeline, topic, partition), made by the first takeover.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "pg/connection.h"
#include "pipeline/epoch.h"

namespace tidemill::serve {

class PostgresPositions {
 public:
  // `table`: its name for SQL. `source`: what the topic is a topic of; positions of another source of the
  // same name mean nothing here.
  PostgresPositions(std::string table, std::string pipeline, std::string source)
      : table_(std::move(table)), pipeline_(std::move(pipeline)), source_(std::move(source)) {}

  Status create(pg::Connection& connection) const;
  std::string create_sql() const;

  struct Takeover {
    std::vector<pipeline::Committed> held;  // in the order asked for, with the raised tokens
    std::vector<int64_t> former;            // server processes of the owners before; 0: none
  };
  // Raises the owner tokens in a transaction of its own, and reads under its locks: a commit that holds them
  // is waited for. Errors: kUser where the rows are of another source.
  Result<Takeover> take_over(pg::Connection& connection, std::span<const TopicPartition> sources) const;

  // The compare-and-set of a commit: the number of partitions that were advanced. Inside the caller's
  // transaction.
  Result<size_t> advance(pg::Connection& connection, std::span<const pipeline::PartitionEpoch> parts) const;

  // In the order asked for; defaults where there is no row. `wait`: for the transactions that hold the rows.
  Result<std::vector<pipeline::Committed>> read(pg::Connection& connection,
                                                std::span<const TopicPartition> sources, bool wait) const;

 private:
  std::string where(std::span<const TopicPartition> sources) const;
  Result<Takeover> raise(pg::Connection& connection, std::span<const TopicPartition> sources) const;
  Result<Takeover> select(pg::Connection& connection, std::span<const TopicPartition> sources,
                          bool lock) const;

  const std::string table_;
  const std::string pipeline_;
  const std::string source_;
};

}  // namespace tidemill::serve
