// What a folder of Parquet files is, beside its files: whose it is, its columns, how it is divided. It stands
// in <directory>/.tidemill/table.json. Format: docs/connectors/parquet.md.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file_system.h"
#include "serve/duckdb_table.h"

namespace tidemill::serve {

struct ParquetTable {
  std::string pipeline;                   // whose positions are beside it
  std::string source;                     // what the topic is a topic of
  std::string schema;                     // of the events' columns; see delta_schema.h
  std::vector<std::string> partition_by;  // as the settings say: "type", "day(createdAt)"
};

std::string parquet_table_json(const ParquetTable& table);
// Nullopt: there is none yet. Errors: kCorrupt.
Result<std::optional<ParquetTable>> read_parquet_table(FileSystem& files, const std::string& directory);

// By what the folders divide the rows: `<name>=<value>`.
struct ParquetPartitioning {
  std::string name;
  std::string type;      // as DuckDB's SQL says it
  std::string sql;       // its value, of a row
  bool derived = false;  // it is no column of the events: the day or the hour of one
};
// Errors (kUser): no such column, or one of a type that names no folder; a name that is taken.
Result<std::vector<ParquetPartitioning>> parquet_partitioning(const std::vector<std::string>& partition_by,
                                                              const std::vector<TableColumn>& columns,
                                                              const std::string& section);
// Of these, those that are columns of the events.
std::vector<std::string> plain_partitions(const std::vector<std::string>& partition_by);
// "createdAt" of "day(createdAt)"; empty: it is a column.
std::string derived_from(const std::string& partition);

// The pattern that finds the files of a table, as a literal of DuckDB's SQL.
std::string parquet_glob(const std::string& directory);
// DuckDB's reading of them, as what stands behind FROM.
Result<std::string> parquet_scan_sql(const ParquetTable& table, const std::string& directory);
// A query of the rows of `files`, a pattern or a list of paths in DuckDB's SQL; empty: there are none.
Result<std::string> parquet_rows_sql(const ParquetTable& table, const std::string& files);

// Whether the sink gives its files such names: "telemetry-0-00000000000000000150.parquet", "…-1.parquet".
bool is_parquet_name(std::string_view name);

}  // namespace tidemill::serve
