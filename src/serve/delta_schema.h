// A Delta table's schema: from columns to the JSON of its metaData, and back to types of SQL.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "serve/delta_log.h"
#include "serve/duckdb_table.h"

namespace tidemill::serve {

std::string delta_schema_json(const std::vector<TableColumn>& columns);

struct DeltaColumn {
  std::string name;
  std::string type;  // as DuckDB's SQL says it: "STRUCT(\"a\" DOUBLE)"
};
// Errors: a type, or a demand of the table (generated columns, invariants), that this program does not know.
Result<std::vector<DeltaColumn>> delta_columns(const std::string& schema_json);

// Errors (kUser): the table that is there has other columns or partitions. `setting`: of `section`, to be
// changed then.
Status check_same_table(const std::string& schema_json, const std::vector<std::string>& partition_by,
                        const std::string& must_schema_json,
                        const std::vector<std::string>& must_partition_by, const std::string& section,
                        const std::string& setting);

// A query of all rows of a table as it is in `state`, whose files are below `folder` of this machine. The
// columns of a partition come from the log, all others from the files.
Result<std::string> delta_rows_sql(const DeltaState& state, const std::string& folder);

}  // namespace tidemill::serve
