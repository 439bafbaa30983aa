// Queries of a Delta table: by DuckDB, over the files that are live at a version.
#pragma once

#include "solution/query_runner.h"

namespace tidemill::solution {

class Host;
struct Solution;

// Tables: one of the folder's name, the dead letters', and those of the replays that the SQL `query` may
// mean. `version`: of the table; `time_ms`: the last version not after it; -1: the newest. Errors (kUser):
// there is no such version, or no longer.
Result<QueryStore> open_delta_store(Host& host, const Solution& solution, const std::string& query,
                                    int64_t version, int64_t time_ms);

}  // namespace tidemill::solution
