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
  bool not_null = false;
  std::vector<DeltaColumn> members = {};  // of a struct
};
// Errors: a type, or a demand of the table (generated columns, invariants), that this program does not know.
Result<std::vector<DeltaColumn>> delta_columns(const std::string& schema_json);

// The same as columns of a table's files, which write_query() writes.
Result<TableLayout> delta_layout(const std::string& schema_json);

// Errors (kUser): the table that is there has other columns or partitions. `setting`: of `section`, to be
// changed then.
Status check_same_table(const std::string& schema_json, const std::vector<std::string>& partition_by,
                        const std::string& must_schema_json,
                        const std::vector<std::string>& must_partition_by, const std::string& section,
                        const std::string& setting);

// Errors (kUser): a column, or a member of one, that may not be NULL there, though events may lack it.
// `columns`: those of the events. Precondition: check_same_table() found nothing.
Status check_nulls(const std::string& schema_json, const std::vector<TableColumn>& columns,
                   const std::string& section, const std::string& setting);

// FROM's argument: the rows of some of a table's files, below `folder` of this machine, in the columns that
// files have, by name: each of the table's type, and NULL where a file is older than the column. With
// `filename`, a column "file name" more.
Result<std::string> delta_files_sql(const DeltaMetaData& meta_data, const std::vector<std::string>& paths,
                                    bool filename);

// A query of all rows of a table as it is in `state`, whose files are below `folder` of this machine. The
// columns of a partition come from the log, all others from the files.
Result<std::string> delta_rows_sql(const DeltaState& state, const std::string& folder);

}  // namespace tidemill::serve
