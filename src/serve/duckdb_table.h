// The table that a DuckDB sink stores rows in: its columns by the event's schema, how it is created,
// and whether an existing one fits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "duck/duck.h"
#include "event/schema.h"

namespace tidemill::serve {

// "name" for SQL, whatever it contains.
std::string quote_identifier(std::string_view name);
std::string quote_literal(std::string_view text);
// A path as a literal where SQL takes patterns: it stands for itself.
std::string quote_path(std::string_view path);

// What becomes of members of objects (complexData.moreData7).
enum class Nested : uint8_t {
  kStruct,   // one STRUCT column per object: complexData
  kColumns,  // a column each, the path joined by '_': complexData_moreData7
  kJson,     // one JSON column per object, its text
};

// A column, or a member of a STRUCT column.
struct TableColumn {
  enum Kind : uint8_t { kField, kStruct, kJson, kStoredAt } kind = kField;
  std::string name;
  std::string type;  // as SQL says it: "STRUCT(moreData0 DOUBLE)"
  bool not_null = false;
  size_t field = 0;                   // kField: index into the schema's fields
  std::vector<TableColumn> members;   // kStruct
  std::vector<size_t> object_fields;  // kJson: the fields of the object
  std::vector<Field> object_layout;   // kJson: the same, their paths inside the object
};

struct TableLayout {
  std::string table;
  std::vector<TableColumn> columns;
  std::vector<std::string> key;  // columns of the primary key; empty: none
};

struct TableOptions {
  std::string table;
  Nested nested = Nested::kStruct;
  std::string stored_at;                 // empty: no such column
  std::vector<std::string> key;          // fields
  std::string section = "serve.duckdb";  // of the settings, for messages
};

// Errors (kUser): columns that DuckDB cannot tell apart, a key that is no column of its own.
Result<TableLayout> make_table_layout(const Schema& schema, const TableOptions& options);

std::string create_table_sql(const TableLayout& layout);
// The same columns in Spark SQL. Spark has no keys, and no JSON: that is a STRING.
struct SparkFiles {
  std::string format;  // "DELTA"; empty: Spark's own choice
  std::vector<std::string> partition_by;
  std::string location;  // empty: Spark's own choice
};
std::string create_spark_table_sql(const TableLayout& layout, const SparkFiles& files = {});
// Makes Spark's catalog look for the table's partitions.
std::string repair_spark_table_sql(const TableLayout& layout);

// Creates the table where it is missing; else compares its columns, types and key.
Status create_or_check_table(duck::Connection& connection, const TableLayout& layout);

}  // namespace tidemill::serve
