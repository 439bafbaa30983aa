#include <cstdio>
#include <cstdlib>

#include "cli/program.h"
#include "solution/query_runner.h"

int main(int argc, char** argv) {
  int code = tidemill::cli::run_program(argc, argv);
  // Everything is closed but for a query that could not be stopped: its thread must not run while the
  // libraries that it uses are taken down.
  if (tidemill::solution::abandoned_queries() > 0) {
    std::fflush(nullptr);
    std::_Exit(code);
  }
  return code;
}
