// The embedded log: topics of partitions, each an append-only sequence of RecordBatch v2 batches in
// segment files (docs/formats/log.md), with idempotent producers and transactions.
//
// One process owns the directory (see owner.h). All functions are thread-safe. Nothing here starts
// a thread: syncs run on the thread that waits for one (group commit: one waiter syncs for all),
// and housekeeping runs when its owner calls it, so that a simulation can drive every step.
//
// Errors, beside those named below: kDiskFull (retryable: nothing was appended, or the appended
// bytes were cut again), kCorrupt with file and position. After a failed fsync every call answers
// that error until the process restarts: what the disk holds is unknown.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"
#include "event/position.h"
#include "event/record_batch.h"

namespace tidemill::log {

enum class Durability {
  kSync,      // acknowledged means fdatasync'ed; readers never see what could still vanish
  kInterval,  // synced every sync_interval_us by housekeep(): a power cut may lose that much
  kNone,      // the OS decides: a kill loses nothing, a power cut may
};

struct Options {
  Durability durability = Durability::kSync;
  int64_t sync_interval_us = 1'000'000;
  int sync_threads = 0;  // beside whoever waits for a sync; 0: files are synced one after another
  uint64_t segment_bytes = 256u << 20;  // a segment rolls before it would exceed this (max 2^31 - 1)
  int64_t segment_us = 24LL * 3600 * 1'000'000;
  uint32_t index_interval_bytes = 4096;
  uint32_t max_batch_bytes = 16u << 20;
};

struct TopicConfig {
  int32_t partitions = 1;
  TimestampType timestamp_type = TimestampType::kLogAppendTime;
  int64_t retention_us = -1;     // by a segment's largest timestamp; -1 keeps for ever
  int64_t retention_bytes = -1;  // per partition
};

struct PartitionInfo {
  TopicPartition id;
  Offset log_start;
  Offset last_stable;     // end of what read-committed readers see
  Offset high_watermark;  // end of what is durable
  Offset log_end;         // end of what is appended
  LeaderEpoch leader_epoch;
  uint64_t size_bytes = 0;
  size_t segments = 0;
};

struct TopicInfo {
  std::string name;
  TopicConfig config;
  bool internal = false;  // "__…"
};

// A producer's identity; batches carry it with their sequence numbers. A later init of the same
// transactional id gets a higher epoch and fences this one.
struct Producer {
  int64_t id = -1;
  int16_t epoch = -1;
  auto operator<=>(const Producer&) const = default;
};

struct Appended {
  Offset first;
  Offset last;
  bool duplicate = false;  // a retry that was stored before: these are the first one's offsets
  uint64_t sync_ticket = 0;
};

enum class Isolation { kReadUncommitted, kReadCommitted };

struct Fetched {
  std::shared_ptr<const std::string> batches;  // whole batches, checksums verified; may be empty
  Offset first;              // of the first batch, at or below the offset asked for (consumers skip)
  Position end;              // where to read on: past control and aborted batches
  LeaderEpoch leader_epoch;  // of the last batch
  bool at_end = false;       // nothing more to read under this isolation right now
};

// Positions of consumers, committed with transactions by compare-and-set.
struct CommittedPosition {
  Position position;
  int64_t epoch = 0;        // the pipeline's epoch number; 0: none yet
  int32_t incarnation = 0;  // of the owner that committed it
  std::string metadata;     // opaque to the log (counters, frame id)
};

struct PositionCommit {
  std::string group;
  TopicPartition source;
  std::optional<Position> expected;  // nullopt: the group has no position there yet
  CommittedPosition next;
};

// One transaction to commit: everything that `producer` appended since its last commit or abort,
// and the positions.
struct TransactionCommit {
  Producer producer;
  std::vector<PositionCommit> positions;
};

class Log {
 public:
  // Recovers what a crash left (cuts torn tails, rebuilds indexes, completes or aborts every
  // transaction, raises the leader epoch). Errors: kCorrupt where a segment is damaged inside:
  // the message names file and position and the command that shows and cuts it.
  static Result<std::unique_ptr<Log>> open(FileSystem& files, Clock& clock, Random& random,
                                           const std::string& directory, const Options& options);
  virtual ~Log() = default;

  // ---- topics
  // kExists if a topic of that name has another number of partitions. The same number is ok: the
  // topic stays as it is, and takes over the retention of `config`.
  virtual Status create_topic(const std::string& name, const TopicConfig& config) = 0;
  virtual Status delete_topic(const std::string& name) = 0;
  virtual std::vector<TopicInfo> topics() const = 0;
  virtual Result<TopicInfo> topic(const std::string& name) const = 0;  // kNotFound
  virtual Result<PartitionInfo> partition(const TopicPartition& tp) const = 0;

  // ---- producing
  // A plain idempotent producer (no transactional id). With `name` its id is remembered durably, so
  // that a restarted producer resumes: the same name gets the same id and epoch.
  virtual Result<Producer> init_idempotent(const std::string& name = {}) = 0;
  // The last sequence that the partition holds from this producer; nullopt: none.
  virtual Result<std::optional<int32_t>> last_sequence(const TopicPartition& tp, Producer producer) const = 0;
  // Raises the epoch durably, aborts an open transaction of the older one, fences its owner.
  virtual Result<Producer> init_transactional(const std::string& transactional_id) = 0;

  // Appends one whole batch, built with relative offsets 0…; patches base offset, leader epoch,
  // append time (where the topic says so) and checksum into it. `sealed` says that the checksum is
  // already set and is to be verified first (batches from outside the process).
  // Not yet durable: wait_durable(sync_ticket) or commit. A transactional batch opens the
  // producer's transaction on this partition by itself; the producer has one transaction at a time.
  // Errors: kInvalid (batch malformed; sequence out of order: Kafka's 45; a plain batch inside a
  // transaction, or a transactional one of a producer that has no transactional id, or whose
  // transaction is just being ended), kFenced (older epoch), kDiskFull (also while the markers of
  // the producer's last transaction are waiting for room: housekeep() writes them).
  virtual Result<Appended> append(const TopicPartition& tp, std::string& batch, bool sealed) = 0;
  // Under Durability::kSync returns when everything appended before the ticket was handed out is
  // synced and visible; else at once.
  virtual Status wait_durable(uint64_t sync_ticket) = 0;

  // ---- transactions
  // Commits all of them by one durable record: syncs their data, checks every compare-and-set
  // under one lock, writes and syncs the record, then the markers. All or nothing.
  // Errors: kFenced (a producer's epoch is old, or a position is not the expected one; nothing was
  // committed, the caller aborts). kUnknown: an I/O error after the record was written; the log is
  // then at its end, and committed_position() tells after a restart. Any other error: nothing was
  // committed, the transactions are still open. An answer of ok stands even where a marker could
  // not be written yet (disk full): then readers see the data a little later.
  virtual Status commit(std::span<const TransactionCommit> transactions) = 0;
  virtual Status abort(Producer producer) = 0;
  // The last committed one, durable under kSync. nullopt: the group has none there.
  virtual std::optional<CommittedPosition> committed_position(const std::string& group,
                                                              const TopicPartition& source) const = 0;
  // Writes positions without a transaction's data (a takeover's token, a reset), by the same record.
  virtual Status commit_positions(std::span<const PositionCommit> positions) = 0;

  // ---- reading
  // Whole batches from `from` on, up to and with the one that reaches `max_bytes`. Checks every
  // checksum. Never returns more than is visible (durable under kSync, committed under
  // kReadCommitted); aborted and control batches are left out.
  // Errors: kOutOfRange below log_start or above the visible end's log end; kCorrupt.
  virtual Result<Fetched> read(const TopicPartition& tp, Offset from, size_t max_bytes,
                               Isolation isolation) = 0;
  // Where the leader epoch ends: the start of the next one, or the log end for the current one; the end of
  // the closest lower epoch that the log has where it never wrote in this one. kNotFound for an epoch above
  // the current one. A position is of this log only if its offset is at or below the end of its leader epoch.
  virtual Result<Offset> leader_epoch_end(const TopicPartition& tp, LeaderEpoch epoch) const = 0;
  // The first offset whose batch has a timestamp at or after this one; the end where there is none.
  virtual Result<Offset> offset_for_time(const TopicPartition& tp, int64_t timestamp_ms) = 0;
  // Waits until something became visible after `seen` (a value that it returned before; 0 first),
  // or the time is over. Returns the new value. Wakes for any partition.
  virtual uint64_t wait_visible(uint64_t seen, int64_t timeout_us) = 0;

  // ---- keeping
  // What retention must not delete: the smallest position that a pipeline has yet to commit.
  // Held by name; an empty map lifts the hold.
  virtual void hold_retention(const std::string& holder,
                              const std::vector<std::pair<TopicPartition, Offset>>& from) = 0;
  // Raises log_start (durably) and deletes whole segments below it.
  virtual Status delete_records(const TopicPartition& tp, Offset before) = 0;
  // Retention, interval syncs, idle segment rolls, delayed markers, checkpoints. Its owner calls it
  // about every 100 ms. Each part is done whatever became of the others; the first error is returned.
  virtual Status housekeep() = 0;
  // Syncs everything and marks a clean shutdown, so that the next open need not scan.
  virtual Status close() = 0;
};

}  // namespace tidemill::log
