#include "serve/postgres_positions.h"

#include <algorithm>
#include <map>

namespace tidemill::serve {

using pg::quote_literal;
using pipeline::Committed;
using pipeline::PartitionEpoch;

namespace {

// Of a takeover that waits for another owner's transaction.
constexpr const char* kLockTimeout = "SET LOCAL lock_timeout = '20s'";

std::string number(int64_t value) {
  return std::to_string(value);
}
std::string number(uint64_t value) {
  return std::to_string(static_cast<int64_t>(value));
}
std::string row_of(const TopicPartition& source) {
  return quote_literal(source.topic) + ", " + std::to_string(source.partition.value());
}

// Runs `body` in a transaction.
template <class Body>
auto in_transaction(pg::Connection& connection, const Body& body) -> decltype(body()) {
  TM_TRY(connection.execute("BEGIN"));
  auto result = body();
  if (!result.ok()) {
    (void)connection.execute("ROLLBACK").ok();
    return result;
  }
  Status committed = connection.commit();
  if (committed.ok()) return result;
  Error error = std::move(committed).error();
  // Whether the token rose or not, raising it again does no harm.
  if (error.code == Code::kUnknown) {
    error.code = Code::kFailed;
    error.retryable = true;
  }
  return error;
}

}  // namespace

std::string PostgresPositions::create_sql() const {
  return "CREATE TABLE IF NOT EXISTS " + table_ +
         " (pipeline text NOT NULL, topic text NOT NULL, \"partition\" integer NOT NULL, "
         "source text NOT NULL, owner integer NOT NULL, backend integer NOT NULL, next_offset bigint, "
         "leader_epoch integer, epoch bigint NOT NULL, incarnation integer NOT NULL, \"read\" bigint NOT "
         "NULL, "
         "stored bigint NOT NULL, dead bigint NOT NULL, dropped bigint NOT NULL, "
         "PRIMARY KEY (pipeline, topic, \"partition\")) WITH (fillfactor = 50)";
}

Status PostgresPositions::create(pg::Connection& connection) const {
  TM_TRY(connection.execute(create_sql()));
  return {};
}

std::string PostgresPositions::where(std::span<const TopicPartition> sources) const {
  std::string rows;
  for (const TopicPartition& source : sources) rows += (rows.empty() ? "(" : ", (") + row_of(source) + ")";
  return " WHERE pipeline = " + quote_literal(pipeline_) + " AND (topic, \"partition\") IN (" + rows + ")";
}

Result<PostgresPositions::Takeover> PostgresPositions::select(pg::Connection& connection,
                                                              std::span<const TopicPartition> sources,
                                                              bool lock) const {
  Takeover result;
  result.held.resize(sources.size());
  result.former.resize(sources.size());
  if (sources.empty()) return result;
  TM_ASSIGN(pg::Answer answer,
            connection.execute(
                "SELECT topic, \"partition\", owner, next_offset, leader_epoch, epoch, incarnation, "
                "\"read\", stored, dead, dropped, backend, source FROM " +
                table_ + where(sources) + " ORDER BY topic, \"partition\"" + (lock ? " FOR UPDATE" : "")));
  for (size_t r = 0; r < answer.rows(); ++r) {
    const TopicPartition source{std::string(answer.text(r, 0)),
                                Partition(static_cast<int32_t>(answer.integer(r, 1)))};
    const auto at = std::find(sources.begin(), sources.end(), source) - sources.begin();
    if (answer.text(r, 12) != source_) {
      return user_error(table_ + " has positions of pipeline " + pipeline_ + ", topic " + source.topic +
                        " of " + std::string(answer.text(r, 12)) + ", but what is read is of " + source_ +
                        "; give the solution another name, or forget them and its rows: DELETE FROM " +
                        table_ + " WHERE pipeline = " + quote_literal(pipeline_));
    }
    auto small = [&](size_t column) { return static_cast<int32_t>(answer.integer(r, column)); };
    auto counter = [&](size_t column) { return static_cast<uint64_t>(answer.integer(r, column)); };
    Committed& one = result.held[static_cast<size_t>(at)];
    one.owner = pipeline::Incarnation(small(2));
    if (!answer.is_null(r, 3)) one.position = {Offset(answer.integer(r, 3)), LeaderEpoch(small(4))};
    one.epoch = pipeline::Epoch(answer.integer(r, 5));
    one.incarnation = pipeline::Incarnation(small(6));
    one.counters = {counter(7), counter(8), counter(9), counter(10)};
    result.former[static_cast<size_t>(at)] = answer.integer(r, 11);
  }
  return result;
}

Result<PostgresPositions::Takeover> PostgresPositions::raise(pg::Connection& connection,
                                                             std::span<const TopicPartition> sources) const {
  TM_TRY(connection.execute(kLockTimeout));
  std::string rows;
  for (const TopicPartition& source : sources) {
    rows += (rows.empty() ? "(" : ", (") + quote_literal(pipeline_) + ", " + row_of(source) + ", " +
            quote_literal(source_) + ", 0, 0, 0, 0, 0, 0, 0, 0)";
  }
  TM_TRY(connection.execute("INSERT INTO " + table_ +
                            " (pipeline, topic, \"partition\", source, owner, backend, epoch, incarnation, "
                            "\"read\", stored, dead, dropped) VALUES " +
                            rows + " ON CONFLICT DO NOTHING"));
  // This waits out whoever is about to commit; what it reads cannot change before the tokens are raised.
  TM_ASSIGN(Takeover result, select(connection, sources, true));
  TM_TRY(connection.execute("UPDATE " + table_ + " SET owner = owner + 1, backend = pg_backend_pid()" +
                            where(sources)));
  for (Committed& one : result.held) one.owner = one.owner.next();
  return result;
}

Result<PostgresPositions::Takeover> PostgresPositions::take_over(
    pg::Connection& connection, std::span<const TopicPartition> sources) const {
  if (sources.empty()) return Takeover{};
  return in_transaction(connection, [&] { return raise(connection, sources); });
}

Result<size_t> PostgresPositions::advance(pg::Connection& connection,
                                          std::span<const PartitionEpoch> parts) const {
  if (parts.empty()) return size_t{0};
  std::string rows;
  for (const PartitionEpoch& part : parts) {
    rows += rows.empty() ? "(" : ", (";
    rows += row_of(part.source) + ", " + number(int64_t{part.owner.value()}) + ", ";
    if (part.expected) {
      rows += number(part.expected->offset.value()) + "::bigint, " +
              number(int64_t{part.expected->leader_epoch.value()}) + "::integer, ";
    } else {
      rows += "NULL::bigint, NULL::integer, ";
    }
    rows += number(part.next.offset.value()) + "::bigint, " +
            number(int64_t{part.next.leader_epoch.value()}) + ", " + number(part.epoch.value()) +
            "::bigint, ";
    const pipeline::Counters& c = part.counters;
    rows += number(c.read) + "::bigint, " + number(c.stored) + "::bigint, " + number(c.dead) + "::bigint, " +
            number(c.dropped) + "::bigint)";
  }
  TM_ASSIGN(
      pg::Answer answer,
      connection.execute(
          "UPDATE " + table_ +
          " AS p SET next_offset = n.next_offset, leader_epoch = n.leader_epoch, epoch = n.epoch, "
          "incarnation = n.owner, \"read\" = n.\"read\", stored = n.stored, dead = n.dead, dropped = "
          "n.dropped, backend = pg_backend_pid() FROM (VALUES " +
          rows +
          ") AS n (topic, \"partition\", owner, old_offset, old_leader_epoch, next_offset, leader_epoch, "
          "epoch, \"read\", stored, dead, dropped) WHERE p.pipeline = " +
          quote_literal(pipeline_) +
          " AND p.topic = n.topic AND p.\"partition\" = n.\"partition\" AND p.owner = n.owner AND "
          "p.next_offset IS NOT DISTINCT FROM n.old_offset AND p.leader_epoch IS NOT DISTINCT FROM "
          "n.old_leader_epoch"));
  return static_cast<size_t>(answer.affected());
}

Result<std::vector<Committed>> PostgresPositions::read(pg::Connection& connection,
                                                       std::span<const TopicPartition> sources,
                                                       bool wait) const {
  if (!wait) {
    TM_ASSIGN(Takeover found, select(connection, sources, false));
    return std::move(found.held);
  }
  auto locked = in_transaction(connection, [&]() -> Result<Takeover> {
    TM_TRY(connection.execute(kLockTimeout));
    return select(connection, sources, true);
  });
  if (!locked.ok()) return std::move(locked).error();
  return std::move(locked->held);
}

}  // namespace tidemill::serve
