// From kept columns to DuckDB's data chunks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "duck/duck.h"
#include "event/batch.h"
#include "serve/duckdb_table.h"
#include "serve/event_json.h"

namespace tidemill::serve {

// The rows of one batch that are to be stored: its columns, without the records they came from.
class KeptRows {
 public:
  // Moves the columns out of the batch. `fields`: the schema's; a field without a column is NULL.
  KeptRows(Batch& batch, const std::vector<Field>& fields);

  // Consecutive rows that are all stored.
  struct Run {
    uint32_t first = 0;
    uint32_t count = 0;
  };
  const std::vector<Run>& runs() const { return runs_; }
  // Of a field of the schema; null: it has none.
  const Column* column(size_t field) const;
  size_t memory_bytes() const { return memory_bytes_; }

 private:
  std::vector<Column> columns_;
  std::vector<int32_t> of_field_;  // index into columns_, or -1
  std::vector<Run> runs_;
  size_t memory_bytes_ = 0;
};

// Cuts kept rows into chunks. Its calls must not overlap; both must outlive it.
class ChunkCutter {
 public:
  struct Slice {
    const KeptRows* kept = nullptr;
    KeptRows::Run run;
  };
  explicit ChunkCutter(const std::vector<KeptRows>& rows) : rows_(rows) {}
  // The next rows, `most` at most; returns how many, 0 at the end. Replaces what `slices` has.
  size_t next(size_t most, std::vector<Slice>* slices);

 private:
  const std::vector<KeptRows>& rows_;
  size_t kept_ = 0, run_ = 0;
  uint32_t in_run_ = 0;
};

// Fills the vectors of a table's columns. Thread-safe.
class ChunkFiller {
 public:
  explicit ChunkFiller(const TableLayout& layout);  // which must outlive it
  // `vectors`: one for each column of the layout; null: nobody reads it. `stored_at_us`: for the column of
  // that kind.
  void fill(const std::vector<ChunkCutter::Slice>& slices, int64_t stored_at_us,
            const std::vector<_duckdb_vector*>& vectors) const;

 private:
  const TableLayout& layout_;
  std::vector<JsonWriter> objects_;  // of the kJson columns, by column number
};

// Appends rows to a table of the layout, in whole chunks.
Status append_rows(const TableLayout& layout, const std::vector<KeptRows>& rows, int64_t stored_at_us,
                   duck::Appender& appender);

// Gives kept rows to statements of one connection as `FROM name()`, in the layout's columns: straight from
// the columns that events were decoded into, with no table between. Used by one thread at a time.
class RowFeed {
 public:
  // `threads`: how many threads of DuckDB may read large epochs at once; then they keep no order.
  static Result<std::unique_ptr<RowFeed>> open(duck::Connection& connection, const TableLayout& layout,
                                               size_t threads);
  const std::string& name() const { return name_; }
  // Rows for the statements to come; they must stay until take_back(), which ends a statement's use of them.
  void give(const std::vector<KeptRows>& rows, int64_t stored_at_us);
  void take_back();

 private:
  struct Shared;
  class Reader;
  RowFeed(std::string name, std::shared_ptr<Shared> shared)
      : name_(std::move(name)), shared_(std::move(shared)) {}
  const std::string name_;
  const std::shared_ptr<Shared> shared_;
};

// Appends dead letters to their table (duckdb_dead_letters_sql).
Status append_dead_letters(const std::vector<DeadLetter>& letters, int64_t stored_at_us,
                           duck::Appender& appender);
std::string duckdb_dead_letters_sql(const std::string& table);

}  // namespace tidemill::serve
