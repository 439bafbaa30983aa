#include "solution/query_delta.h"

#include "serve/delta_log.h"
#include "serve/delta_schema.h"
#include "solution/host.h"
#include "solution/query.h"
#include "solution/wire.h"

namespace tidemill::solution {
namespace {

serve::DeltaLog log_at(const std::string& folder, const std::shared_ptr<duck::Database>& database) {
  return {std::make_shared<serve::FolderStore>(FileSystem::posix(), Random::system(), folder), database,
          Clock::system()};
}

std::string view_of(const std::string& folder, const std::string& sql) {
  return "CREATE TEMP VIEW " + serve::quote_identifier(folder.substr(folder.rfind('/') + 1)) + " AS " + sql +
         ";";
}

}  // namespace

Result<QueryStore> open_delta_store(Host& host, const Solution& solution, int64_t version, int64_t time_ms) {
  const DeltaFolders folders = delta_folders(solution, host.directory());
  QueryStore store;
  TM_ASSIGN(store.database, open_query_database(host, solution));
  TM_ASSIGN(serve::DeltaState state, log_at(folders.table, store.database).at(version, time_ms));
  TM_ASSIGN(std::string sql, serve::delta_rows_sql(state, folders.table));
  store.prepare = view_of(folders.table, sql);
  auto dead = log_at(folders.dead_letters, store.database).at(-1, -1);
  if (dead.ok()) {
    TM_ASSIGN(std::string letters, serve::delta_rows_sql(*dead, folders.dead_letters));
    store.prepare += view_of(folders.dead_letters, letters);
  } else if (dead.error().code != Code::kNotFound) {
    return std::move(dead).error();
  }
  TM_TRY(store.database->lock_down({folders.table, folders.dead_letters}));
  return store;
}

}  // namespace tidemill::solution
