#include "solution/query_delta.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "base/text.h"
#include "serve/delta_log.h"
#include "serve/delta_schema.h"
#include "solution/delta_store.h"
#include "solution/host.h"
#include "solution/query.h"

namespace tidemill::solution {
namespace {

std::string view_of(const std::string& folder, const std::string& sql) {
  return "CREATE TEMP VIEW " + serve::quote_identifier(folder.substr(folder.rfind('/') + 1)) + " AS " + sql +
         ";";
}

// The live files at `version`, as a view with the table's name.
Result<std::string> view_of_table(Host& host, const Solution& solution, const std::string& table,
                                  int64_t version, int64_t time_ms, QueryStore* store,
                                  std::vector<std::string>* folders) {
  TM_ASSIGN(auto objects,
            open_delta_objects(solution.serve.delta, table, delta_scratch(host.directory(), "query")));
  serve::DeltaLog log(objects, store->database, Clock::system());
  TM_ASSIGN(serve::DeltaState state, log.at(version, time_ms));
  std::vector<std::string> names;
  int64_t bytes = 0;
  for (const auto& [path, file] : state.files) {
    names.push_back(serve::delta_path(path));
    bytes += file.size_bytes;
  }
  if (is_in_azure(solution.serve.delta) && bytes > solution.query.spill_bytes) {
    return user_error(
        fmt::format("{} has {}, which a query copies to this machine, and query.spill is {}; set it higher",
                    table, format_bytes(bytes), format_bytes(solution.query.spill_bytes)));
  }
  TM_ASSIGN(serve::LocalFiles local, objects->fetch(names));
  TM_ASSIGN(std::string sql, serve::delta_rows_sql(state, local.folder()));
  folders->push_back(local.folder());
  store->copies.push_back(std::move(local));
  return view_of(table, sql);
}

}  // namespace

Result<QueryStore> open_delta_store(Host& host, const Solution& solution, const std::string& query,
                                    int64_t version, int64_t time_ms) {
  const DeltaFolders folders = delta_folders(solution, host.directory());
  QueryStore store;
  TM_ASSIGN(store.database, open_query_database(host, solution));
  std::vector<std::string> places;
  TM_ASSIGN(store.prepare, view_of_table(host, solution, folders.table, version, time_ms, &store, &places));
  std::vector<std::string> others{folders.dead_letters};
  for (const std::string& into : replays_in(host, query)) {
    const std::string folder = join_path(parent_path(folders.table), into);
    others.insert(others.end(), {folder, folder + "_dead_letters"});
  }
  for (const std::string& other : others) {
    auto view = view_of_table(host, solution, other, -1, -1, &store, &places);
    if (!view.ok() && view.error().code == Code::kNotFound) continue;
    if (!view.ok()) return std::move(view).error();
    store.prepare += *view;
  }
  TM_TRY(store.database->lock_down(places));
  return store;
}

}  // namespace tidemill::solution
