// A table's columns in Spark SQL.
#include "serve/duckdb_table.h"

namespace tidemill::serve {
namespace {

std::string spark_name(std::string_view name) {
  std::string quoted = "`";
  for (char c : name) quoted += c == '`' ? std::string("``") : std::string(1, c);
  return quoted + "`";
}

std::string spark_literal(std::string_view text) {
  std::string quoted = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "'";
}

std::string spark_type(const TableColumn& column) {
  if (column.kind == TableColumn::kStruct) {
    std::string type;
    for (const TableColumn& member : column.members)
      type += (type.empty() ? "STRUCT<" : ", ") + spark_name(member.name) + ": " + spark_type(member);
    return type + ">";
  }
  if (column.type == "INTEGER") return "INT";
  if (column.type == "VARCHAR" || column.type == "JSON") return "STRING";
  if (column.type == "TIMESTAMP WITH TIME ZONE") return "TIMESTAMP";
  return column.type;  // BOOLEAN, BIGINT, DOUBLE, TIMESTAMP are the same
}

}  // namespace

std::string create_spark_table_sql(const TableLayout& layout, const SparkFiles& files) {
  std::string sql = "CREATE TABLE " + spark_name(layout.table) + " (";
  for (const TableColumn& column : layout.columns) {
    if (sql.back() != '(') sql += ",";
    sql += "\n  " + spark_name(column.name) + " " + spark_type(column) + (column.not_null ? " NOT NULL" : "");
  }
  sql += "\n)";
  if (!files.format.empty()) sql += "\nUSING " + files.format;
  std::string by;
  for (const std::string& column : files.partition_by) by += (by.empty() ? "" : ", ") + spark_name(column);
  if (!by.empty()) sql += "\nPARTITIONED BY (" + by + ")";
  if (!files.location.empty()) sql += "\nLOCATION " + spark_literal(files.location);
  return sql;
}

std::string repair_spark_table_sql(const TableLayout& layout) {
  return "MSCK REPAIR TABLE " + spark_name(layout.table);
}

}  // namespace tidemill::serve
