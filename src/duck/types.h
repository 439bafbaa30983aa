// DuckDB's types as SQL says them, and values of any type as text.
#pragma once

#include <cstddef>
#include <string>

#include "duck/api.h"
#include "duck/duck.h"

namespace tidemill::duck {

// "BIGINT", "DECIMAL(18,3)", "STRUCT(a DOUBLE, b VARCHAR[])".
std::string type_name(duckdb_logical_type type);

Kind kind_of(duckdb_type type);

// The value at `row` of a flat vector of `type`, as DuckDB casts it to VARCHAR; times with a zone in
// UTC. NULL is "NULL".
std::string display_text(duckdb_logical_type type, duckdb_vector vector, size_t row);

// The same value as JSON on one line, appended to `out` (duck.h, Rows::append_json).
void append_json(duckdb_logical_type type, duckdb_vector vector, size_t row, std::string* out);

}  // namespace tidemill::duck
