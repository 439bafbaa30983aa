// SIGINT, SIGTERM and SIGHUP (where it was not ignored, as nohup does): the first asks for a graceful end,
// the second ends the process at once. Both lose nothing; the second leaves more to recovery.
#pragma once

#include <atomic>

namespace tidemill::solution {

// Installs the handlers (once) and returns the flag that the first signal sets.
const std::atomic<bool>& interrupted();

// Asks for a graceful end as the first signal does. A signal after it is again the first.
void interrupt();

}  // namespace tidemill::solution
