// Delta Lake as a sink: a table of Parquet files with a transaction log, the positions in the same commit as
// the files. Page: docs/connectors/delta.md.
//
// The files of an epoch are written and made durable; then one commit of the log adds them and moves the
// positions on. Before it, nobody sees them; a commit that another writer's forestalls looks at the positions
// again, and is fenced where they, or the owner token, have moved; where the table's columns or partitions
// were changed, the pipeline stops. Each task commits for itself, and any number of processes may write one
// table.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "duck/duck.h"
#include "pipeline/sink.h"
#include "serve/delta_dead_letters.h"
#include "serve/delta_log.h"
#include "serve/delta_positions.h"
#include "serve/delta_upkeep.h"
#include "serve/parquet_files.h"

namespace tidemill::serve {

struct DeltaSinkOptions {
  std::string folder;       // of the table; or whatever open_store takes for a place
  std::string dead_folder;  // of that of the dead letters
  // Opens such a place; without it they are folders of this machine.
  std::function<Result<std::shared_ptr<ObjectStore>>(const std::string& place)> open_store;
  std::string pipeline;  // under which positions are kept
  std::string source;    // what the topic is a topic of; see DeltaPositions
  Nested nested = Nested::kStruct;
  std::string stored_at;  // empty: no such column
  std::vector<std::string> partition_by;
  std::string codec = "snappy";
  int64_t checkpoint_interval = 50;
  bool merge = true;  // small files, in the background, of both tables
  DeltaUpkeepOptions upkeep;
  int64_t memory_limit_bytes = 512ll << 20;  // of the DuckDB that writes the files
  int32_t threads = 2;
};

// Thread-safe. It must outlive its writers.
class DeltaSink final : public pipeline::Sink {
 public:
  DeltaSink(FileSystem& files, Clock& clock, Random& random, DeltaSinkOptions options);

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  Status prepare(const Schema& schema) override;
  void screen(Batch& batch) const override;
  // In Spark SQL, which makes the same table.
  Result<std::vector<pipeline::Ddl>> ddl(const Schema& schema) const override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class DeltaWriter;
  friend class DeltaOutput;
  Result<TableLayout> layout_of(const Schema& schema) const;
  Status create_or_check();
  // Errors (kUser): the table is another than the events need.
  Status check_table(const DeltaMetaData& meta_data);
  Result<std::shared_ptr<ObjectStore>> open_store(const std::string& folder);

  FileSystem& files_;
  Clock& clock_;
  Random& random_;
  const DeltaSinkOptions options_;
  const DeltaPositions positions_;
  std::vector<Field> fields_;
  TableLayout layout_;
  std::mutex checked_mutex_;
  std::string checked_;  // the metaData that check_table() found right last
  std::shared_ptr<duck::Database> database_;
  std::unique_ptr<DeltaLog> log_;
  std::unique_ptr<DeltaDeadLetters> dead_letters_;
  std::unique_ptr<DeltaUpkeep> upkeep_, dead_upkeep_;
};

}  // namespace tidemill::serve
