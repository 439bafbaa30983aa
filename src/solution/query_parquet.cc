#include "solution/query_parquet.h"

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

}  // namespace

Result<QueryStore> open_parquet_store(Host& host, const Solution& solution) {
  const DeltaFolders folders = parquet_folders(solution, host.directory());
  QueryStore store;
  TM_ASSIGN(auto table, serve::read_parquet_table(FileSystem::posix(), folders.table));
  if (!table) {
    return user_error(solution.name + " has no Parquet files in " + folders.table + " yet; tidemill run " +
                      solution.name + " writes them");
  }
  TM_ASSIGN(store.database, open_query_database(host, solution));
  TM_ASSIGN(bool any, finds(*store.database, serve::parquet_glob(folders.table)));
  TM_ASSIGN(std::string sql, serve::parquet_rows_sql(*table, folders.table, any));
  store.prepare = view_of_folder(folders.table, sql);
  const std::string letters = serve::quote_literal(pattern_of(folders.dead_letters) + "/*/*.jsonl");
  TM_ASSIGN(bool dead, finds(*store.database, letters));
  if (dead) {
    store.prepare +=
        view_of_folder(folders.dead_letters, "FROM read_json_auto(" + letters +
                                                 ", format = 'newline_delimited', union_by_name = true)");
  }
  // A pattern is looked at before the files that it finds.
  TM_TRY(store.database->lock_down(
      {folders.table, pattern_of(folders.table), folders.dead_letters, pattern_of(folders.dead_letters)}));
  return store;
}

}  // namespace tidemill::solution
