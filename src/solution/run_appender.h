// Appends to a run's log, wherever its owner is.
#pragma once

#include <string>

#include "simulate/appender.h"
#include "solution/access.h"

namespace tidemill::solution {

// Makes appenders that reach the run's owner over a line of their own: when the owner was replaced the calls
// between fail retryably, as appender.h has it. `access` outlives them.
simulate::AppenderFactory run_appenders(RunAccess& access);

}  // namespace tidemill::solution
