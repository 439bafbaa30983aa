// Rows to Parquet files, through DuckDB: for the sinks whose stores are folders of such files.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "duck/duck.h"
#include "event/batch.h"
#include "serve/duckdb_chunks.h"
#include "serve/duckdb_table.h"

namespace tidemill::serve {

// A written file, whole but not yet durable.
struct ParquetFile {
  std::string name;  // below the folder: "type=TEMP/<stem>.parquet"
  std::map<std::string, std::optional<std::string>> partition;
  int64_t rows = 0;
  int64_t size_bytes = 0;
  // {"numRecords":…,"minValues":{…},"maxValues":{…},"nullCount":{…}}, as Delta Lake has it. A value that
  // would not be exact, or long, is left out.
  std::string stats;
};

// The columns that files have: times as instants (TIMESTAMP WITH TIME ZONE, UTC), JSON as text.
// Errors (kUser): make_table_layout's; names or a partition column that such a table cannot have.
// `section`: of the settings, for messages.
Result<TableLayout> make_parquet_layout(const Schema& schema, const TableOptions& options,
                                        const std::vector<std::string>& partition_by,
                                        const std::string& section);

struct ParquetOptions {
  std::vector<std::string> partition_by;  // columns
  std::string folder;
  std::string codec = "snappy";  // as DuckDB calls it
  std::string extension = "parquet";
  std::string select = "*";  // what of the layout's columns write() writes, in SQL
  // Of DuckDB, for write() of many rows; more than one keeps no order, and takes a database that need not
  // (preserve_insertion_order).
  size_t threads = 1;
};

// Used by one thread at a time.
class ParquetWriter {
 public:
  // Both must outlive it.
  ParquetWriter(duck::Connection& connection, const TableLayout& layout, ParquetOptions options);
  Status prepare();
  void set_folder(std::string folder) { options_.folder = std::move(folder); }
  // One file, or one of each partition of the rows. `stem`: no file below the folder has it.
  Result<std::vector<ParquetFile>> write(const std::vector<KeptRows>& rows, int64_t stored_at_us,
                                         const std::string& stem);
  // The same of what a query gives, in its order, as columns of the layout.
  Result<std::vector<ParquetFile>> write_query(const std::string& sql, const std::string& stem);

 private:
  duck::Connection& connection_;
  const TableLayout& layout_;
  ParquetOptions options_;
  std::unique_ptr<RowFeed> feed_;
};

}  // namespace tidemill::serve
