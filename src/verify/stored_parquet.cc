// Rows in Parquet files: the verifier's own reading of which files there are, and of what their folders'
// names say, by DuckDB's reader of a list of files.
//
// Committed is every file that has its final name, and those that the newest record of each partition names,
// which may not have got it yet. A file of a name that no partition's file can have is a fault, and is not
// read.
#include <simdjson.h>

#include <filesystem>
#include <regex>
#include <set>

#include "verify/commit_journal.h"
#include "verify/duck_sql.h"
#include "verify/stores.h"

namespace tidemill::verify {
namespace {

namespace dom = simdjson::dom;
namespace fs = std::filesystem;

constexpr uint64_t kMaxParquetJournalBytes = 1u << 30;

// The value of a column that stands in the names of a file's folders, as an expression of SQL. DuckDB gives
// the file's path as "file name": a name with a space, which no column of such files has.
std::string folder_value(const std::string& directory, std::string_view name) {
  std::string pattern = "(^|/)";
  for (char c : name) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) pattern += '\\';
    pattern += c;
  }
  const std::string below = "substr(r.\"file name\", length(" + sql_quoted(directory, '\'') + ") + 1)";
  return "url_decode(nullif(regexp_extract(" + below + ", " + sql_quoted(pattern + "=([^/]*)/", '\'') +
         ", 2), '__HIVE_DEFAULT_PARTITION__'))";
}

// Of a SELECT. `folders`: the columns of the events that are in the folders' names.
Result<std::string> columns_of(const std::string& description, const std::string& directory, bool any,
                               std::vector<std::string>* folders) {
  dom::parser parser;
  dom::element table;
  dom::array fields, by;
  if (parser.parse(description).get(table) != simdjson::SUCCESS ||
      table["schema"]["fields"].get_array().get(fields) != simdjson::SUCCESS ||
      table["partition_by"].get_array().get(by) != simdjson::SUCCESS)
    return internal_error("it describes no table", Code::kCorrupt);
  std::set<std::string_view> in_folders;
  for (dom::element one : by) {
    std::string_view name;
    if (one.get_string().get(name) == simdjson::SUCCESS) in_folders.insert(name);
  }
  std::string list;
  for (dom::element field : fields) {
    std::string_view name;
    dom::element type;
    if (field["name"].get_string().get(name) != simdjson::SUCCESS ||
        field["type"].get(type) != simdjson::SUCCESS)
      return internal_error("a column has no name or no type", Code::kCorrupt);
    if (in_folders.count(name) > 0) folders->emplace_back(name);
    std::string value =
        in_folders.count(name) > 0 ? folder_value(directory, name) : "r." + sql_quoted(name, '"');
    if (!any) value = "NULL";
    list += (list.empty() ? "" : ", ") + ("CAST(" + value + " AS " + sql_type(type) + ") AS ") +
            sql_quoted(name, '"');
  }
  return list;
}

// Final names, by what stands behind the directory.
Result<std::set<std::string>> final_names(const std::string& directory) {
  std::set<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().string().substr(directory.size() + 1);
    if (name.starts_with(".tidemill")) {
      if (at->is_directory()) at.disable_recursion_pending();
    } else if (name.ends_with(".parquet")) {
      names.insert(name);
    }
  }
  if (error) return external_error(directory + ": " + error.message());
  return names;
}

// "telemetry-0-00000000000000000150.parquet", "telemetry-0-00000000000000000150-1.parquet".
bool is_sinks(const std::string& name) {
  static const std::regex kName(".+-[0-9]+-[0-9]{20}(-[0-9]+)?\\.parquet");
  return std::regex_match(name.substr(name.rfind('/') + 1), kName);
}

// Paths of all files that are committed; what of them is `wrong`.
Result<std::vector<std::string>> committed_files(FileSystem& files, const std::string& directory,
                                                 std::vector<std::string>* wrong) {
  JournalStates states;
  const std::string own = join_path(directory, ".tidemill"), journal = join_path(own, "journal");
  TM_ASSIGN(std::set<std::string> names, final_names(directory));
  TM_ASSIGN(std::string bytes, read_file(files, journal, kMaxParquetJournalBytes));
  auto read = read_journal(bytes);
  if (!read.ok()) return std::move(read).error().within(journal);
  std::vector<std::string> paths;
  for (const auto& [source, state] : *read) {
    for (const JournalWholeFile& file : state.files) {
      std::string path = join_path(directory, file.name);
      if (names.count(file.name) == 0 && !files.exists(path)) {
        const std::string folder = partition_folder(source.first, source.second);
        path = join_path(own, "new/" + folder + "/" + file.name.substr(0, file.name.size() - 7) + "new");
      }
      auto opened = files.open(path, OpenMode::kRead);
      if (!opened.ok()) {
        wrong->push_back(join_path(directory, file.name) + ": it is committed, but not there");
        continue;
      }
      TM_ASSIGN(uint64_t size, (*opened)->size());
      if (size != file.size_bytes)
        return internal_error(path + ": it has " + std::to_string(size) + " bytes, " +
                                  std::to_string(file.size_bytes) + " are committed",
                              Code::kCorrupt);
      names.erase(file.name);
      paths.push_back(std::move(path));
    }
  }
  for (const std::string& name : names) {
    if (is_sinks(name)) {
      paths.push_back(join_path(directory, name));
    } else {
      wrong->push_back(join_path(directory, name) + ": is not the sink's, and others read its rows, too");
    }
  }
  return paths;
}

}  // namespace

Result<DuckTable> open_parquet(FileSystem& files, const ParquetFolder& folder) {
  DuckTable opened;
  TM_ASSIGN(opened.database, duck::Database::open(":memory:", {{"threads", "2"}, {"memory_limit", "1GB"}}));
  opened.table = "parquet_rows";
  opened.unordered = true;
  opened.folders.name_is_value = true;
  const std::string description = join_path(folder.directory, ".tidemill/table.json");
  TM_ASSIGN(std::string text, read_file(files, description));
  TM_ASSIGN(std::vector<std::string> paths, committed_files(files, folder.directory, &opened.wrong));
  auto columns = columns_of(text, folder.directory, !paths.empty(), &opened.folders.names);
  if (!columns.ok()) return std::move(columns).error().within(description);
  std::string list;
  for (const std::string& path : paths) list += (list.empty() ? "" : ", ") + pattern_literal(path);
  TM_ASSIGN(auto connection, opened.database->connect());
  TM_TRY(connection->execute(
      "CREATE VIEW " + opened.table + " AS SELECT " + *columns +
      (paths.empty()
           ? " WHERE false"
           : " FROM read_parquet([" + list + "], hive_partitioning = false, filename = 'file name') AS r")));
  return opened;
}

}  // namespace tidemill::verify
