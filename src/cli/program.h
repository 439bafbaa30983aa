// The program's command line.
#pragma once

namespace tidemill::cli {

// Parses the arguments, runs the command, returns the exit status: 0 done (verify: PASS), 1 failed (verify:
// FAIL), 2 wrong usage or input, 130 stopped by a signal.
int run_program(int argc, char** argv);

}  // namespace tidemill::cli
