// The transaction log of one Delta table: what the table is at a version, and commits of the next one.
//
// A commit is one put-if-absent of the next version's file. Where another writer was first, what it committed
// is read, the change is asked again of the newer state, and the next number is tried. So nobody's commit is
// lost, and a change that no longer holds is given up. Every `checkpoint_interval` versions the state is
// written as one Parquet file (`N.checkpoint.parquet`, `_last_checkpoint`), from which readers and this
// class begin.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "duck/duck.h"
#include "serve/delta_actions.h"
#include "serve/object_store.h"

namespace tidemill::serve {

// What a table is at a version.
struct DeltaState {
  int64_t version = -1;  // -1: there is no table
  int64_t time_ms = -1;  // of the last commit; -1: unknown
  DeltaProtocol protocol;
  DeltaMetaData meta_data;
  std::map<std::string, DeltaTxn> txns;        // by app
  std::map<std::string, DeltaAdd> files;       // live, by path
  std::map<std::string, DeltaRemove> removed;  // those a reader of an older version may still need
  void apply(DeltaActions&& actions, int64_t of_version);
};

// The lines of a commit onto `state`, with a commitInfo of its own; empty: nothing is to be committed. Asked
// again after every conflict.
using DeltaChange = std::function<Result<std::string>(const DeltaState& state)>;

struct DeltaLogOptions {
  int64_t checkpoint_interval = 50;                     // versions
  int64_t tombstones_us = 7ll * 24 * 3600 * 1'000'000;  // how long a checkpoint names removed files
};

// Thread-safe.
class DeltaLog {
 public:
  // `database`: for checkpoints; any, it is only connected to. Nothing is read before refresh().
  DeltaLog(std::shared_ptr<ObjectStore> store, std::shared_ptr<duck::Database> database, Clock& clock,
           DeltaLogOptions options = {});

  // Reads what is new, and calls `look` with the newest state.
  Status refresh(const std::function<void(const DeltaState&)>& look);
  // The newest version after it: its own, or, of an empty change, the one that was looked at. Errors: those
  // of `change`; kUnknown where the store did not say whether the commit is there.
  Result<int64_t> commit(const DeltaChange& change);
  // The state at a version, or the last one not after a time; -1: no limit.
  Result<DeltaState> at(int64_t version, int64_t time_ms);
  // Files that commits since a time took out of the table, from the commits themselves, as far back as they
  // are there: for times before those that checkpoints know of. Writers' clocks may be a day apart.
  Result<std::vector<DeltaRemove>> removed_since(int64_t time_ms);

  ObjectStore& store() { return *store_; }
  const DeltaLogOptions& options() const { return options_; }

 private:
  Status load_newer();
  Status load_first(int64_t at_most, DeltaState* state, int64_t* newest);
  Result<bool> load_next(DeltaState* state);
  Status write_checkpoint();

  const std::shared_ptr<ObjectStore> store_;
  const std::shared_ptr<duck::Database> database_;
  Clock& clock_;
  const DeltaLogOptions options_;
  std::mutex mutex_;
  DeltaState state_;
  bool in_doubt_ = false;  // a commit that is there may not be durable
};

// "_delta_log/00000000000000000007.json"
std::string delta_commit_name(int64_t version);

}  // namespace tidemill::serve
