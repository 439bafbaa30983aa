#include "serve/duckdb_positions.h"

namespace tidemill::serve {

using duck::Value;
using pipeline::Committed;

namespace {

constexpr const char* kWhere = " WHERE pipeline = ? AND topic = ? AND \"partition\" = ?";

Value integer(int64_t value) {
  return Value::of(value);
}
Value count(uint64_t value) {
  return Value::of(static_cast<int64_t>(value));
}

}  // namespace

// Without a primary key: its index would make every update a delete and an insert. Rows are made
// under the takeover's lock, and read_positions() checks.
std::string positions_table_sql() {
  return "CREATE TABLE IF NOT EXISTS tidemill_positions (pipeline VARCHAR NOT NULL, topic VARCHAR NOT NULL, "
         "\"partition\" INTEGER NOT NULL, owner INTEGER NOT NULL, next_offset BIGINT, leader_epoch INTEGER, "
         "epoch BIGINT NOT NULL, incarnation INTEGER NOT NULL, \"read\" BIGINT NOT NULL, stored BIGINT NOT "
         "NULL, "
         "dead BIGINT NOT NULL, dropped BIGINT NOT NULL)";
}

Status create_positions_table(duck::Connection& connection) {
  TM_TRY(connection.execute(positions_table_sql()));
  return {};
}

Status raise_owners(duck::Connection& connection, const std::string& pipeline,
                    std::span<const TopicPartition> sources) {
  for (const TopicPartition& source : sources) {
    std::vector<Value> key = {Value::of(pipeline), Value::of(source.topic),
                              integer(source.partition.value())};
    TM_ASSIGN(
        int64_t changed,
        connection.execute(std::string("UPDATE tidemill_positions SET owner = owner + 1") + kWhere, key));
    if (changed > 0) continue;
    TM_TRY(connection.execute(
        "INSERT INTO tidemill_positions VALUES (?, ?, ?, 1, NULL, NULL, 0, 0, 0, 0, 0, 0)", key));
  }
  return {};
}

Result<bool> advance_position(duck::Connection& connection, const std::string& pipeline,
                              const pipeline::PartitionEpoch& epoch) {
  std::vector<Value> values = {integer(epoch.next.offset.value()),
                               integer(epoch.next.leader_epoch.value()),
                               integer(epoch.epoch.value()),
                               integer(epoch.owner.value()),
                               count(epoch.counters.read),
                               count(epoch.counters.stored),
                               count(epoch.counters.dead),
                               count(epoch.counters.dropped),
                               Value::of(pipeline),
                               Value::of(epoch.source.topic),
                               integer(epoch.source.partition.value()),
                               integer(epoch.owner.value())};
  std::string sql =
      "UPDATE tidemill_positions SET next_offset = ?, leader_epoch = ?, epoch = ?, incarnation = ?, "
      "\"read\" = ?, stored = ?, dead = ?, dropped = ?";
  sql += kWhere;
  sql += " AND owner = ? AND next_offset ";
  if (epoch.expected) {
    sql += "= ? AND leader_epoch = ?";
    values.push_back(integer(epoch.expected->offset.value()));
    values.push_back(integer(epoch.expected->leader_epoch.value()));
  } else {
    sql += "IS NULL";
  }
  TM_ASSIGN(int64_t changed, connection.execute(sql, values));
  TM_CHECK(changed <= 1, "a partition has one row");
  return changed == 1;
}

Result<std::vector<Committed>> read_positions(duck::Connection& connection, const std::string& pipeline,
                                              std::span<const TopicPartition> sources) {
  std::vector<Committed> result;
  for (const TopicPartition& source : sources) {
    TM_ASSIGN(
        auto rows,
        connection.query(std::string("SELECT owner, next_offset, leader_epoch, epoch, incarnation, \"read\", "
                                     "stored, dead, dropped FROM tidemill_positions") +
                             kWhere,
                         {Value::of(pipeline), Value::of(source.topic), integer(source.partition.value())}));
    TM_ASSIGN(size_t found, rows->next());
    if (found > 1) {
      return internal_error("tidemill_positions has " + std::to_string(found) + " rows for " + pipeline +
                                ", " + source.to_string() + "; there must be one",
                            Code::kCorrupt);
    }
    Committed one;
    if (found == 1) {
      auto small = [&](size_t column) { return static_cast<int32_t>(rows->integer(column, 0)); };
      auto counter = [&](size_t column) { return static_cast<uint64_t>(rows->integer(column, 0)); };
      one.owner = pipeline::Incarnation(small(0));
      if (!rows->is_null(1, 0)) one.position = {Offset(rows->integer(1, 0)), LeaderEpoch(small(2))};
      one.epoch = pipeline::Epoch(rows->integer(3, 0));
      one.incarnation = pipeline::Incarnation(small(4));
      one.counters = {counter(5), counter(6), counter(7), counter(8)};
    }
    result.push_back(one);
  }
  return result;
}

}  // namespace tidemill::serve
