#include "serve/delta_schema.h"

#include <simdjson.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "event/json_splice.h"

namespace tidemill::serve {
namespace {

namespace dom = simdjson::dom;

// Delta's names of types, and DuckDB's.
const std::map<std::string_view, std::string_view> kTypes = {
    {"string", "VARCHAR"},
    {"long", "BIGINT"},
    {"integer", "INTEGER"},
    {"short", "SMALLINT"},
    {"byte", "TINYINT"},
    {"double", "DOUBLE"},
    {"float", "FLOAT"},
    {"boolean", "BOOLEAN"},
    {"binary", "BLOB"},
    {"date", "DATE"},
    {"timestamp", "TIMESTAMP WITH TIME ZONE"},
};

std::string type_json(const TableColumn& column) {
  if (column.kind == TableColumn::kStruct) return delta_schema_json(column.members);
  for (const auto& [delta, duck] : kTypes) {
    if (duck == column.type) return "\"" + std::string(delta) + "\"";
  }
  return "\"string\"";
}

Result<std::string> sql_type_of(const dom::element& type, std::vector<DeltaColumn>* members = nullptr);

Result<std::vector<DeltaColumn>> columns_of(const dom::object& schema) {
  dom::array fields;
  if (schema["fields"].get_array().get(fields) != simdjson::SUCCESS)
    return internal_error("the table's schema has no fields", Code::kCorrupt);
  std::vector<DeltaColumn> columns;
  for (dom::element one : fields) {
    std::string_view name;
    dom::element type;
    dom::object metadata;
    if (one["name"].get_string().get(name) != simdjson::SUCCESS || one["type"].get(type) != simdjson::SUCCESS)
      return internal_error("a column of the table's schema has no name or no type", Code::kCorrupt);
    if (one["metadata"].get_object().get(metadata) == simdjson::SUCCESS) {
      for (dom::key_value_pair demand : metadata) {
        if (demand.key.starts_with("delta.") || demand.key == "CHAR_VARCHAR_TYPE_STRING") {
          return user_error("column " + std::string(name) + " of the table demands " +
                            std::string(demand.key) + ", which this program does not know");
        }
      }
    }
    DeltaColumn column;
    column.name = std::string(name);
    auto sql = sql_type_of(type, &column.members);
    if (!sql.ok()) return std::move(sql).error().within("column " + column.name);
    column.type = std::move(*sql);
    bool nullable = true;
    column.not_null = one["nullable"].get_bool().get(nullable) == simdjson::SUCCESS && !nullable;
    columns.push_back(std::move(column));
  }
  return columns;
}

// `members`: filled with those of a struct.
Result<std::string> sql_type_of(const dom::element& type, std::vector<DeltaColumn>* members) {
  std::string_view name;
  if (type.get_string().get(name) == simdjson::SUCCESS) {
    auto known = kTypes.find(name);
    if (known != kTypes.end()) return std::string(known->second);
    if (name.starts_with("decimal(")) return "DECIMAL" + std::string(name.substr(7));
    return user_error("type " + std::string(name) + " is not known to this program");
  }
  dom::object object;
  if (type.get_object().get(object) != simdjson::SUCCESS ||
      object["type"].get_string().get(name) != simdjson::SUCCESS)
    return internal_error("a type of the table's schema is neither a name nor an object", Code::kCorrupt);
  if (name == "struct") {
    TM_ASSIGN(std::vector<DeltaColumn> inside, columns_of(object));
    std::string sql = "STRUCT(";
    for (const DeltaColumn& member : inside) {
      if (sql.back() != '(') sql += ", ";
      sql += quote_identifier(member.name) + " " + member.type;
    }
    if (members != nullptr) *members = std::move(inside);
    return sql + ")";
  }
  dom::element element;
  if (name == "array" && object["elementType"].get(element) == simdjson::SUCCESS) {
    TM_ASSIGN(std::string inside, sql_type_of(element));
    return inside + "[]";
  }
  dom::element key, value;
  if (name == "map" && object["keyType"].get(key) == simdjson::SUCCESS &&
      object["valueType"].get(value) == simdjson::SUCCESS) {
    TM_ASSIGN(std::string from, sql_type_of(key));
    TM_ASSIGN(std::string to, sql_type_of(value));
    return "MAP(" + from + ", " + to + ")";
  }
  return user_error("type " + std::string(name) + " is not known to this program");
}

bool is_in(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// An object is there where one of its members must be.
bool never_null(const TableColumn& column) {
  if (column.kind == TableColumn::kStoredAt) return true;
  if (column.kind != TableColumn::kStruct) return column.not_null;
  return std::any_of(column.members.begin(), column.members.end(), never_null);
}

// The first that may not be NULL, but may be in the events: "a.b"; empty: none.
std::string find_null(const std::vector<DeltaColumn>& is, const std::vector<TableColumn>& columns) {
  for (size_t i = 0; i < std::min(is.size(), columns.size()); ++i) {
    if (is[i].not_null && !never_null(columns[i])) return is[i].name;
    const std::string inside = find_null(is[i].members, columns[i].members);
    if (!inside.empty()) return is[i].name + "." + inside;
  }
  return {};
}

std::vector<TableColumn> table_columns(const std::vector<DeltaColumn>& columns) {
  std::vector<TableColumn> made;
  for (const DeltaColumn& column : columns) {
    TableColumn one;
    one.kind = column.members.empty() ? TableColumn::kField : TableColumn::kStruct;
    one.name = column.name;
    one.type = column.type;
    one.members = table_columns(column.members);
    made.push_back(std::move(one));
  }
  return made;
}

std::string way_out(const std::string& section, const std::string& setting) {
  return "; choose another " + section + "." + setting + ", or remove the table";
}

}  // namespace

std::string delta_schema_json(const std::vector<TableColumn>& columns) {
  std::string fields;
  for (const TableColumn& column : columns) {
    fields += fields.empty() ? "{\"name\":" : ",{\"name\":";
    append_json_string(column.name, &fields);
    fields += ",\"type\":" + type_json(column) + ",\"nullable\":true,\"metadata\":{}}";
  }
  return "{\"type\":\"struct\",\"fields\":[" + fields + "]}";
}

Result<std::vector<DeltaColumn>> delta_columns(const std::string& schema_json) {
  dom::parser parser;
  dom::object schema;
  if (parser.parse(schema_json).get_object().get(schema) != simdjson::SUCCESS)
    return internal_error("the table's schema is no JSON object", Code::kCorrupt);
  return columns_of(schema);
}

Result<TableLayout> delta_layout(const std::string& schema_json) {
  TM_ASSIGN(const std::vector<DeltaColumn> columns, delta_columns(schema_json));
  TableLayout layout;
  layout.columns = table_columns(columns);
  return layout;
}

Status check_same_table(const std::string& schema_json, const std::vector<std::string>& partition_by,
                        const std::string& must_schema_json,
                        const std::vector<std::string>& must_partition_by, const std::string& section,
                        const std::string& setting) {
  const std::string otherwise = way_out(section, setting);
  TM_ASSIGN(std::vector<DeltaColumn> is, delta_columns(schema_json));
  TM_ASSIGN(std::vector<DeltaColumn> must, delta_columns(must_schema_json));
  for (size_t i = 0; i < std::max(is.size(), must.size()); ++i) {
    const std::string place = "it exists with other columns: column " + std::to_string(i + 1);
    if (i >= is.size())
      return user_error(place + " is missing, " + must[i].name + " " + must[i].type + otherwise);
    if (i >= must.size())
      return user_error(place + ", " + is[i].name + ", is not in the events; give their schema that field" +
                        otherwise);
    if (is[i].name != must[i].name || is[i].type != must[i].type) {
      return user_error(place + " is " + is[i].name + " " + is[i].type + ", the events have " + must[i].name +
                        " " + must[i].type + otherwise);
    }
  }
  if (partition_by != must_partition_by) {
    return user_error("it exists with partitions by [" + join(partition_by, ", ") + "], but " + section +
                      ".partition_by is [" + join(must_partition_by, ", ") + "]" + otherwise);
  }
  return {};
}

Status check_nulls(const std::string& schema_json, const std::vector<TableColumn>& columns,
                   const std::string& section, const std::string& setting) {
  TM_ASSIGN(std::vector<DeltaColumn> is, delta_columns(schema_json));
  const std::string name = find_null(is, columns);
  if (name.empty()) return {};
  return user_error("it exists, and its column " + name + " must not be NULL, but events may lack it" +
                    way_out(section, setting));
}

Result<std::string> delta_files_sql(const DeltaMetaData& meta_data, const std::vector<std::string>& paths,
                                    bool filename) {
  TM_ASSIGN(std::vector<DeltaColumn> columns, delta_columns(meta_data.schema));
  std::string files, schema;
  for (const std::string& path : paths) files += (files.empty() ? "" : ", ") + quote_path(path);
  for (const DeltaColumn& column : columns) {
    if (is_in(meta_data.partition_columns, column.name)) continue;
    const std::string name = quote_literal(column.name);
    schema += (schema.empty() ? "" : ", ") + name + ": {name: " + name +
              ", type: " + quote_literal(column.type) + ", default_value: NULL}";
  }
  return "read_parquet([" + files + "], hive_partitioning = false" +
         (schema.empty() ? "" : ", schema = MAP {" + schema + "}") +
         (filename ? ", filename = 'file name'" : "") + ")";
}

Result<std::string> delta_rows_sql(const DeltaState& state, const std::string& folder) {
  TM_ASSIGN(std::vector<DeltaColumn> columns, delta_columns(state.meta_data.schema));
  const std::vector<std::string>& by = state.meta_data.partition_columns;
  std::string list;
  for (const DeltaColumn& column : columns) {
    const auto at = std::find(by.begin(), by.end(), column.name) - by.begin();
    std::string value = "r." + quote_identifier(column.name);
    if (at < static_cast<ptrdiff_t>(by.size())) value = "p.c" + std::to_string(at);
    if (state.files.empty()) value = "NULL";
    list += (list.empty() ? "" : ", ") + ("CAST(" + value + " AS " + column.type + ") AS ") +
            quote_identifier(column.name);
  }
  if (state.files.empty()) return "SELECT " + list + " WHERE false";
  std::vector<std::string> paths;
  std::string partitions;
  for (const auto& [uri, file] : state.files) {
    const std::string path = join_path(folder, delta_path(uri));
    paths.push_back(path);
    partitions += (partitions.empty() ? "(" : ", (") + quote_literal(path);
    for (const std::string& column : by) {
      auto value = file.partition.find(column);
      const bool known = value != file.partition.end() && value->second;
      partitions += ", " + (known ? quote_literal(*value->second) : "NULL");
    }
    partitions += ")";
  }
  TM_ASSIGN(const std::string rows, delta_files_sql(state.meta_data, paths, !by.empty()));
  const std::string from = " FROM " + rows + " AS r";
  if (by.empty()) return "SELECT " + list + from;
  std::string names = "file";
  for (size_t i = 0; i < by.size(); ++i) names += ", c" + std::to_string(i);
  // A column's name has no space.
  return "SELECT " + list + from + " JOIN (VALUES " + partitions + ") AS p (" + names +
         ") ON r.\"file name\" = p.file";
}

}  // namespace tidemill::serve
