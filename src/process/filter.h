// filter: passes the events on for which an expression is true, and drops the others (also where it is NULL).
#pragma once

#include <memory>
#include <string>

#include "pipeline/operator.h"

namespace tidemill::process {

// `where`: an expression (docs/operators.md) that is true or false. Its errors come from bind():
// kUser, "where: column 7: …".
Result<std::unique_ptr<pipeline::Operator>> make_filter(std::string where);

}  // namespace tidemill::process
