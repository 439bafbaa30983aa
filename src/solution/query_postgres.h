// Queries of a table in PostgreSQL, in its own SQL.
#pragma once

#include <atomic>

#include "solution/socket.h"

namespace tidemill::solution {

class Host;
struct Solution;

// One statement in a read-only transaction on a connection of its own, ended after query.timeout or when its
// asker has left. Errors: PostgreSQL's; kStopped with the limit that was reached.
Status query_postgres(Host& host, const Solution& solution, const Request& request, const Reply& reply,
                      const std::atomic<bool>& gone);

}  // namespace tidemill::solution
