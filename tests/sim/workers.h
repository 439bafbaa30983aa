// Runs seeds in processes of their own, side by side: each run is single-threaded, and one that breaks an
// invariant of the program itself (it aborts) is found like any other.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "simulation.h"

namespace tidemill::sim {

struct Range {
  uint64_t first = 1;
  uint64_t last = 0;
};

struct Failure {
  uint64_t seed = 0;
  std::string what;
};

struct Totals {
  uint64_t seeds = 0;
  uint64_t openings = 0;
  uint64_t events = 0;
  uint64_t said_loss = 0;
  uint64_t trace_lines = 0;
  std::vector<Failure> failures;  // by seed
};

// At most `most_failures` are collected; then the rest of the range is left. Told of each failure as it
// comes.
Totals run_range(Range range, int jobs, size_t most_failures,
                 const std::function<void(const Failure&)>& tell);

}  // namespace tidemill::sim
