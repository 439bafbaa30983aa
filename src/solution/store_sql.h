// `tidemill schema`: what a solution's store holds, as SQL.
#pragma once

#include <string>

#include "base/result.h"
#include "solution/wire.h"

namespace tidemill::solution {

enum class Dialect : uint8_t {
  kStore,     // the store's own: all that the sink makes
  kDuckDb,    // a table of the events
  kPostgres,  // the same
  kSpark,     // the same
};

// Statements, each with a semicolon, and a comment before each kind of them. `ground` is that of a check.
// Errors: kUser: the store has no SQL; what wire() says.
Result<std::string> store_sql(const Solution& solution, const Ground& ground, Dialect dialect);

}  // namespace tidemill::solution
