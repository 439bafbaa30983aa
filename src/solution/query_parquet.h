// Queries of Parquet files in Hive-style folders: by DuckDB, over the files that have their final names.
#pragma once

#include "solution/query_runner.h"

namespace tidemill::solution {

class Host;
struct Solution;

// Tables: one of the folder's name, and one of the dead letters' where there are some; and those of the
// replays that the SQL `query` may mean. Errors (kUser): nothing was served yet.
Result<QueryStore> open_parquet_store(Host& host, const Solution& solution, const std::string& query);

}  // namespace tidemill::solution
