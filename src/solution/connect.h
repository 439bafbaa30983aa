// `tidemill connect`: how a run's store is reached without this program.
#pragma once

#include <string>

#include "base/result.h"
#include "solution/config.h"

namespace tidemill::solution {

struct ConnectRequest {
  std::string run;        // as commands name it: "telemetry"
  std::string directory;  // the run's
  bool live = false;      // a process owns the run now
};

// One command for a shell (of files their folder), after comments that begin with #. It holds no password.
// Errors: kUser: nothing is stored, or the connection cannot be read.
Result<std::string> connect_text(const Solution& solution, const ConnectRequest& request);

}  // namespace tidemill::solution
