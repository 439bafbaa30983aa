// `tidemill vacuum`: removes the files of Delta tables that nobody needs any more, and merges small ones.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"
#include "solution/config.h"

namespace tidemill::solution {

// Of serve.delta: its table is not in a run's directory.
bool table_is_elsewhere(const Solution& solution);

struct VacuumRequest {
  std::string run_directory;  // where tables are that the solution names without a place
  int64_t retention_us = -1;  // -1: the solution's
  bool dry_run = false;
  bool merge = false;      // small files first
  bool unchecked = false;  // however short it is
};

// Of the solution's table and of that of its dead letters; also while a pipeline writes them. `print` takes
// lines. Errors (kUser): it serves no Delta table, there is none yet, or the retention is too short.
Status vacuum_tables(const Solution& solution, const VacuumRequest& request,
                     const std::function<void(const std::string&)>& print);

}  // namespace tidemill::solution
