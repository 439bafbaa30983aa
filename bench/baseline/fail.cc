#include "baseline/fail.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace baseline {

void fail(const char* what) {
  std::fprintf(stderr, "baseline failed: %s (%s)\n", what, std::strerror(errno));
  std::exit(1);
}

}  // namespace baseline
