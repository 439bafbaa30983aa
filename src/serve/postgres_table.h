// The table that a PostgreSQL sink stores rows in: its columns by the event's schema, how it is created, and
// whether an existing one fits.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "event/schema.h"
#include "pg/connection.h"

namespace tidemill::serve {

enum class PostgresMode : uint8_t {
  kAppend,     // every row is inserted
  kUpsert,     // a row replaces the one of the same key
  kInsertNew,  // a row whose key is there already is left out
};

// What becomes of members of objects (complexData.moreData7).
enum class PostgresNested : uint8_t {
  kJsonb,    // one jsonb column per object
  kText,     // its JSON as text
  kColumns,  // a column each, the path joined by '_': complexData_moreData7
};

// The types that rows are written in, and their names as PostgreSQL prints them.
enum class PostgresType : uint8_t {
  kBoolean,
  kSmallint,
  kInteger,
  kBigint,
  kDouble,
  kReal,
  kNumeric,
  kText,
  kVarchar,
  kUuid,
  kTimestamptz,
  kTimestamp,  // without time zone, in UTC
  kJson,
  kJsonb,
};
std::string_view postgres_type_name(PostgresType type);

struct PostgresColumn {
  enum Kind : uint8_t { kField, kObject, kStoredAt } kind = kField;
  std::string name;
  Type from = Type::kVarchar;  // what is stored in it: a field's type, JSON of an object, a time
  PostgresType type = PostgresType::kText;
  int32_t max_chars = 0;  // of a varchar(n); 0: no limit
  // Of a numeric(precision, scale), which rounds; precision 0: no limit.
  int32_t precision = 0, scale = 0;
  bool not_null = false;
  size_t field = 0;                   // kField: index into the schema's fields
  std::vector<size_t> object_fields;  // kObject: the fields of the object
  std::vector<Field> object_layout;   // kObject: the same, their paths inside the object
};

struct PostgresTableOptions {
  std::string table;  // "rawdata", "app.rawdata"
  PostgresMode mode = PostgresMode::kAppend;
  PostgresNested nested = PostgresNested::kJsonb;
  std::string stored_at;         // empty: no such column
  std::vector<std::string> key;  // fields; of the primary key where the table is created
  // Of a created table, each "field, field desc".
  std::vector<std::string> indexes;
  int32_t partitions = 0;    // of a created table, by hash; 0: it is not partitioned
  std::string partition_by;  // the field
  std::vector<std::pair<std::string, std::string>>
      types;  // of columns of a created table, else by the schema
};

struct PostgresTable {
  std::string schema;  // empty: the first of the search path
  std::string name;
  std::vector<PostgresColumn> columns;  // that of kStoredAt is the last one
  std::vector<std::string> key;         // columns
  // Per index: the columns of text in it (numbers), whose sizes it limits.
  std::vector<std::vector<size_t>> indexed;

  std::string sql_name() const { return in_schema(name); }
  // Another table, beside it.
  std::string in_schema(const std::string& other) const;
  std::string column_list() const;  // "a", "b"
};

// Errors (kUser): columns that PostgreSQL cannot tell apart or name, types that do not fit, a key or an index
// of what is no column.
Result<PostgresTable> make_postgres_table(const Schema& schema, const PostgresTableOptions& options);

// The statements that create it.
std::vector<std::string> create_postgres_table_sql(const PostgresTable& table,
                                                   const PostgresTableOptions& options);

// Inside the caller's transaction: creates the table where it is missing; else checks that rows of these
// columns fit, and takes over its columns' types. Other columns of an existing table must do without a value.
Status create_or_check_postgres_table(pg::Connection& connection, const PostgresTableOptions& options,
                                      PostgresTable* table);

}  // namespace tidemill::serve
