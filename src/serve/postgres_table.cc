#include "serve/postgres_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <set>

#include "base/text.h"
#include "serve/event_json.h"

namespace tidemill::serve {

using pg::quote_identifier;
using pg::quote_literal;

namespace {

constexpr size_t kLongestName = 63;    // longer ones PostgreSQL cuts off
constexpr int32_t kMostDigits = 1000;  // of numeric(precision, scale)
constexpr std::array<std::string_view, 14> kTypeNames = {"boolean",
                                                         "smallint",
                                                         "integer",
                                                         "bigint",
                                                         "double precision",
                                                         "real",
                                                         "numeric",
                                                         "text",
                                                         "character varying",
                                                         "uuid",
                                                         "timestamp with time zone",
                                                         "timestamp without time zone",
                                                         "json",
                                                         "jsonb"};
constexpr const char* kWayOut = "; choose another serve.postgres.table, or change it";

std::optional<PostgresType> parse_type_name(std::string_view name) {
  static const std::map<std::string_view, PostgresType> kAliases = {
      {"bool", PostgresType::kBoolean},       {"int2", PostgresType::kSmallint},
      {"int", PostgresType::kInteger},        {"int4", PostgresType::kInteger},
      {"int8", PostgresType::kBigint},        {"float8", PostgresType::kDouble},
      {"float4", PostgresType::kReal},        {"decimal", PostgresType::kNumeric},
      {"varchar", PostgresType::kVarchar},    {"timestamptz", PostgresType::kTimestamptz},
      {"timestamp", PostgresType::kTimestamp}};
  if (auto alias = kAliases.find(name); alias != kAliases.end()) return alias->second;
  auto found = std::find(kTypeNames.begin(), kTypeNames.end(), name);
  if (found == kTypeNames.end()) return std::nullopt;
  return static_cast<PostgresType>(found - kTypeNames.begin());
}

PostgresType usual_type(Type type) {
  switch (type) {
    case Type::kBoolean:
      return PostgresType::kBoolean;
    case Type::kInteger:
      return PostgresType::kInteger;
    case Type::kBigint:
      return PostgresType::kBigint;
    case Type::kDouble:
      return PostgresType::kDouble;
    case Type::kTimestamp:
      return PostgresType::kTimestamptz;
    case Type::kVarchar:
      return PostgresType::kText;
    case Type::kJson:
      return PostgresType::kJsonb;
  }
  return PostgresType::kText;
}

// Those that hold every value of the field, or whose others are found before they are written.
std::vector<PostgresType> fitting_types(Type type) {
  using enum PostgresType;
  switch (type) {
    case Type::kBoolean:
      return {kBoolean};
    case Type::kInteger:
    case Type::kBigint:
      return {kBigint, kInteger, kSmallint, kNumeric};
    case Type::kDouble:
      return {kDouble, kReal, kNumeric, kBigint, kInteger, kSmallint};
    case Type::kTimestamp:
      return {kTimestamptz, kTimestamp};
    case Type::kVarchar:
      return {kText, kVarchar, kUuid};
    case Type::kJson:
      return {kJsonb, kJson, kText};
  }
  return {};
}
bool contains(const std::vector<PostgresType>& types, PostgresType type) {
  return std::find(types.begin(), types.end(), type) != types.end();
}
std::string list_types(const std::vector<PostgresType>& types) {
  std::vector<std::string> names;
  for (PostgresType type : types) names.emplace_back(postgres_type_name(type));
  return join(names, " or ");
}

PostgresColumn object_column(const Schema& schema, const std::vector<size_t>& fields, std::string name,
                             PostgresNested nested) {
  PostgresColumn column;
  column.kind = PostgresColumn::kObject;
  column.name = std::move(name);
  column.from = Type::kJson;
  column.type = nested == PostgresNested::kText ? PostgresType::kText : PostgresType::kJsonb;
  column.object_fields = fields;
  for (size_t field : fields) {
    Field inside = schema.fields[field];
    inside.path = member_path(inside);
    inside.path.erase(inside.path.begin());
    column.object_layout.push_back(std::move(inside));
  }
  return column;
}

Status check_names(const PostgresTable& table) {
  std::set<std::string> seen;
  for (const PostgresColumn& column : table.columns) {
    const bool named = !column.name.empty() && column.name.find('\0') == std::string::npos;
    if (!named || column.name.size() > kLongestName) {
      return user_error("serve.postgres: " + (named ? "column " + column.name : "a field without a name") +
                        " cannot be a column; its name must have 1 to 63 bytes: rename the field");
    }
    if (!seen.insert(column.name).second)
      return user_error("serve.postgres: two columns " + column.name + "; rename one of the fields");
  }
  return {};
}

// "rawdata" or "app.rawdata".
Status set_name(const std::string& asked, PostgresTable* table) {
  const size_t dot = asked.find('.');
  if (dot != std::string::npos) table->schema = asked.substr(0, dot);
  table->name = dot == std::string::npos ? asked : asked.substr(dot + 1);
  const bool schema_ok = dot == std::string::npos || (dot > 0 && dot <= kLongestName);
  const bool ours = table->name.starts_with("tidemill_");
  if (schema_ok && !ours && !table->name.empty() && table->name.size() <= kLongestName) return {};
  return user_error("serve.postgres.table: " + asked + " cannot be used; " +
                    (ours ? "names beginning with tidemill_ are the program's own"
                          : "give a name of at most 63 bytes, or schema.name"));
}

const PostgresColumn* column_of(const PostgresTable& table, const Schema& schema, const std::string& field) {
  const int index = schema.find(field);
  for (const PostgresColumn& column : table.columns) {
    const bool that = column.kind == PostgresColumn::kField ? static_cast<int>(column.field) == index
                                                            : column.name == field;
    if (that) return &column;
  }
  return nullptr;
}

// "varchar(10)", "numeric(12, 3)"; false where it is no type.
bool set_type(const std::string& asked, PostgresColumn* column) {
  std::string type = to_lower(asked);
  std::vector<int32_t> sizes;
  if (const size_t open = type.find('('); open != std::string::npos && type.back() == ')') {
    const std::string inside = type.substr(open + 1, type.size() - open - 2);
    for (size_t at = 0; at <= inside.size();) {
      const size_t end = std::min(inside.find(',', at), inside.size());
      const std::string_view number = trim(std::string_view(inside).substr(at, end - at));
      int32_t size = 0;
      const auto read = std::from_chars(number.data(), number.data() + number.size(), size);
      if (number.empty() || read.ec != std::errc{} || read.ptr != number.data() + number.size()) return false;
      sizes.push_back(size);
      at = end + 1;
    }
    type = trim(std::string_view(type).substr(0, open));
  }
  auto parsed = parse_type_name(type);
  if (!parsed) return false;
  column->type = *parsed;
  if (sizes.empty()) return true;
  if (*parsed == PostgresType::kVarchar) {
    column->max_chars = sizes[0];
    return sizes.size() == 1 && sizes[0] > 0;
  }
  column->precision = sizes[0];
  column->scale = sizes.size() > 1 ? sizes[1] : 0;
  return *parsed == PostgresType::kNumeric && sizes.size() <= 2 && column->precision > 0 &&
         column->precision <= kMostDigits && column->scale >= 0 && column->scale <= column->precision;
}

Status set_types(const Schema& schema, const PostgresTableOptions& options, PostgresTable* table) {
  for (const auto& [field, name] : options.types) {
    const PostgresColumn* found = column_of(*table, schema, field);
    if (found == nullptr) return user_error("serve.postgres.types." + field + ": no column is made of it");
    PostgresColumn& column = table->columns[static_cast<size_t>(found - table->columns.data())];
    const std::vector<PostgresType> fitting = fitting_types(column.from);
    if (!set_type(name, &column) || !contains(fitting, column.type)) {
      return user_error("serve.postgres.types." + field + ": " + name + " does not fit; it may be " +
                        list_types(fitting));
    }
  }
  return {};
}

Status set_key(const Schema& schema, const PostgresTableOptions& options, PostgresTable* table) {
  for (const std::string& field : options.key) {
    const PostgresColumn* column = column_of(*table, schema, field);
    if (column == nullptr || column->kind != PostgresColumn::kField)
      return user_error("serve.postgres.key: " + field + " is not a column of its own");
    if (!column->not_null) {
      return user_error("serve.postgres.key: events may lack " + field +
                        ", and a key cannot be NULL; make the field required, so that such events go to the "
                        "dead letters");
    }
    table->key.push_back(column->name);
  }
  if (options.mode != PostgresMode::kAppend && options.key.empty())
    return user_error("serve.postgres.key: is missing; upsert and insert-new tell rows apart by it");
  if (options.partitions == 0) return {};
  const std::string last = table->name + "_p" + std::to_string(options.partitions);
  if (last.size() > kLongestName)
    return user_error("serve.postgres.table: " + last + " is longer than 63 bytes; give a shorter name");
  const PostgresColumn* by = column_of(*table, schema, options.partition_by);
  if (by == nullptr || by->kind != PostgresColumn::kField) {
    return user_error("serve.postgres.partition_by: " +
                      (options.partition_by.empty() ? "is missing; give a field"
                                                    : options.partition_by + " is not a column of its own"));
  }
  if (!table->key.empty() && std::find(table->key.begin(), table->key.end(), by->name) == table->key.end()) {
    return user_error("serve.postgres.partition_by: " + by->name +
                      " is not in serve.postgres.key, and PostgreSQL can tell keys apart only within a "
                      "partition; add it to the key");
  }
  return {};
}

// "deviceId, at desc" → "\"deviceId\", \"at\" DESC".
Result<std::string> index_columns(const PostgresTable& table, const std::string& asked) {
  std::string sql;
  for (size_t at = 0; at <= asked.size();) {
    const size_t end = std::min(asked.find(',', at), asked.size());
    std::string name(trim(std::string_view(asked).substr(at, end - at)));
    at = end + 1;
    std::string order;
    if (const size_t space = name.rfind(' '); space != std::string::npos) {
      const std::string word = to_lower(name.substr(space + 1));
      if (word == "desc" || word == "asc") {
        order = word == "desc" ? " DESC" : "";
        name = std::string(trim(std::string_view(name).substr(0, space)));
      }
    }
    auto known = std::any_of(table.columns.begin(), table.columns.end(),
                             [&](const PostgresColumn& column) { return column.name == name; });
    if (!known) {
      return user_error("serve.postgres.indexes: \"" + asked + "\": " + (name.empty() ? "a name" : name) +
                        " is no column; give columns with commas, each with desc where it descends");
    }
    sql += (sql.empty() ? "" : ", ") + quote_identifier(name) + order;
  }
  return sql;
}

std::string full_type(const PostgresColumn& column) {
  std::string type(postgres_type_name(column.type));
  if (column.precision > 0)
    return type + "(" + std::to_string(column.precision) + "," + std::to_string(column.scale) + ")";
  return column.max_chars > 0 ? type + "(" + std::to_string(column.max_chars) + ")" : type;
}

struct Described {
  std::string type;
  int32_t max_chars = 0;
  int32_t precision = 0, scale = 0;
  bool not_null = false;
  bool fills_itself = false;  // has a default
  bool generated = false;
};

// The scale has 11 bits, and may be negative.
void set_numeric(int64_t modifier, Described* column) {
  column->precision = static_cast<int32_t>(modifier >> 16);
  column->scale = static_cast<int32_t>((modifier & 0x7FF) ^ 0x400) - 0x400;
}

Result<std::map<std::string, Described>> describe(pg::Connection& connection, const std::string& oid) {
  TM_ASSIGN(
      pg::Answer answer,
      connection.execute("SELECT attname, format_type(atttypid, NULL), atttypmod, attnotnull, atthasdef OR "
                         "attidentity <> '', attgenerated <> '' OR attidentity = 'a' FROM pg_attribute "
                         "WHERE attrelid = " +
                         oid + " AND attnum > 0 AND NOT attisdropped"));
  std::map<std::string, Described> columns;
  for (size_t i = 0; i < answer.rows(); ++i) {
    Described one;
    one.type = answer.text(i, 1);
    if (one.type == "character varying" && answer.integer(i, 2) > 4)
      one.max_chars = static_cast<int32_t>(answer.integer(i, 2)) - 4;
    if (one.type == "numeric" && answer.integer(i, 2) > 4) set_numeric(answer.integer(i, 2) - 4, &one);
    one.not_null = answer.text(i, 3) == "t";
    one.fills_itself = answer.text(i, 4) == "t";
    one.generated = answer.text(i, 5) == "t";
    columns.emplace(answer.text(i, 0), std::move(one));
  }
  return columns;
}

Status compare(std::map<std::string, Described> is, PostgresTable* table) {
  const std::string place = "table " + table->sql_name() + " exists with other columns: ";
  for (PostgresColumn& column : table->columns) {
    auto found = is.find(column.name);
    if (found == is.end()) {
      return user_error(place + quote_identifier(column.name) + " " + full_type(column) + " is missing" +
                        kWayOut);
    }
    const Described& have = found->second;
    auto type = parse_type_name(have.type);
    const std::vector<PostgresType> fitting = fitting_types(column.from);
    if (!type || !contains(fitting, *type) || have.generated) {
      return user_error(place + quote_identifier(column.name) + " is " + have.type +
                        (have.generated ? ", generated" : "") + ", where it must be " + list_types(fitting) +
                        kWayOut);
    }
    if (have.not_null && !column.not_null) {
      return user_error(place + quote_identifier(column.name) + " must not be NULL, but events may lack it" +
                        kWayOut);
    }
    column.type = *type;
    if (have.scale < 0)
      return user_error(place + quote_identifier(column.name) +
                        " is numeric with a negative scale, which rounds whole numbers" + kWayOut);
    column.max_chars = have.max_chars;
    column.precision = have.precision;
    column.scale = have.scale;
    is.erase(found);
  }
  for (const auto& [name, extra] : is) {
    if (extra.not_null && !extra.fills_itself) {
      return user_error(place + quote_identifier(name) +
                        " must not be NULL, has no default, and is not in the "
                        "events" +
                        kWayOut);
    }
  }
  return {};
}

// Its indexes: which columns of text they hold, and whether one is unique by the key alone.
Status read_indexes(pg::Connection& connection, const std::string& oid, PostgresTable* table) {
  TM_ASSIGN(
      pg::Answer answer,
      connection.execute(
          "SELECT i.indexrelid, i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL AND "
          "i.indisvalid AND i.indimmediate, a.attname, k.n <= i.indnkeyatts "
          "FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(attnum, n) "
          "LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0 "
          "WHERE i.indrelid = " +
          oid + " ORDER BY i.indexrelid, k.n"));
  std::map<std::string, std::set<std::string>> unique;
  std::map<std::string, std::vector<size_t>> texts;
  for (size_t i = 0; i < answer.rows(); ++i) {
    const std::string index(answer.text(i, 0)), name(answer.text(i, 2));
    if (answer.text(i, 1) == "t" && answer.text(i, 3) == "t") unique[index].insert(name);
    for (size_t c = 0; c < table->columns.size(); ++c) {
      const PostgresType type = table->columns[c].type;
      if (table->columns[c].name == name && (type == PostgresType::kText || type == PostgresType::kVarchar))
        texts[index].push_back(c);
    }
  }
  for (auto& [index, columns] : texts) table->indexed.push_back(std::move(columns));
  if (table->key.empty()) return {};
  const std::set<std::string> key(table->key.begin(), table->key.end());
  for (const auto& [index, columns] : unique) {
    if (columns == key) return {};
  }
  std::vector<std::string> names;
  for (const std::string& column : table->key) names.push_back(quote_identifier(column));
  return user_error("table " + table->sql_name() +
                    " has no unique index of exactly serve.postgres.key; CREATE " + "UNIQUE INDEX ON " +
                    table->sql_name() + " (" + join(names, ", ") + "), or name another key");
}

}  // namespace

std::string_view postgres_type_name(PostgresType type) {
  return kTypeNames[static_cast<size_t>(type)];
}

std::string PostgresTable::in_schema(const std::string& other) const {
  return (schema.empty() ? "" : quote_identifier(schema) + ".") + quote_identifier(other);
}

std::string PostgresTable::column_list() const {
  std::string list;
  for (const PostgresColumn& column : columns)
    list += (list.empty() ? "" : ", ") + quote_identifier(column.name);
  return list;
}

Result<PostgresTable> make_postgres_table(const Schema& schema, const PostgresTableOptions& options) {
  PostgresTable table;
  TM_TRY(set_name(options.table, &table));
  std::map<std::string, std::vector<size_t>> by_object;
  for (size_t i = 0; i < schema.fields.size(); ++i) {
    std::vector<std::string> path = member_path(schema.fields[i]);
    if (path.size() > 1) by_object[path[0]].push_back(i);
  }
  for (size_t i = 0; i < schema.fields.size(); ++i) {
    std::vector<std::string> path = member_path(schema.fields[i]);
    if (path.size() == 1 || options.nested == PostgresNested::kColumns) {
      PostgresColumn column;
      column.name = join(path, "_");
      column.from = schema.fields[i].type;
      column.type = usual_type(column.from);
      column.not_null = !schema.fields[i].nullable;
      column.field = i;
      table.columns.push_back(std::move(column));
      continue;
    }
    const std::vector<size_t>& object = by_object[path[0]];
    if (object[0] != i) continue;  // an object stands where its first member does
    table.columns.push_back(object_column(schema, object, path[0], options.nested));
  }
  if (table.columns.empty()) return user_error("serve.postgres: the event has no fields to store");
  if (!options.stored_at.empty()) {
    PostgresColumn column;
    column.kind = PostgresColumn::kStoredAt;
    column.name = options.stored_at;
    column.from = Type::kTimestamp;
    column.type = PostgresType::kTimestamptz;
    column.not_null = true;
    table.columns.push_back(std::move(column));
  }
  TM_TRY(check_names(table));
  TM_TRY(set_types(schema, options, &table));
  TM_TRY(set_key(schema, options, &table));
  for (const std::string& index : options.indexes) TM_TRY(index_columns(table, index));
  return table;
}

std::vector<std::string> create_postgres_table_sql(const PostgresTable& table,
                                                   const PostgresTableOptions& options) {
  std::string sql = "CREATE TABLE " + table.sql_name() + " (";
  std::string partition_by;
  for (const PostgresColumn& column : table.columns) {
    if (sql.back() != '(') sql += ",";
    sql += "\n  " + quote_identifier(column.name) + " " + full_type(column) +
           (column.not_null ? " NOT NULL" : "");
  }
  std::vector<std::string> key;
  for (const std::string& column : table.key) key.push_back(quote_identifier(column));
  if (!key.empty()) sql += ",\n  PRIMARY KEY (" + join(key, ", ") + ")";
  sql += "\n)";
  std::vector<std::string> statements;
  if (options.partitions > 0) {
    std::vector<std::string> path = split_path(options.partition_by);
    sql += " PARTITION BY HASH (" + quote_identifier(join(path, "_")) + ")";
  }
  statements.push_back(std::move(sql));
  for (int32_t p = 0; p < options.partitions; ++p) {
    statements.push_back("CREATE TABLE " + table.in_schema(table.name + "_p" + std::to_string(p)) +
                         " PARTITION OF " + table.sql_name() + " FOR VALUES WITH (MODULUS " +
                         std::to_string(options.partitions) + ", REMAINDER " + std::to_string(p) + ")");
  }
  for (const std::string& index : options.indexes) {
    auto columns = index_columns(table, index);
    TM_CHECK(columns.ok(), "make_postgres_table() has checked it");
    statements.push_back("CREATE INDEX ON " + table.sql_name() + " (" + *columns + ")");
  }
  return statements;
}

Status create_or_check_postgres_table(pg::Connection& connection, const PostgresTableOptions& options,
                                      PostgresTable* table) {
  const std::string find =
      "SELECT c.oid, c.relkind, c.relpersistence FROM pg_class c WHERE c.oid = to_regclass(" +
      quote_literal(table->sql_name()) + ")";
  TM_ASSIGN(pg::Answer found, connection.execute(find));
  if (found.rows() == 0) {
    for (const std::string& sql : create_postgres_table_sql(*table, options)) {
      auto created = connection.execute(sql);
      if (!created.ok()) return std::move(created).error().within("serve.postgres.table " + options.table);
    }
    TM_ASSIGN(found, connection.execute(find));
    if (found.rows() == 0) {
      return user_error("serve.postgres.table: the table that was created, " + table->sql_name() +
                        ", is not found; name its schema, as public." + table->name);
    }
  }
  const std::string kind(found.text(0, 1));
  if (kind != "r" && kind != "p")
    return user_error("serve.postgres.table: " + table->sql_name() + " is no table; choose another name");
  if (found.text(0, 2) == "u") {
    return user_error("serve.postgres.table: " + table->sql_name() +
                      " is UNLOGGED: a crash of the server empties it; ALTER TABLE … SET LOGGED");
  }
  const std::string oid(found.text(0, 0));
  TM_ASSIGN(auto columns, describe(connection, oid));
  TM_TRY(compare(std::move(columns), table));
  return read_indexes(connection, oid, table);
}

}  // namespace tidemill::serve
