// `tidemill query`: SQL on the served store, while the pipeline runs or not.
#pragma once

#include <atomic>

#include "duck/duck.h"
#include "solution/query_runner.h"
#include "solution/socket.h"

namespace tidemill::solution {

class Host;
struct Solution;

// Arguments: branch (default: what the solution itself serves), sql, format=table|csv|json (a line per row),
// rows (at most so many; default all); of a Delta table version (a number) or time (the last version not
// after it). A query reads, within its limits, and can neither change the store nor stop the pipeline:
// query_runner.h.
Status answer_query(Host& host, const Request& request, const Reply& reply, const std::atomic<bool>& gone);

// A database in memory for queries of what is not in DuckDB, bounded as `query` says.
Result<std::shared_ptr<duck::Database>> open_query_database(const Host& host, const Solution& solution);

// What queries of the store run on that the solution, or a branch of it, serves. Does not need the log.
// `query`: the SQL, which tells what of other tables is asked for.
Result<QueryStore> open_query_store(Host& host, const Solution& solution, const std::string& query);
// Of the run's replays (run --into) those whose names stand in the SQL `query`.
std::vector<std::string> replays_in(const Host& host, const std::string& query);

// Streams a result as text to `reply`.
Status print_rows(duck::Rows& rows, const std::string& format, int64_t max_rows, const Reply& reply);

}  // namespace tidemill::solution
