#include "serve/duckdb_table.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <utility>

#include "serve/event_json.h"

namespace tidemill::serve {
namespace {

std::string quoted(std::string_view text, char quote) {
  std::string result(1, quote);
  for (char c : text) {
    result += c;
    if (c == quote) result += c;
  }
  return result + quote;
}

std::string sql_type(Type type) {
  return std::string(type_name(type));
}

TableColumn field_column(const Schema& schema, size_t index, std::string name) {
  TableColumn column;
  column.name = std::move(name);
  column.type = sql_type(schema.fields[index].type);
  column.not_null = !schema.fields[index].nullable;
  column.field = index;
  return column;
}

// The STRUCT of the fields that share the first `depth` members of their paths.
TableColumn struct_column(const Schema& schema, const std::vector<size_t>& fields, size_t depth,
                          std::string name) {
  TableColumn column;
  column.kind = TableColumn::kStruct;
  column.name = std::move(name);
  std::vector<std::string> names;
  std::map<std::string, std::vector<size_t>> by_name;
  for (size_t field : fields) {
    const std::string member = member_path(schema.fields[field])[depth];
    if (!by_name.contains(member)) names.push_back(member);
    by_name[member].push_back(field);
  }
  column.type = "STRUCT(";
  for (const std::string& member : names) {
    const std::vector<size_t>& inside = by_name[member];
    bool leaf = member_path(schema.fields[inside[0]]).size() == depth + 1;
    column.members.push_back(leaf ? field_column(schema, inside[0], member)
                                  : struct_column(schema, inside, depth + 1, member));
    if (column.members.size() > 1) column.type += ", ";
    column.type += quote_identifier(member) + " " + column.members.back().type;
  }
  column.type += ")";
  return column;
}

TableColumn json_column(const Schema& schema, const std::vector<size_t>& fields, std::string name) {
  TableColumn column;
  column.kind = TableColumn::kJson;
  column.name = std::move(name);
  column.type = "JSON";
  column.object_fields = fields;
  for (size_t field : fields) {
    Field inside = schema.fields[field];
    inside.path = member_path(inside);
    inside.path.erase(inside.path.begin());
    column.object_layout.push_back(std::move(inside));
  }
  return column;
}

std::string joined(const std::vector<std::string>& parts, const char* between) {
  std::string all;
  for (const std::string& part : parts) all += (all.empty() ? "" : between) + part;
  return all;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// DuckDB's names do not tell upper from lower case.
Status check_names(const std::vector<TableColumn>& columns, const std::string& where) {
  std::map<std::string, std::string> seen;
  for (const TableColumn& column : columns) {
    auto [at, fresh] = seen.emplace(lower(column.name), column.name);
    if (!fresh) {
      return user_error(where + ": columns " + at->second + " and " + column.name +
                        " are the same to DuckDB; rename one of the fields");
    }
    if (column.name.empty()) return user_error(where + ": a column without a name");
    TM_TRY(check_names(column.members, where + "." + column.name));
  }
  return {};
}

struct Described {
  std::string name, type;
  bool not_null = false;
};

Result<std::vector<Described>> describe(duck::Connection& connection, const std::string& table,
                                        bool temporary) {
  TM_ASSIGN(auto rows,
            connection.query("SELECT column_name, data_type, NOT is_nullable FROM duckdb_columns() "
                             "WHERE table_name = ? AND schema_name = 'main' AND database_name = " +
                                 std::string(temporary ? "'temp'" : "current_database()") +
                                 " ORDER BY column_index",
                             {duck::Value::of(table)}));
  std::vector<Described> columns;
  for (;;) {
    TM_ASSIGN(size_t count, rows->next());
    if (count == 0) return columns;
    for (size_t i = 0; i < count; ++i) {
      columns.push_back({std::string(rows->text(0, i)), std::string(rows->text(1, i)), rows->boolean(2, i)});
    }
  }
}

Result<std::string> primary_key(duck::Connection& connection, const std::string& table) {
  TM_ASSIGN(auto rows, connection.query("SELECT array_to_string(constraint_column_names, ', ') FROM "
                                        "duckdb_constraints() WHERE table_name = ? AND constraint_type = "
                                        "'PRIMARY KEY' AND database_name = current_database()",
                                        {duck::Value::of(table)}));
  TM_ASSIGN(size_t count, rows->next());
  return count == 0 ? std::string() : std::string(rows->text(0, 0));
}

constexpr const char* kWayOut = "; choose another serve.duckdb.table, or drop the table";

Status compare(const std::string& table, const std::vector<Described>& is,
               const std::vector<Described>& must) {
  for (size_t i = 0; i < std::max(is.size(), must.size()); ++i) {
    std::string place = "table " + table + " exists with other columns: column " + std::to_string(i + 1);
    if (i >= is.size())
      return user_error(place + " is missing, " + must[i].name + " " + must[i].type + kWayOut);
    if (i >= must.size()) return user_error(place + ", " + is[i].name + ", is not in the events" + kWayOut);
    if (lower(is[i].name) != lower(must[i].name) || is[i].type != must[i].type) {
      return user_error(place + " is " + is[i].name + " " + is[i].type + ", the events have " + must[i].name +
                        " " + must[i].type + kWayOut);
    }
    if (is[i].not_null && !must[i].not_null) {
      return user_error(place + ", " + is[i].name + ", must not be NULL, but events may lack it" + kWayOut);
    }
  }
  return {};
}

}  // namespace

std::string quote_identifier(std::string_view name) {
  return quoted(name, '"');
}
std::string quote_literal(std::string_view text) {
  return quoted(text, '\'');
}
std::string quote_path(std::string_view path) {
  std::string pattern;
  for (char c : path) {
    const bool special = c == '[' || c == '*' || c == '?';
    pattern += special ? std::string("[") + c + "]" : std::string(1, c);
  }
  return quote_literal(pattern);
}

Result<TableLayout> make_table_layout(const Schema& schema, const TableOptions& options) {
  TableLayout layout;
  layout.table = options.table;
  if (options.table.empty() || lower(options.table).starts_with("tidemill_")) {
    return user_error(options.section + ".table: " + options.table +
                      " cannot be used; names beginning with tidemill_ "
                      "are the program's own");
  }
  std::map<std::string, std::vector<size_t>> by_object;
  for (size_t i = 0; i < schema.fields.size(); ++i) {
    std::vector<std::string> path = member_path(schema.fields[i]);
    if (path.size() > 1) by_object[path[0]].push_back(i);
  }
  for (size_t i = 0; i < schema.fields.size(); ++i) {
    std::vector<std::string> path = member_path(schema.fields[i]);
    if (path.size() == 1 || options.nested == Nested::kColumns) {
      layout.columns.push_back(field_column(schema, i, joined(path, "_")));
      continue;
    }
    const std::vector<size_t>& object = by_object[path[0]];
    if (object[0] != i) continue;  // an object stands where its first member does
    layout.columns.push_back(options.nested == Nested::kStruct ? struct_column(schema, object, 1, path[0])
                                                               : json_column(schema, object, path[0]));
  }
  if (layout.columns.empty()) return user_error(options.section + ": the event has no fields to store");
  if (!options.stored_at.empty()) {
    TableColumn column;
    column.kind = TableColumn::kStoredAt;
    column.name = options.stored_at;
    column.type = "TIMESTAMP";
    layout.columns.push_back(std::move(column));
  }
  TM_TRY(check_names(layout.columns, options.section));
  for (const std::string& field : options.key) {
    int index = schema.find(field);
    auto column = std::find_if(layout.columns.begin(), layout.columns.end(), [&](const TableColumn& one) {
      return one.kind == TableColumn::kField && static_cast<int>(one.field) == index;
    });
    if (index < 0 || column == layout.columns.end()) {
      return user_error(options.section + ".key: " + field + " is not a column of its own");
    }
    if (!column->not_null) {
      return user_error(options.section + ".key: events may lack " + field +
                        ", and a key cannot be NULL; make the field required, so that such events go to the "
                        "dead letters");
    }
    layout.key.push_back(column->name);
  }
  return layout;
}

std::string create_table_sql(const TableLayout& layout) {
  std::string sql = quote_identifier(layout.table) + " (";
  for (const TableColumn& column : layout.columns) {
    if (sql.back() != '(') sql += ",";
    sql += "\n  " + quote_identifier(column.name) + " " + column.type + (column.not_null ? " NOT NULL" : "");
  }
  std::vector<std::string> key;
  for (const std::string& column : layout.key) key.push_back(quote_identifier(column));
  if (!key.empty()) sql += ",\n  PRIMARY KEY (" + joined(key, ", ") + ")";
  return "CREATE TABLE " + sql + "\n)";
}

Status create_or_check_table(duck::Connection& connection, const TableLayout& layout) {
  TM_ASSIGN(std::vector<Described> is, describe(connection, layout.table, false));
  if (is.empty()) {
    auto created = connection.execute(create_table_sql(layout));
    if (!created.ok()) return std::move(created).error().within("serve.duckdb.table " + layout.table);
    return {};
  }
  // What DuckDB calls the columns' types, it says of a table made the same way.
  TableLayout probe = layout;
  probe.table = "tidemill_probe";
  std::string sql = create_table_sql(probe);
  sql.replace(0, sizeof("CREATE TABLE") - 1, "CREATE OR REPLACE TEMP TABLE");
  TM_TRY(connection.execute(sql));
  TM_ASSIGN(std::vector<Described> must, describe(connection, probe.table, true));
  TM_TRY(connection.execute("DROP TABLE temp." + quote_identifier(probe.table)));
  TM_TRY(compare(layout.table, is, must));
  TM_ASSIGN(std::string key, primary_key(connection, layout.table));
  if (lower(key) != lower(joined(layout.key, ", "))) {
    return user_error("table " + layout.table + " exists with " +
                      (key.empty() ? "no primary key" : "the primary key " + key) +
                      ", but serve.duckdb.key is " +
                      (layout.key.empty() ? "not set" : joined(layout.key, ", ")) + kWayOut);
  }
  return {};
}

}  // namespace tidemill::serve
