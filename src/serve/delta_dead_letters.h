// Dead letters beside a Delta table: a table of their own, made with the first of them.
//
// Two tables have no transaction together. So the dead letters of an epoch are committed before its rows,
// with a position of their own (a txn per partition: the offset up to which they are here). What an attempt
// that never committed its rows has left, the next one passes over: an event that is a dead letter once is
// one again.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/random.h"
#include "event/batch.h"
#include "pipeline/epoch.h"
#include "serve/delta_log.h"
#include "serve/parquet_files.h"

namespace tidemill::serve {

inline constexpr const char* kDeadLettersCodec = "zstd";

// Thread-safe.
class DeltaDeadLetters {
 public:
  DeltaDeadLetters(std::unique_ptr<DeltaLog> log, std::shared_ptr<duck::Database> database, Clock& clock,
                   Random& random, std::string pipeline);
  // Errors (kUser): the table that is there is another. Where there is none, store() makes it.
  Status check();
  // Durable when it returns. Of partitions of `parts`, all below their next position.
  Status store(const std::vector<DeadLetter>& letters, const std::vector<pipeline::PartitionEpoch>& parts);

  DeltaLog& log() { return *log_; }

 private:
  Status create();
  Result<bool> try_to_store(const std::vector<DeadLetter>& letters,
                            const std::vector<pipeline::PartitionEpoch>& parts);
  Result<std::string> write(const std::vector<DeadLetter>& letters, int64_t now_us);
  std::string app(const TopicPartition& source) const;

  const std::unique_ptr<DeltaLog> log_;
  const std::shared_ptr<duck::Database> database_;
  Clock& clock_;
  Random& random_;
  const std::string pipeline_;
  std::mutex mutex_;
};

}  // namespace tidemill::serve
