// `run --from … --into …`: the log once more through the pipeline, into a table (topic, folder) of its own.
#pragma once

#include "base/result.h"
#include "solution/config.h"
#include "solution/socket.h"
#include "solution/wire.h"

namespace tidemill::solution {

// What the request asks for. Errors (kUser): a time that is none, a name that cannot be one or that something
// else of the solution has already: a replay never writes into what the live pipeline serves.
Result<Replay> parse_replay(const Solution& solution, const Request& request);

}  // namespace tidemill::solution
