#include "serve/parquet_files.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/file_system.h"
#include "event/json_splice.h"

namespace tidemill::serve {
namespace {

namespace dom = simdjson::dom;

constexpr size_t kLongestStat = 64;  // bytes; longer texts help no reader

// Types that every reader of such files has, and values that name a folder exactly.
void as_parquet(TableColumn& column) {
  if (column.kind == TableColumn::kStruct) {
    column.type = "STRUCT(";
    for (TableColumn& member : column.members) {
      as_parquet(member);
      if (column.type.back() != '(') column.type += ", ";
      column.type += quote_identifier(member.name) + " " + member.type;
    }
    column.type += ")";
  } else if (column.type == "TIMESTAMP") {
    column.type = "TIMESTAMP WITH TIME ZONE";
  } else if (column.type == "JSON") {
    column.type = "VARCHAR";
  }
}

Status check_column_name(const TableColumn& column, const std::string& section) {
  if (column.name.find_first_of(" ,;{}()\n\t=") != std::string::npos) {
    return user_error(section + ": column \"" + column.name +
                      "\": a name in such a table has no spaces and none of ,;{}()=; rename the field");
  }
  for (const TableColumn& member : column.members) TM_TRY(check_column_name(member, section));
  return {};
}

// DuckDB's value as JSON of a type; empty: it is left out.
std::string stat_value(const std::string& type, std::string_view value) {
  if (type == "BIGINT" || type == "INTEGER") return std::string(value);
  if (type == "DOUBLE") {
    const bool number = value.find_first_not_of("+-.0123456789eE") == std::string_view::npos;
    return number ? std::string(value) : std::string();
  }
  if (type.starts_with("TIMESTAMP")) {
    std::string text(value);
    if (!text.ends_with("+00") || text.size() < 22 || text[10] != ' ') return {};
    text.replace(text.size() - 3, 3, "Z");
    text[10] = 'T';
    return '"' + text + '"';
  }
  if (type == "VARCHAR" && value.size() <= kLongestStat) {
    std::string out;
    append_json_string(value, &out);
    return out;
  }
  return {};
}

// The members of one kind of statistics, in the layout's order: {"a":1,"s":{"b":2}}.
class Statistics {
 public:
  explicit Statistics(const dom::object& columns) : columns_(columns) {}

  std::string of(const std::vector<TableColumn>& columns, const char* kind,
                 const std::string& above = {}) const {
    std::string out;
    for (const TableColumn& column : columns) {
      const std::string path = above + (above.empty() ? "" : ".") + quote_identifier(column.name);
      std::string value = column.kind == TableColumn::kStruct ? of(column.members, kind, path)
                                                              : leaf(path, column.type, kind);
      if (value.empty() || value == "{}") continue;
      if (!out.empty()) out += ',';
      append_json_string(column.name, &out);
      out += ':' + value;
    }
    return "{" + out + "}";
  }

 private:
  std::string leaf(const std::string& path, const std::string& type, const char* kind) const {
    dom::object one;
    std::string_view value, nan;
    if (columns_.at_key(path).get_object().get(one) != simdjson::SUCCESS) return {};
    if (one[kind].get_string().get(value) != simdjson::SUCCESS) return {};
    if (std::string_view(kind) == "null_count") return std::string(value);
    const bool ordered = one["has_nan"].get_string().get(nan) != simdjson::SUCCESS || nan == "false";
    return ordered ? stat_value(type, value) : std::string();
  }
  const dom::object& columns_;
};

std::string row_json(const duck::Rows& rows, size_t column, size_t row) {
  std::string out;
  rows.append_json(column, row, &out);
  return out;
}

}  // namespace

Result<TableLayout> make_parquet_layout(const Schema& schema, const TableOptions& options,
                                        const std::vector<std::string>& partition_by,
                                        const std::string& section) {
  TM_ASSIGN(TableLayout layout, make_table_layout(schema, options));
  for (TableColumn& column : layout.columns) {
    as_parquet(column);
    TM_TRY(check_column_name(column, section));
  }
  for (const std::string& name : partition_by) {
    auto column = std::find_if(layout.columns.begin(), layout.columns.end(),
                               [&](const TableColumn& one) { return one.name == name; });
    if (column == layout.columns.end())
      return user_error(section + ".partition_by: there is no column " + name);
    if (column->type != "VARCHAR" && column->type != "BIGINT" && column->type != "INTEGER" &&
        column->type != "BOOLEAN") {
      return user_error(section + ".partition_by: " + name + " is " + column->type +
                        "; a partition goes by texts, whole numbers or booleans");
    }
  }
  if (partition_by.size() == layout.columns.size())
    return user_error(section + ".partition_by: leaves no column for the files; name fewer");
  return layout;
}

ParquetWriter::ParquetWriter(duck::Connection& connection, const TableLayout& layout, ParquetOptions options)
    : connection_(connection), layout_(layout), options_(std::move(options)) {}

Status ParquetWriter::prepare() {
  TM_ASSIGN(feed_, RowFeed::open(connection_, layout_, options_.threads));
  return {};
}

Result<std::vector<ParquetFile>> ParquetWriter::write(const std::vector<KeptRows>& rows, int64_t stored_at_us,
                                                      const std::string& stem) {
  feed_->give(rows, stored_at_us);
  auto files = write_query("SELECT " + options_.select + " FROM " + feed_->name() + "()", stem);
  feed_->take_back();
  return files;
}

Result<std::vector<ParquetFile>> ParquetWriter::write_query(const std::string& sql, const std::string& stem) {
  std::string options = "FORMAT parquet, RETURN_STATS, COMPRESSION " + options_.codec;
  std::string target = join_path(options_.folder, stem + "." + options_.extension);
  if (!options_.partition_by.empty()) {
    target = options_.folder;
    std::string columns;
    for (const std::string& column : options_.partition_by)
      columns += (columns.empty() ? "" : ", ") + quote_identifier(column);
    // Two values may have one folder, NULL and its name there: a counter would give their files one name.
    options += ", PARTITION_BY (" + columns + "), OVERWRITE_OR_IGNORE true, FILENAME_PATTERN " +
               quote_literal(stem + "-{uuid}") + ", FILE_EXTENSION " + quote_literal(options_.extension);
  } else {
    options += ", USE_TMP_FILE false";
  }
  TM_ASSIGN(auto rows,
            connection_.query("COPY (" + sql + ") TO " + quote_literal(target) + " (" + options + ")"));
  // filename, count, file_size_bytes, footer_size_bytes, column_statistics, partition_keys
  std::vector<ParquetFile> files;
  dom::parser parser;
  for (;;) {
    TM_ASSIGN(size_t count, rows->next());
    if (count == 0) break;
    for (size_t i = 0; i < count; ++i) {
      ParquetFile file;
      const std::string path(rows->text(0, i));
      TM_CHECK(path.starts_with(options_.folder + "/"), "DuckDB writes where it was told to");
      file.name = path.substr(options_.folder.size() + 1);
      file.rows = rows->integer(1, i);
      file.size_bytes = rows->integer(2, i);
      const std::string statistics = row_json(*rows, 4, i);
      dom::object columns;
      if (parser.parse(statistics).get_object().get(columns) != simdjson::SUCCESS)
        return internal_error("DuckDB's statistics of " + path + " are no JSON object");
      const Statistics of(columns);
      file.stats = fmt::format("{{\"numRecords\":{},\"minValues\":{},\"maxValues\":{},\"nullCount\":{}}}",
                               file.rows, of.of(layout_.columns, "min"), of.of(layout_.columns, "max"),
                               of.of(layout_.columns, "null_count"));
      for (const std::string& column : options_.partition_by) file.partition[column] = std::nullopt;
      const std::string keys = row_json(*rows, 5, i);
      dom::object values;
      if (!options_.partition_by.empty() &&
          parser.parse(keys).get_object().get(values) == simdjson::SUCCESS) {
        for (const std::string& column : options_.partition_by) {
          std::string_view value;
          if (values.at_key(column).get_string().get(value) == simdjson::SUCCESS && !value.empty())
            file.partition[column] = std::string(value);
        }
      }
      files.push_back(std::move(file));
    }
  }
  return files;
}

}  // namespace tidemill::serve
