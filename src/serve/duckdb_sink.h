// DuckDB as a sink: a table of rows with typed columns, its dead letters beside it, and the
// positions in the same transaction. Page: docs/connectors/duckdb.md.
//
// Each task commits on a connection of its own: transactions of several tasks append to the table
// side by side, and only meet where they end. That takes the same CPU time per row as one connection for
// all, and uses every core. A takeover waits until no commit is under way in this process; between
// processes DuckDB's own lock on the file is the fence (design point 2).
#pragma once

#include <atomic>
#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "duck/duck.h"
#include "pipeline/sink.h"
#include "serve/duckdb_table.h"

namespace tidemill::serve {

struct DuckDbStoreOptions {
  std::string path;  // of the database file
  int64_t memory_limit_bytes = 1ll << 30;
  int32_t threads = 2;
  // How large DuckDB's write-ahead log grows before a commit writes it into the database file, where the sink
  // has not done so before: of wide events. A larger one makes such pauses rarer and longer, and a restart
  // after a crash slower.
  int64_t checkpoint_bytes = 64ll << 20;
  int64_t spill_bytes = 4ll << 30;  // of the disk, for what does not fit into the memory
};
// Opens the database for sinks, queries and reports of one process. Errors: duck::Database::open's.
Result<std::shared_ptr<duck::Database>> open_duckdb_store(const DuckDbStoreOptions& options);

struct DuckDbSinkOptions {
  std::string pipeline;  // under which positions are kept
  TableOptions table;
  std::string dead_table;  // empty: <table>_dead_letters
  std::string path;        // of the database, for messages
};

// Thread-safe. It must outlive its writers.
class DuckDbSink final : public pipeline::Sink {
 public:
  DuckDbSink(std::shared_ptr<duck::Database> database, Clock& clock, DuckDbSinkOptions options);

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  Status prepare(const Schema& schema) override;
  Result<std::vector<pipeline::Ddl>> ddl(const Schema& schema) const override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class DuckDbWriter;
  friend class DuckDbOutput;

  Result<TableLayout> layout_of(const Schema& schema) const;

  std::shared_ptr<duck::Database> database_;
  Clock& clock_;
  const DuckDbSinkOptions options_;
  std::vector<Field> fields_;
  TableLayout layout_;
  std::string dead_table_;
  std::shared_mutex takeover_;  // commits share it
  // In the table's last row group at first, and inserted since.
  std::atomic<uint64_t> log_rows_{0};
};

}  // namespace tidemill::serve
