#include "process/sql_database.h"

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "base/file_system.h"
#include "base/text.h"
#include "event/timestamp.h"

namespace tidemill::process {
namespace {

std::string in_quotes(std::string_view text, char quote) {
  std::string out(1, quote);
  for (char c : text) out.append(c == quote ? 2 : 1, c);
  return out + quote;
}

// The expression that reads a reference table; of a DuckDB file after `*attach`.
Result<std::string> table_source(const std::string& name, const std::string& file, std::string* attach) {
  const std::string lower = to_lower(file);
  if (lower.ends_with(".csv")) return "read_csv(" + in_quotes(file, '\'') + ")";
  if (lower.ends_with(".parquet")) return "read_parquet(" + in_quotes(file, '\'') + ")";
  constexpr std::string_view kEnding = ".duckdb";
  const size_t at = lower.rfind(kEnding);
  const size_t end = at + kEnding.size();
  if (at == std::string::npos || (end < file.size() && file[end] != ':')) {
    return user_error("tables." + name + ": '" + file +
                      "' is no reference table; give a file.csv, a file.parquet or a file.duckdb:table");
  }
  const std::string table = end < file.size() ? file.substr(end + 1) : name;
  *attach = "ATTACH " + in_quotes(file.substr(0, end), '\'') + " AS reference_file (READ_ONLY)";
  return "reference_file." + in_quotes(table, '"');
}

Status load_table(duck::Connection& connection, const std::string& name, const std::string& file,
                  bool empty) {
  std::string attach;
  TM_ASSIGN(std::string source, table_source(name, file, &attach));
  auto run = [&](const std::string& sql) -> Status {
    auto done = connection.execute(sql);
    if (done.ok()) return {};
    Error error = std::move(done).error();
    error.message = "tables." + name + ": " + one_line(error.message);
    return error;
  };
  if (!attach.empty()) TM_TRY(run(attach));
  TM_TRY(run("CREATE TABLE " + in_quotes(name, '"') + " AS FROM " + source + (empty ? " LIMIT 0" : "")));
  return attach.empty() ? Status() : run("DETACH reference_file");
}

// What a column of the result becomes.
Type type_of(const std::string& type) {
  static const std::vector<std::pair<Type, std::vector<std::string>>> kTypes = {
      {Type::kBoolean, {"BOOLEAN"}},
      {Type::kInteger, {"TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT"}},
      {Type::kBigint, {"BIGINT", "UINTEGER", "UBIGINT", "HUGEINT", "UHUGEINT"}},
      {Type::kDouble, {"FLOAT", "DOUBLE"}},
      {Type::kTimestamp,
       {"TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "DATE"}},
      {Type::kJson, {"JSON"}},
  };
  for (const auto& [one, names] : kTypes) {
    if (std::find(names.begin(), names.end(), type) != names.end()) return one;
  }
  if (type.starts_with("DECIMAL")) return Type::kDouble;
  if (type.starts_with("STRUCT") || type.starts_with("MAP") || type.ends_with("]")) return Type::kJson;
  return Type::kVarchar;
}

// Behind the token that begins at `at`: a quoted name or text, a comment, or one byte.
size_t token_end(std::string_view query, size_t at) {
  const auto behind = [&](std::string_view close, size_t from) {
    const size_t found = query.find(close, from);
    return found == std::string_view::npos ? query.size() : found + close.size();
  };
  const std::string_view rest = query.substr(at);
  if (rest.starts_with("--")) return behind("\n", at);
  if (rest.starts_with("/*")) return behind("*/", at + 2);
  if (rest[0] == '\'' || rest[0] == '"') return behind(rest.substr(0, 1), at + 1);
  if (rest[0] != '$') return at + 1;
  const size_t tag = query.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", at + 1);
  if (tag == std::string_view::npos || query[tag] != '$') return at + 1;
  return behind(query.substr(at, tag + 1 - at), tag + 1);
}

// Without what may stand behind a statement: semicolons, blanks, comments.
std::string_view bare(std::string_view query) {
  size_t end = 0;
  for (size_t at = 0; at < query.size();) {
    const size_t next = token_end(query, at);
    const bool comment = query.substr(at).starts_with("--") || query.substr(at).starts_with("/*");
    if (!comment && std::string_view("; \t\r\n").find(query[at]) == std::string_view::npos) end = next;
    at = next;
  }
  return query.substr(0, end);
}

struct ResultColumn {
  std::string name;
  std::string type;
};

Error query_error(Error error) {
  error.message = "query: " + one_line(error.message);
  return error;
}

Result<std::vector<ResultColumn>> columns_of(duck::Connection& connection, const std::string& query) {
  std::vector<ResultColumn> columns;
  // Binds the query and does not run it, which may take however long.
  auto described = connection.read("DESCRIBE " + query);
  while (described.ok()) {
    TM_ASSIGN(size_t count, (*described)->next());
    if (count == 0) return columns;
    for (size_t row = 0; row < count; ++row)
      columns.push_back({std::string((*described)->text(0, row)), std::string((*described)->text(1, row))});
  }
  // Its own error has its own lines and columns; or it is a DESCRIBE, SUMMARIZE or PIVOT itself.
  auto rows = connection.read(query);
  if (!rows.ok()) return query_error(std::move(rows).error());
  for (size_t i = 0; i < (*rows)->column_count(); ++i)
    columns.push_back({(*rows)->column_name(i), (*rows)->column_type(i)});
  return columns;
}

}  // namespace

std::string one_line(const std::string& message) {
  const size_t mark = message.find("\n\nLINE ");
  std::string text = message.substr(0, mark);
  if (mark != std::string::npos) {
    const std::string shown = message.substr(mark + 2);
    const size_t text_at = shown.find(": ");
    const size_t line_end = shown.find('\n');
    const size_t caret = shown.find('^', line_end == std::string::npos ? 0 : line_end);
    text += " (line " + shown.substr(5, text_at - 5);
    // Of a long line only a part is shown.
    const bool cut = shown.compare(text_at + 2, 3, "...") == 0;
    if (caret != std::string::npos && !cut && caret > line_end + text_at + 2) {
      text += ", column " + std::to_string(caret - line_end - 1 - (text_at + 2) + 1);
    }
    text += ")";
  }
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

Result<std::shared_ptr<duck::Database>> open_sql_database(const SqlOptions& options, bool empty) {
  std::vector<std::pair<std::string, std::string>> settings = {
      {"memory_limit", std::to_string(options.memory_limit_bytes) + "B"},
      {"threads", std::to_string(options.threads)}};
  const bool spills = !options.spill_directory.empty() && !empty;
  // What a process that was killed left behind.
  FileSystem& files = FileSystem::posix();
  if (spills && files.exists(options.spill_directory)) TM_TRY(files.remove_tree(options.spill_directory));
  if (spills) TM_TRY(files.create_directories(options.spill_directory));
  settings.emplace_back("temp_directory", spills ? options.spill_directory : "");
  if (spills) settings.emplace_back("max_temp_directory_size", std::to_string(options.spill_bytes) + "B");
  TM_ASSIGN(auto database, duck::Database::open(":memory:", settings));
  TM_ASSIGN(auto connection, database->connect());
  for (const auto& [name, file] : options.tables) TM_TRY(load_table(*connection, name, file, empty));
  TM_TRY(database->lock_down());
  return database;
}

std::string input_table_sql(const std::vector<Field>& fields) {
  std::string sql = "CREATE TEMP TABLE input (";
  for (const Field& field : fields)
    sql += in_quotes(field.name, '"') + " " + std::string(type_name(field.type)) + ", ";
  return sql + kPartitionColumn + " INTEGER, " + kOffsetColumn + " BIGINT, " + kTimestampColumn +
         " TIMESTAMP)";
}

std::string interval_sql(int64_t interval_us) {
  std::string time = format_timestamp(interval_us, 6);
  time.pop_back();  // the Z: it is a TIMESTAMP, which is UTC
  return "CREATE OR REPLACE TEMP MACRO interval_time() AS TIMESTAMP '" + time + "'";
}

std::string encode_columns(const SqlOptions& options, const std::vector<Field>& fields,
                           const std::vector<Field>& columns) {
  std::string out;
  ByteWriter writer(out);
  writer.sized(options.query);
  writer.sized(input_table_sql(fields));
  writer.varuint(columns.size());
  for (const Field& column : columns) {
    writer.sized(column.name);
    writer.sized(type_name(column.type));
  }
  return out;
}

std::optional<std::vector<Field>> decode_columns(std::string_view text, const SqlOptions& options,
                                                 const std::vector<Field>& fields) {
  ByteReader reader(text);
  if (reader.sized() != options.query || reader.sized() != input_table_sql(fields)) return std::nullopt;
  std::vector<Field> columns;
  for (uint64_t left = reader.varuint(); left > 0 && reader.ok(); --left) {
    const std::string name(reader.sized());
    const auto type = parse_type(reader.sized());
    if (!type) return std::nullopt;
    columns.push_back({name, {name}, *type, true});
  }
  if (!reader.ok() || reader.remaining() > 0) return std::nullopt;
  return columns;
}

Result<BoundQuery> bind_query(const SqlOptions& options, const std::vector<Field>& fields) {
  TM_ASSIGN(auto database, open_sql_database(options, true));
  TM_ASSIGN(auto connection, database->connect());
  TM_TRY(connection->execute(input_table_sql(fields)));
  TM_TRY(connection->execute(interval_sql(0)));
  const std::string query(bare(options.query));
  TM_ASSIGN(std::vector<ResultColumn> result, columns_of(*connection, query));
  // A PIVOT whose values are not named is one that looks for them first, and one that uses them.
  TM_ASSIGN(size_t statements, connection->count_statements(query));
  if (statements > 1) {
    return user_error(
        "query: a PIVOT without IN has the columns that an interval's events happen to have; name the "
        "values: "
        "PIVOT input ON sensor IN ('s1', 's2') USING …");
  }
  BoundQuery bound;
  std::set<std::string> names;
  std::string columns;
  for (const auto& [name, from] : result) {
    if (!names.insert(to_lower(name)).second)
      return user_error("query: two columns of its result are called " + name +
                        "; give one another name: … AS other");
    const Type type = type_of(from);
    const std::string quoted = in_quotes(name, '"');
    std::string value = quoted;
    if (type == Type::kJson && from != "JSON") value = "to_json(" + quoted + ")";
    columns += (columns.empty() ? "CAST(" : ", CAST(") + value + " AS " + std::string(type_name(type)) +
               ") AS " + quoted;
    bound.columns.push_back({name, {name}, type, true});
  }
  bound.sql = "SELECT " + columns + " FROM (" + query + "\n)";
  auto whole = connection->read(bound.sql + " LIMIT 0");
  if (!whole.ok()) return query_error(std::move(whole).error());
  return bound;
}

}  // namespace tidemill::process
