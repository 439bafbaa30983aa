#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace tidemill {

void check_failed(const char* expression, const char* file, int line, const char* message) {
  std::fprintf(stderr, "tidemill: %s:%d: invariant broken: %s %s\n", file, line, expression, message);
  std::abort();
}

}  // namespace tidemill
