// `tidemill query`: SQL on the served store, while the pipeline runs or not.
#pragma once

#include <atomic>

#include "duck/duck.h"
#include "solution/socket.h"

namespace tidemill::solution {

class Host;

// Arguments: sql, format=table|csv|json (a line per row), rows (at most so many; default all).
// A query reads: it runs in a read-only transaction on a connection of its own, is interrupted when its time
// is over or its asker has left, and can neither change the store nor stop the pipeline.
Status answer_query(Host& host, const Request& request, const Reply& reply, const std::atomic<bool>& gone);

// Streams a result as text to `reply`.
Status print_rows(duck::Rows& rows, const std::string& format, int64_t max_rows, const Reply& reply);

}  // namespace tidemill::solution
