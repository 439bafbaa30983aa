// PostgreSQL as a sink: a table of rows with typed columns, its dead letters beside it, and the positions in
// the same transaction. Page: docs/connectors/postgres.md.
//
// Each task commits on a connection of its own. Rows are encoded while the epoch is read, and go by COPY:
// into the table, or, by key, into a temporary one and from there. A takeover raises the owner token under
// the lock of the positions' rows, which waits for a commit that is about to end; a former owner's
// transaction that goes on after that is ended at the server, so that its locks are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "pg/connection.h"
#include "pipeline/sink.h"
#include "serve/postgres_positions.h"
#include "serve/postgres_table.h"

namespace tidemill::serve {

struct PostgresSinkOptions {
  pg::Options connection;
  std::string pipeline;  // under which positions are kept
  std::string source;    // what the topic is a topic of; see PostgresPositions
  PostgresTableOptions table;
  std::string dead_table;  // empty: <table>_dead_letters; in the table's schema
};

// Thread-safe. It must outlive its writers.
class PostgresSink final : public pipeline::Sink {
 public:
  // Nothing is connected before prepare().
  PostgresSink(Clock& clock, PostgresSinkOptions options);

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  Status prepare(const Schema& schema) override;
  Result<std::vector<pipeline::Ddl>> ddl(const Schema& schema) const override;
  void screen(Batch& batch) const override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class PostgresWriter;
  friend class PostgresOutput;

  // For SQL. Errors: it would be the table itself.
  Result<std::string> dead_table_of(const PostgresTable& table) const;
  PostgresPositions positions_of(const PostgresTable& table) const;

  Clock& clock_;
  const PostgresSinkOptions options_;
  std::vector<Field> fields_;
  PostgresTable table_;
  std::string dead_table_;  // for SQL
  std::unique_ptr<PostgresPositions> positions_;
};

}  // namespace tidemill::serve
