// SIGINT and SIGTERM: the first asks for a graceful end, the second ends the process at once. Both
// lose nothing; the second leaves more to recovery.
#pragma once

#include <atomic>

namespace tidemill::solution {

// Installs the handlers (once) and returns the flag that the first signal sets.
const std::atomic<bool>& interrupted();

}  // namespace tidemill::solution
