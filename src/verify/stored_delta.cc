// Rows and dead letters in Delta tables: the verifier's own reading of the transaction log, in DuckDB's SQL.
// It goes by the commits alone, all of them from version 0 on, and by no checkpoint.
#include <simdjson.h>

#include <filesystem>

#include "verify/delta_copy.h"
#include "verify/duck_sql.h"
#include "verify/stores.h"

namespace tidemill::verify {
namespace {

namespace dom = simdjson::dom;

Result<std::string> one_text(duck::Connection& connection, const std::string& sql) {
  TM_ASSIGN(auto rows, connection.query(sql));
  TM_ASSIGN(size_t count, rows->next());
  if (count == 0 || rows->is_null(0, 0)) return std::string();
  return std::string(rows->text(0, 0));
}

// Creates the view `name` of the table's rows.
Status read_log(duck::Connection& connection, const std::string& folder, const std::string& name) {
  const std::string actions = name + "_actions", live = name + "_live";
  TM_TRY(connection.execute(
      "CREATE TABLE " + actions +
      " AS SELECT CAST(regexp_extract(filename, '([0-9]{20})[.]json$', 1) AS BIGINT) AS v, add, remove, "
      "\"metaData\" AS m FROM read_json(" +
      pattern_literal(folder, "/_delta_log/[0-9]*.json") +
      ", format = 'newline_delimited', filename = true, columns = {add: 'STRUCT(path VARCHAR, "
      "\"partitionValues\" MAP(VARCHAR, VARCHAR))', remove: 'STRUCT(path VARCHAR)', \"metaData\": "
      "'STRUCT(\"schemaString\" VARCHAR, \"partitionColumns\" VARCHAR[])'})"));
  TM_ASSIGN(std::string whole, one_text(connection,
                                        "SELECT CASE WHEN min(v) = 0 AND count(DISTINCT v) = max(v) + 1 "
                                        "THEN 'yes' ELSE 'no' END FROM " +
                                            actions));
  if (whole != "yes")
    return user_error(folder + ": commits are missing from its log; what is verified has all of them");
  TM_TRY(connection.execute(
      "CREATE TABLE " + live + " AS SELECT " + sql_quoted(folder + "/", '\'') +
      " || url_decode(path) AS path, arg_max(part, v) AS part FROM (SELECT v, add.path AS path, "
      "add.\"partitionValues\" AS part, true AS here FROM " +
      actions + " WHERE add.path IS NOT NULL UNION ALL SELECT v, remove.path, NULL, false FROM " + actions +
      " WHERE remove.path IS NOT NULL) GROUP BY ALL HAVING arg_max(here, v)"));
  return {};
}

Result<std::vector<std::string>> live_paths(duck::Connection& connection, const std::string& name) {
  std::vector<std::string> paths;
  TM_ASSIGN(auto rows, connection.query("SELECT path FROM " + name + "_live"));
  for (;;) {
    TM_ASSIGN(size_t count, rows->next());
    if (count == 0) return paths;
    for (size_t i = 0; i < count; ++i) paths.emplace_back(rows->text(0, i));
  }
}

// `folders`: the columns by which it is partitioned. Files may be older than a column, or have it in another
// type: what they have is read by its name. No column has a space in its name: "file name" is free.
Status make_view(duck::Connection& connection, const std::string& name, std::vector<std::string>* folders) {
  const std::string actions = name + "_actions", live = name + "_live";
  TM_ASSIGN(std::string schema,
            one_text(connection, "SELECT arg_max(m.\"schemaString\", v) FROM " + actions));
  TM_ASSIGN(std::string partitions, one_text(connection,
                                             "SELECT CAST(to_json(arg_max(m.\"partitionColumns\", v)) AS "
                                             "VARCHAR) FROM " +
                                                 actions));
  std::string paths;
  TM_ASSIGN(std::vector<std::string> all, live_paths(connection, name));
  for (const std::string& path : all) paths += (paths.empty() ? "" : ", ") + pattern_literal(path);
  dom::parser parser, other;
  dom::array fields;
  dom::element by;
  if (parser.parse(schema)["fields"].get_array().get(fields) != simdjson::SUCCESS ||
      other.parse(partitions).get(by) != simdjson::SUCCESS)
    return internal_error("a Delta table without a schema", Code::kCorrupt);
  std::string columns, stored;
  for (dom::element field : fields) {
    std::string_view column;
    dom::element type;
    if (field["name"].get_string().get(column) != simdjson::SUCCESS ||
        field["type"].get(type) != simdjson::SUCCESS)
      return internal_error("a Delta table with a column without a name or type", Code::kCorrupt);
    const std::string literal = sql_quoted(column, '\'');
    std::string value = "r." + sql_quoted(column, '"');
    for (dom::element partition : by) {
      std::string_view one;
      if (partition.get_string().get(one) == simdjson::SUCCESS && one == column) {
        value = "l.part[" + literal + "]";
        folders->emplace_back(column);
      }
    }
    if (value.starts_with("r.")) {
      stored += (stored.empty() ? "" : ", ") + literal + ": {name: " + literal +
                ", type: " + sql_quoted(sql_type(type), '\'') + ", default_value: NULL}";
    }
    if (paths.empty()) value = "NULL";
    columns += (columns.empty() ? "" : ", ") + ("CAST(" + value + " AS " + sql_type(type) + ") AS ") +
               sql_quoted(column, '"');
  }
  const std::string from = paths.empty() ? " WHERE false"
                                         : " FROM read_parquet([" + paths +
                                               "], hive_partitioning = false, filename = 'file name'" +
                                               (stored.empty() ? "" : ", schema = MAP {" + stored + "}") +
                                               ") AS r JOIN " + live + " AS l ON r.\"file name\" = l.path";
  TM_TRY(connection.execute("CREATE VIEW " + name + " AS SELECT " + columns + from));
  return {};
}

}  // namespace

Result<DuckTable> open_delta(const DeltaTable& table) {
  DuckTable opened;
  TM_ASSIGN(opened.database, duck::Database::open(":memory:", {{"threads", "2"}, {"memory_limit", "1GB"}}));
  opened.table = kDeltaRows;
  opened.unordered = true;
  TM_ASSIGN(auto connection, opened.database->connect());
  for (const auto& [name, folder] : {std::pair<std::string, std::string>{kDeltaRows, table.folder},
                                     {kDeltaDeadLetters, table.dead_letters}}) {
    const bool letters = name == kDeltaDeadLetters;
    std::unique_ptr<DeltaCopy> copy;
    if (table.remote) {
      TM_ASSIGN(copy, DeltaCopy::open(letters ? table.remote->dead_letters : table.remote->table, folder));
      TM_TRY(copy->take_log());
    }
    const bool there = std::filesystem::exists(folder + "/_delta_log");
    if (letters && !there) continue;
    if (!there && table.remote)
      return user_error("there is no Delta table at " + table.remote->table.place.path + " in container " +
                        table.remote->table.place.container);
    TM_TRY(read_log(*connection, folder, name));
    if (copy) {
      TM_ASSIGN(std::vector<std::string> paths, live_paths(*connection, name));
      TM_TRY(copy->take_files(paths));
    }
    std::vector<std::string> folders;
    TM_TRY(make_view(*connection, name, &folders));
    if (!letters) opened.folders.names = std::move(folders);
  }
  return opened;
}

}  // namespace tidemill::verify
