#include "solution/query_parquet.h"

#include <filesystem>
#include <system_error>

#include "base/logging.h"
#include "serve/parquet_table.h"
#include "solution/host.h"
#include "solution/query.h"
#include "solution/query_text.h"
#include "solution/wire.h"

namespace tidemill::solution {
namespace {

std::string view_of_folder(const std::string& folder, const std::string& sql) {
  return "CREATE TEMP VIEW " + serve::quote_identifier(folder.substr(folder.rfind('/') + 1)) + " AS " + sql +
         ";";
}

Result<bool> finds(duck::Database& database, const std::string& pattern) {
  TM_ASSIGN(auto connection, database.connect());
  TM_ASSIGN(auto rows, connection->query("SELECT 1 FROM glob(" + pattern + ") LIMIT 1"));
  TM_ASSIGN(size_t count, rows->next());
  return count > 0;
}

// What stands for the table's files in SQL; empty: there are none. A file that the sink did not write is left
// out, whatever columns it has.
Result<std::string> files_of(const std::string& folder) {
  namespace fs = std::filesystem;
  std::string own, foreign;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (name == ".tidemill") at.disable_recursion_pending();
    if (!name.ends_with(".parquet")) continue;
    const std::string path = at->path().string();
    if (serve::is_parquet_name(name)) {
      own += (own.empty() ? "[" : ", ") + serve::quote_path(path);
    } else {
      foreign += (foreign.empty() ? "" : ", ") + path;
    }
  }
  if (error) return external_error(folder + ": " + error.message());
  if (foreign.empty()) return own.empty() ? own : serve::parquet_glob(folder);
  log_warning("query: left out, for the sink has not written it: " + foreign);
  return own.empty() ? own : own + "]";
}

// With the dead letters beside it, where there are some.
Result<std::string> views_of(duck::Database& database, const serve::ParquetTable& table,
                             const std::string& folder, const std::string& dead_letters) {
  TM_ASSIGN(std::string files, files_of(folder));
  TM_ASSIGN(std::string sql, serve::parquet_rows_sql(table, files));
  std::string views = view_of_folder(folder, sql);
  const std::string letters = serve::quote_literal(pattern_of(dead_letters) + "/*/*.jsonl");
  TM_ASSIGN(bool dead, finds(database, letters));
  if (dead)
    views += view_of_folder(dead_letters, "FROM read_json_auto(" + letters +
                                              ", format = 'newline_delimited', union_by_name = true)");
  return views;
}

}  // namespace

Result<QueryStore> open_parquet_store(Host& host, const Solution& solution, const std::string& query) {
  const DeltaFolders folders = parquet_folders(solution, host.directory());
  FileSystem& files = FileSystem::posix();
  QueryStore store;
  TM_ASSIGN(auto table, serve::read_parquet_table(files, folders.table));
  if (!table) {
    return user_error(solution.name + " has no Parquet files in " + folders.table + " yet; tidemill run " +
                      solution.name + " writes them");
  }
  TM_ASSIGN(store.database, open_query_database(host, solution));
  TM_ASSIGN(store.prepare, views_of(*store.database, *table, folders.table, folders.dead_letters));
  std::vector<std::string> read{folders.table, folders.dead_letters};
  for (const std::string& into : replays_in(host, query)) {
    const std::string folder = join_path(parent_path(folders.table), into);
    TM_ASSIGN(auto replayed, serve::read_parquet_table(files, folder));
    if (!replayed) continue;
    TM_ASSIGN(std::string views, views_of(*store.database, *replayed, folder, folder + "_dead_letters"));
    store.prepare += views;
    read.insert(read.end(), {folder, folder + "_dead_letters"});
  }
  // A pattern is looked at before the files that it finds.
  const size_t folders_read = read.size();
  for (size_t i = 0; i < folders_read; ++i) read.push_back(pattern_of(read[i]));
  TM_TRY(store.database->lock_down(read));
  return store;
}

}  // namespace tidemill::solution
