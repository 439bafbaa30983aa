// Telemetry rows in ready data chunks, handed to DuckDB's appender in transactions of whole row
// groups: what storing costs when everything before it is free. And DuckDB's own way from JSON to a table.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "baseline/decode.h"

namespace baseline {

// Seconds: elapsed, and of all threads.
struct DuckDbCost {
  double wall_s = 0;
  double cpu_s = 0;
};

// Creates the database with the table `rawdata` of 32 columns, and has DuckDB read a file of one JSON event a
// line into it, its columns typed as the table's, in one statement; the three times that events have not are
// the clock's. Returns what the statement took, to the end of its commit.
DuckDbCost insert_from_json(const std::string& path, const std::string& json, int threads);

class DuckDbRows {
 public:
  DuckDbRows();
  ~DuckDbRows();

  // Adds the rows of all fields of `columns`, with enqueuedAt, processedAt and storedAt beside them.
  void add(const Telemetry& columns);
  size_t rows() const;

  // Creates the database with the table `rawdata` of 32 columns, appends every row over so many
  // connections, a thread each, and returns the seconds that the appends took. `transaction_rows`: of one
  // transaction.
  DuckDbCost append(const std::string& path, int connections, int threads, size_t transaction_rows = 122'880);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baseline
