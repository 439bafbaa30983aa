#include "serve/parquet_table.h"

#include <simdjson.h>

#include <algorithm>
#include <utility>

#include "event/json_splice.h"
#include "serve/delta_schema.h"

namespace tidemill::serve {
namespace {

namespace dom = simdjson::dom;

// A setting of the list, taken apart: "day(createdAt)".
struct Spelled {
  std::string function;  // empty: a column
  std::string column;
};
Spelled spelled(const std::string& partition) {
  const size_t open = partition.find('(');
  if (open == std::string::npos || !partition.ends_with(")")) return {"", partition};
  return {partition.substr(0, open), partition.substr(open + 1, partition.size() - open - 2)};
}

bool names_folders(const std::string& type) {
  return type == "VARCHAR" || type == "BIGINT" || type == "INTEGER" || type == "BOOLEAN";
}

// What an older version of this program, or none, may say.
Result<ParquetTable> parse_table(std::string_view text) {
  dom::parser parser;
  dom::object object, schema;
  dom::array by;
  std::string_view pipeline, source;
  int64_t version = 0;
  if (parser.parse(text.data(), text.size()).get_object().get(object) != simdjson::SUCCESS ||
      object["version"].get_int64().get(version) != simdjson::SUCCESS ||
      object["pipeline"].get_string().get(pipeline) != simdjson::SUCCESS ||
      object["source"].get_string().get(source) != simdjson::SUCCESS ||
      object["schema"].get_object().get(schema) != simdjson::SUCCESS ||
      object["partition_by"].get_array().get(by) != simdjson::SUCCESS)
    return internal_error("it is no description of a table", Code::kCorrupt);
  if (version != 1)
    return user_error("it is of version " + std::to_string(version) +
                      ", this program knows 1; use a newer one");
  ParquetTable table{std::string(pipeline), std::string(source), simdjson::minify(schema), {}};
  for (dom::element one : by) {
    std::string_view partition;
    if (one.get_string().get(partition) != simdjson::SUCCESS)
      return internal_error("a partition is no text", Code::kCorrupt);
    table.partition_by.emplace_back(partition);
  }
  return table;
}

}  // namespace

std::string parquet_table_json(const ParquetTable& table) {
  std::string out = "{\"version\":1,\"pipeline\":";
  append_json_string(table.pipeline, &out);
  out += ",\"source\":";
  append_json_string(table.source, &out);
  out += ",\"schema\":" + table.schema + ",\"partition_by\":[";
  for (const std::string& partition : table.partition_by) {
    if (out.back() != '[') out += ',';
    append_json_string(partition, &out);
  }
  return out + "]}\n";
}

Result<std::optional<ParquetTable>> read_parquet_table(FileSystem& files, const std::string& directory) {
  const std::string path = join_path(directory, ".tidemill/table.json");
  if (!files.exists(path)) return std::optional<ParquetTable>();
  TM_ASSIGN(std::string text, read_file(files, path));
  auto table = parse_table(text);
  if (!table.ok()) return std::move(table).error().within(path);
  return std::optional<ParquetTable>(std::move(*table));
}

std::string derived_from(const std::string& partition) {
  const Spelled parts = spelled(partition);
  return parts.function.empty() ? std::string() : parts.column;
}

std::vector<std::string> plain_partitions(const std::vector<std::string>& partition_by) {
  std::vector<std::string> plain;
  for (const std::string& one : partition_by) {
    if (derived_from(one).empty()) plain.push_back(one);
  }
  return plain;
}

Result<std::vector<ParquetPartitioning>> parquet_partitioning(const std::vector<std::string>& partition_by,
                                                              const std::vector<TableColumn>& columns,
                                                              const std::string& section) {
  const std::string place = section + ".partition_by: ";
  const auto column_of = [&](const std::string& name) {
    return std::find_if(columns.begin(), columns.end(),
                        [&](const TableColumn& one) { return one.name == name; });
  };
  std::vector<ParquetPartitioning> all;
  for (const std::string& one : partition_by) {
    const Spelled parts = spelled(one);
    const auto column = column_of(parts.column);
    if (column == columns.end()) return user_error(place + "there is no column " + parts.column);
    const std::string quoted = quote_identifier(parts.column);
    ParquetPartitioning part{parts.column, column->type, quoted, false};
    if (parts.function.empty()) {
      if (!names_folders(column->type)) {
        return user_error(
            place + one + " is " + column->type +
            "; a partition goes by texts, whole numbers, booleans, or the day or hour of a time, "
            "as day(createdAt)");
      }
      // The empty text would name a folder that Spark does not read.
      if (column->type == "VARCHAR") part.sql = "nullif(" + quoted + ", '')";
    } else {
      if (parts.function != "day" && parts.function != "hour")
        return user_error(place + one + ": it is day(a column) or hour(a column)");
      if (column->type != "TIMESTAMP WITH TIME ZONE")
        return user_error(place + one + ": " + parts.column + " is " + column->type + ", not a time");
      if (column_of(parts.function) != columns.end())
        return user_error(place + one + ": the events have a column " + parts.function + " themselves");
      const bool day = parts.function == "day";
      part = {parts.function, day ? "DATE" : "INTEGER",
              day ? "CAST(" + quoted + " AS DATE)" : "CAST(hour(" + quoted + ") AS INTEGER)", true};
    }
    const bool twice = std::any_of(all.begin(), all.end(),
                                   [&](const ParquetPartitioning& other) { return other.name == part.name; });
    if (twice) return user_error(place + part.name + " is there twice");
    all.push_back(std::move(part));
  }
  return all;
}

std::string parquet_glob(const std::string& directory) {
  std::string literal = quote_path(directory);
  literal.pop_back();
  return literal + "/**/*.parquet'";
}

namespace {

struct Described {
  std::vector<DeltaColumn> columns;  // those of the events, then derived partitions
  std::string hive_types;
};
Result<Described> describe(const ParquetTable& table) {
  Described described;
  TM_ASSIGN(described.columns, delta_columns(table.schema));
  std::vector<TableColumn> named;
  for (const DeltaColumn& column : described.columns) {
    TableColumn one;
    one.name = column.name;
    one.type = column.type;
    named.push_back(std::move(one));
  }
  TM_ASSIGN(auto partitioning, parquet_partitioning(table.partition_by, named, "partition_by"));
  std::string& types = described.hive_types;
  for (const ParquetPartitioning& part : partitioning) {
    types += (types.empty() ? "" : ", ") + quote_literal(part.name) + ": " + part.type;
    if (part.derived) described.columns.push_back({part.name, part.type});
  }
  return described;
}

std::string scan_of(const std::string& files, const std::string& types) {
  return "read_parquet(" + files +
         ", hive_partitioning = " + (types.empty() ? "false" : "true, hive_types = {" + types + "}") + ")";
}

}  // namespace

Result<std::string> parquet_scan_sql(const ParquetTable& table, const std::string& directory) {
  TM_ASSIGN(Described described, describe(table));
  return scan_of(parquet_glob(directory), described.hive_types);
}

bool is_parquet_name(std::string_view name) {
  constexpr std::string_view kEnding = ".parquet";
  constexpr size_t kOffsetDigits = 20;
  if (!name.ends_with(kEnding)) return false;
  name.remove_suffix(kEnding.size());
  // Takes "-17" off its end; how many digits that has.
  const auto take = [&]() -> size_t {
    const size_t dash = name.find_last_not_of("0123456789");
    if (dash == std::string_view::npos || name[dash] != '-') return 0;
    const size_t digits = name.size() - dash - 1;
    name = name.substr(0, dash);
    return digits;
  };
  size_t digits = take();
  if (digits != kOffsetDigits && digits > 0) digits = take();
  return digits == kOffsetDigits && take() > 0 && !name.empty();
}

Result<std::string> parquet_rows_sql(const ParquetTable& table, const std::string& files) {
  TM_ASSIGN(Described described, describe(table));
  std::string list;
  for (const DeltaColumn& column : described.columns) {
    const std::string name = quote_identifier(column.name);
    list += (list.empty() ? "" : ", ") +
            ("CAST(" + (files.empty() ? "NULL" : name) + " AS " + column.type + ") AS ") + name;
  }
  if (files.empty()) return "SELECT " + list + " WHERE false";
  return "SELECT " + list + " FROM " + scan_of(files, described.hive_types);
}

}  // namespace tidemill::serve
