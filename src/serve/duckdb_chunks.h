// From kept columns to DuckDB's data chunks.
#pragma once

#include <cstdint>
#include <string>
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

// Fills whole chunks and appends them. Used once per commit.
class ChunkWriter {
 public:
  // Both must outlive it.
  ChunkWriter(const TableLayout& layout, duck::Appender& appender);
  // `stored_at_us`: for the column of that kind.
  Status append(const std::vector<KeptRows>& kept, int64_t stored_at_us);

 private:
  struct Slice {
    const KeptRows* kept = nullptr;
    KeptRows::Run run;
  };
  Status append_chunk(int64_t stored_at_us);

  const TableLayout& layout_;
  duck::Appender& appender_;
  std::vector<JsonWriter> objects_;  // of the kJson columns, by column number
  std::vector<Slice> slices_;        // of the chunk that is being gathered
  size_t rows_ = 0;
};

// Appends dead letters to their table (duckdb_dead_letters_sql).
Status append_dead_letters(const std::vector<DeadLetter>& letters, int64_t stored_at_us,
                           duck::Appender& appender);
std::string duckdb_dead_letters_sql(const std::string& table);

}  // namespace tidemill::serve
