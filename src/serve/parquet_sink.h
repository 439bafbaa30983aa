// Parquet files in Hive-style folders as a sink, exactly once: an epoch ends with its files. Page:
// docs/connectors/parquet.md.
//
// An epoch's files are written below .tidemill/new, under names that no reader looks for, and made durable.
// Then a record of the journal names them and moves the positions on: that decides. Then each gets its final
// name by link(), which never replaces a file; a start completes what a crash has left of that.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "duck/duck.h"
#include "pipeline/sink.h"
#include "serve/journaled_sink.h"
#include "serve/parquet_files.h"
#include "serve/parquet_table.h"

namespace tidemill::serve {

struct ParquetSinkOptions {
  std::string directory;
  std::string dead_directory;
  std::string pipeline;
  std::string source;  // what the topic is a topic of
  Nested nested = Nested::kStruct;
  std::string stored_at;                  // empty: no such column
  std::vector<std::string> partition_by;  // columns, day(column), hour(column)
  std::string codec = "zstd";
  // An epoch ends when it has this much input, or at the pipeline's interval.
  uint64_t epoch_bytes = 128u << 20;
  int64_t interval_us = 60'000'000;  // the pipeline's, to be told
  int64_t visible_after_us =
      60'000'000;  // an epoch's longest time; the same, but for intervals of an operator
  int64_t memory_limit_bytes = 512ll << 20;  // of the DuckDB that writes the files
  int32_t threads = 2;
  FilesJournal::Options journal;
};

// Thread-safe. It must outlive its writers.
class ParquetSink final : public JournaledSink {
 public:
  ParquetSink(FileSystem& files, Clock& clock, ParquetSinkOptions options);

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  // Takes the directory's lock, and gives files that are committed their final names. Errors: kExists while
  // another process has it; kUser: it holds something else, or another table; kCorrupt.
  Status prepare(const Schema& schema) override;
  void screen(Batch& batch) const override;
  // In Spark SQL and in DuckDB's, over the same files.
  Result<std::vector<pipeline::Ddl>> ddl(const Schema& schema) const override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class ParquetSinkWriter;
  std::unique_ptr<JournaledPartition> make_partition(const TopicPartition& source,
                                                     const std::string& dead_directory) override;
  Result<TableLayout> layout_of(const Schema& schema) const;
  Status check_empty();
  Status create_or_check();
  // Completes what a crash left, and removes what no record names.
  Status recover_files();
  // A folder for files with their final names, durable.
  Status make_folder(const std::string& folder);

  const ParquetSinkOptions options_;
  std::vector<Field> fields_;
  TableLayout layout_;
  std::vector<ParquetPartitioning> partitioning_;
  std::shared_ptr<duck::Database> database_;
  std::mutex folders_mutex_;
  std::set<std::string> folders_;  // that are durable
};

}  // namespace tidemill::serve
