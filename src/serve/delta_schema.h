// A Delta table's schema: from columns to the JSON of its metaData, and back to types of SQL.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "serve/duckdb_table.h"

namespace tidemill::serve {

std::string delta_schema_json(const std::vector<TableColumn>& columns);

struct DeltaColumn {
  std::string name;
  std::string type;  // as DuckDB's SQL says it: "STRUCT(\"a\" DOUBLE)"
};
// Errors: a type, or a demand of the table (generated columns, invariants), that this program does not know.
Result<std::vector<DeltaColumn>> delta_columns(const std::string& schema_json);

// A query of all rows in the given files of a table: `paths` on this machine, `partitions` one for each. A
// file's columns come from it, those of its partition from `partitions`.
struct DeltaSource {
  std::vector<std::string> paths;
  std::vector<std::vector<std::string>> partitions;  // literals of SQL, in the order of `partition_columns`
};
std::string delta_rows_sql(const std::vector<DeltaColumn>& columns,
                           const std::vector<std::string>& partition_columns, const DeltaSource& source);

}  // namespace tidemill::serve
