// The contract of a sink: a store that takes an epoch's rows and its positions as one.
//
// A Sink describes the store and makes one SinkWriter per task; it is thread-safe. Each writer is
// used by two threads of its task, so that the next epoch is filled while the last one commits:
//
//   task thread     acquire(partitions)  →  begin() → output.write(batch) … → hand over
//   commit thread                                          commit(output, request)  [one at a time]
//
// begin() and write() of the next output may run while commit() of the last one does; two commits
// never overlap, and they come in epoch order: an output is committed, or its last commit has failed for
// good, or it is destroyed, before the next one is committed. acquire() is never called while a commit runs.
//
// What a commit promises (design points 1 and 2). When commit() returns ok, the rows, the dead letters, the
// positions and, where traits().changelog_in_transaction, the frames are durable together, and a
// second reader can see the rows. When it returns an error, either all or nothing of it is there:
//   kFenced     nothing is: the store holds another position than expected, or a higher owner token.
//               The pipeline drops the epoch and its state. Never rebase.
//   kUnknown    the store did not answer. The pipeline asks committed() and goes by that.
//   retryable   nothing is, and the same commit may be tried again, with the same output.
//   any other   nothing is; the pipeline stops and says so.
// At any instant of a crash the same holds: the store has all or nothing.
//
// A store without transactions must be idempotent by key instead, and says so in its traits; one that is
// neither gives at-least-once, and check says which part weakens the guarantee.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "event/batch.h"
#include "event/schema.h"
#include "pipeline/epoch.h"

namespace tidemill::pipeline {

enum class Capability { kTransactional, kIdempotent, kAtLeastOnce };

struct SinkTraits {
  std::string store;  // "DuckDB table rawdata in store.duckdb"
  Capability capability = Capability::kTransactional;
  // The sink stores the frames: in its transaction, or in_steps.
  bool changelog_in_transaction = false;
  // It has no transaction. Rows are stored first, then frames, then positions; and an owner that was late may
  // put its position over that of the next. Whatever position it holds, the rows before it are there.
  bool in_steps = false;
  // Readers have rows as they are written, not with their commit: those are not kept waiting for others.
  bool rows_at_once = false;
  // What an epoch grows to while there is lag.
  size_t preferred_rows = 100'000;
  size_t preferred_bytes = 64u << 20;
  // The longest time that the store itself keeps rows from readers (Parquet: until its file ends).
  int64_t visibility_delay_us = 0;
  // How often keep() is called; 0: never.
  int64_t keep_every_us = 0;
  std::string weakness;  // as SourceTraits::weakness
};

// One epoch's rows on their way, filled by the task thread, committed by the commit thread.
class SinkOutput {
 public:
  virtual ~SinkOutput() = default;
  // Takes the selected rows of the batch, and its dead letters. Encodes them into memory; touches the store
  // only where that cannot block for long. May take over the batch (`batch` is then null), or leave it.
  virtual Status write(BatchPtr& batch) = 0;
  virtual size_t rows() const = 0;
  // Of the rows and dead letters as the store takes them, about.
  virtual size_t bytes() const = 0;
  // What of it is in memory.
  virtual size_t memory_bytes() const { return bytes(); }
};

struct CommitRequest {
  std::vector<PartitionEpoch> partitions;
  std::string commit_token;  // SourceReader::commit_token
};

class SinkWriter {
 public:
  virtual ~SinkWriter() = default;
  // Takeover: raises the owner token of each partition durably, which fences or waits out the old
  // owner's transaction, and only then reads what is committed. In the order asked for; each with
  // `owner`, the token that this owner now has, beside `incarnation`, that of the last commit.
  virtual Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) = 0;
  virtual void release(std::span<const TopicPartition> partitions) { (void)partitions; }
  virtual Result<std::unique_ptr<SinkOutput>> begin() = 0;
  virtual Status commit(SinkOutput& output, const CommitRequest& request) = 0;
  // The share of the time that the store allows one commit which the last commit() took. 1 or more where it
  // failed: fewer rows at once may do. 0: it may take as long as it likes. For whoever called commit().
  virtual double time_share() const { return 0; }
  // What the store holds now, without taking over; in the order asked for.
  virtual Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) = 0;
  // Writes again what the store forgets in time though it is held: owner tokens and positions, unchanged.
  // Called by the task thread, never while a commit runs. An error: nothing has changed, and it is tried
  // again.
  virtual Status keep() { return {}; }
};

// How the rows reach the sink.
struct SinkNeeds {
  bool all_columns = false;          // decode every field of the schema
  std::vector<std::string> columns;  // else these
  bool added_members = false;        // it splices added fields into the events' JSON bytes
  bool validate = false;             // events and their ids are checked even where no field is decoded
};

// A statement that makes a part of a store, in the store's own SQL.
struct Ddl {
  std::string holds;  // "the events", "positions"
  std::string sql;    // without a semicolon at its end
};

class Sink {
 public:
  virtual ~Sink() = default;
  virtual SinkTraits traits() const = 0;
  virtual SinkNeeds needs() const = 0;
  // Creates table, topic or folder where missing; checks an existing one against the schema (the
  // event's fields, then those that operators added). Called once, before any writer is opened.
  virtual Status prepare(const Schema& schema) = 0;
  // What prepare() runs in an empty store, in this order; empty where the store has no SQL. Touches no store.
  // Errors: what prepare() says of the schema.
  virtual Result<std::vector<Ddl>> ddl(const Schema& schema) const {
    (void)schema;
    return std::vector<Ddl>{};
  }
  // Takes rows that the store cannot hold out of `selected`, into the dead letters with the reason. Called
  // for each batch before it is counted and given to an output. Thread-safe.
  virtual void screen(Batch& batch) const { (void)batch; }
  virtual Result<std::unique_ptr<SinkWriter>> open_writer(int task) = 0;
};

}  // namespace tidemill::pipeline
