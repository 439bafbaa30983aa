#include "support/memory.h"

#include <fstream>
#include <string>

#include "support/measure.h"

namespace tidemill::bench {

double dirty_mb() {
  // Private_Dirty counts anonymous pages, too; Shared_Dirty the mapped ones that others map as well.
  std::ifstream rollup("/proc/self/smaps_rollup");
  double kilobytes = 0;
  std::string name;
  bool found = false;
  for (std::string line; std::getline(rollup, line);) {
    if (!line.starts_with("Private_Dirty:") && !line.starts_with("Shared_Dirty:")) continue;
    kilobytes += std::stod(line.substr(line.find(':') + 1));
    found = true;
  }
  require(found, "/proc/self/smaps_rollup tells what is dirty");
  return kilobytes / 1024;
}

}  // namespace tidemill::bench
