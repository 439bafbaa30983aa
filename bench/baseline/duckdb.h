// Telemetry rows in ready data chunks, handed to DuckDB's appender in transactions of whole row
// groups: what storing costs when everything before it is free.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "baseline/decode.h"

namespace baseline {

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
  struct Cost {
    double wall_s = 0;
    double cpu_s = 0;
  };
  Cost append(const std::string& path, int connections, int threads, size_t transaction_rows = 122'880);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace baseline
