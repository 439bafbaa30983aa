// The DuckDB that a step `sql` runs in, and what the query comes to there.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "duck/duck.h"
#include "event/schema.h"
#include "process/sql.h"

namespace tidemill::process {

// The columns of `input` that stand behind the event's fields.
inline constexpr const char* kPartitionColumn = "_partition_id";
inline constexpr const char* kOffsetColumn = "_partition_offset";
inline constexpr const char* kTimestampColumn = "_timestamp";

// In memory, with the reference tables; nothing else can be reached from its SQL. `empty`: only what the
// tables look like.
Result<std::shared_ptr<duck::Database>> open_sql_database(const SqlOptions& options, bool empty);

// CREATE TEMP TABLE input.
std::string input_table_sql(const std::vector<Field>& fields);
// CREATE TEMP MACRO interval_time().
std::string interval_sql(int64_t interval_us);

struct BoundQuery {
  std::vector<Field> columns;  // of its result, in their order
  std::string sql;             // the query, its result cast to the types of `columns`
};
// Parses and binds the query. Errors: kUser, with DuckDB's message, line and column.
Result<BoundQuery> bind_query(const SqlOptions& options, const std::vector<Field>& fields);

// What options.noted_columns holds for these columns.
std::string encode_columns(const SqlOptions& options, const std::vector<Field>& fields,
                           const std::vector<Field>& columns);
// The opposite; nullopt: it holds those of another query, or nothing that makes sense.
std::optional<std::vector<Field>> decode_columns(std::string_view text, const SqlOptions& options,
                                                 const std::vector<Field>& fields);

// DuckDB's message on one line: what points into the text becomes "(line 2, column 14)".
std::string one_line(const std::string& message);

}  // namespace tidemill::process
