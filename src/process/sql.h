// sql: a query over the events of an interval, in DuckDB; its rows go on instead of them.
//
// Events are kept in a table `input` as they come: a column for each field that they have here, and
// _partition_id, _partition_offset, _timestamp. When the interval ends the query runs, once; interval_time()
// is where it begins. An interval without events has no rows. The time of an interval is used once in a
// partition, which is its state: the last one.
//
// A row is an event: a JSON object with a member for each column of the result, and the columns beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "pipeline/operator.h"

namespace tidemill::process {

struct SqlOptions {
  std::string query;  // one statement that reads
  int64_t every_us = 0;
  std::string key;    // the column of the result whose value is the rows' key; empty: they have none
  std::string count;  // the column of the result that counts events; empty: there is none
  // Columns of the result by which the sink's table tells rows apart: a row in which one is NULL becomes a
  // dead letter. What is no column of the result is left to the sink.
  std::vector<std::string> table_key;
  // The sink keeps the rows as JSON, which has no infinities and no NaN: a row with one becomes a dead
  // letter.
  bool json_rows = false;
  // Reference tables: name, and file.csv, file.parquet or file.duckdb:table. Read whole when the first event
  // comes.
  std::vector<std::pair<std::string, std::string>> tables;
  // A file that keeps the result's columns for as long as the query and the events' fields are the same: a
  // bind() that is not to `run` takes them from there where a table cannot be read. Empty: there is none.
  std::string noted_columns;
  bool run = true;
  bool whole_topic = false;  // the partition holds all events of the topic; for describe() only
  int64_t memory_limit_bytes = 256ll << 20;
  std::string spill_directory;  // its own, emptied when the first event comes; empty: there is none
  int64_t spill_bytes = 4ll << 30;
  int32_t threads = 2;
};

// Errors of bind(): the query's, with line and column; a table that cannot be read; a key that is no column;
// a count that is none, or no whole number.
Result<std::unique_ptr<pipeline::Operator>> make_sql(SqlOptions options);

}  // namespace tidemill::process
