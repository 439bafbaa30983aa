// What one seed stands for: the shape of the system, and what goes wrong, how often.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "log/log.h"

namespace tidemill::sim {

enum class SinkKind { kLog, kFiles, kModel, kModelWithChangelog };

enum class ClientKind {
  kNamed,          // idempotent, with a name: resumes after a restart, retries
  kAnonymous,      // idempotent, a new id in every life
  kPlain,          // no producer id
  kTransactional,  // several batches and partitions, committed or aborted
};

// How a life of the process ends.
enum class End {
  kPower,      // a power cut at a random change of the disk
  kPowerAt,    // … at a change of a file of one kind (an index, a checkpoint, a journal …)
  kPowerStep,  // … at a named commit step
  kKill,       // the process dies between two steps: what it wrote stays
  kKillAt,     // … at a random change of the disk
  kKillStep,   // … at a named commit step
  kClose,      // an orderly end; sometimes the power fails right after it
};

struct Scenario {
  static Scenario draw(uint64_t seed);
  std::string to_string() const;

  uint64_t seed = 0;
  // ---- the system
  int partitions = 1;
  int tasks = 1;
  log::Options log;
  int64_t retention_bytes = -1;
  SinkKind sink = SinkKind::kModel;
  std::vector<ClientKind> clients;
  Compression compression = Compression::kNone;
  bool enrich = false;
  std::optional<int64_t> dedup_last;
  std::optional<int64_t> dedup_horizon_us;
  uint64_t snapshot_min_bytes = 0;
  uint64_t max_events = 0;  // of an epoch
  int64_t epoch_us = 100'000;
  size_t batch_bytes = 0;  // of the log sink: at which a batch of an epoch is appended
  uint64_t files_roll_bytes = 0;
  uint64_t journal_compact_bytes = 0;
  int devices = 1;
  uint64_t ids = 1;  // that a device draws from: few make many copies
  // ---- the run
  int lives = 1;  // each but the last ends badly
  int steps = 100;
  // ---- what goes wrong; of 10,000 changes of the disk, or steps
  int write_errors = 0;
  int sync_errors = 0;
  int read_errors = 0;  // of 10,000 reads
  int lies = 0;         // syncs that keep nothing
  int flips = 0;        // bits, between two lives: of 10,000
  int disk_full = 0;    // per step
  int slow = 0;         // changes that take long
  int clock_jumps = 0;
  int lost_answers = 0;     // the model store's
  int rivals = 0;           // a second owner takes over
  int moves = 0;            // a partition is revoked from a task or lost to it
  int deletions = 0;        // delete_records, also of what is not yet committed
  bool power_only = false;  // lives end by power cuts alone

  // The log may lose what it acknowledged (but must say so, or be a prefix).
  bool may_lose() const { return log.durability != log::Durability::kSync || lies > 0; }
  // It may forget how a transaction ended: the record of it may be lost, or be the last one and damaged,
  // which cannot be told from torn.
  bool may_forget() const { return may_lose() || flips > 0; }
  // … and show what was aborted: the index that hides it may be lost.
  bool may_show_aborted() const { return lies > 0 || flips > 0; }
  // Files may be damaged: an error that says so is right.
  bool may_be_damaged() const { return flips > 0 || lies > 0; }
};

std::string_view end_name(End end);

}  // namespace tidemill::sim
