#include "cli/program.h"

int main(int argc, char** argv) {
  return tidemill::cli::run_program(argc, argv);
}
