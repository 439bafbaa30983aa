#include "base/steps.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "base/check.h"

namespace tidemill {
namespace {

constexpr std::array<std::string_view, 53> kSteps = {
    "run.manifest.written",    // the simulator's first manifest is there, before its first event
    "epoch.ended",             // the last event of an epoch is processed
    "changelog.frame.written"  // (DuckDB, files) the frame is in the changelog's file
    ,
    "changelog.frame.durable",     // and synced, before the sink's transaction begins
    "log.txn.data.streamed",       // a batch of output is in its segment; its epoch may still be filling
    "log.txn.data.written",        // output, frame and dead letters are in their segments
    "log.txn.data.durable",        // and synced
    "log.txn.record.written",      // the commit record is written
    "log.txn.record.durable",      // and synced: decided
    "log.txn.marker.written",      // the first control marker is written
    "log.txn.done",                // every marker is written
    "duckdb.begin",                // the transaction is open
    "duckdb.rows.appended",        // its rows are in
    "duckdb.positions.updated",    // its positions are in
    "duckdb.committed",            // COMMIT has returned
    "files.rows.written",          // the rows are in the open file
    "files.record.written",        // its commit record too
    "files.record.durable",        // and synced
    "files.roll.synced",           // a full file is synced under its temporary name
    "files.roll.renamed",          // and renamed, its directory not yet synced
    "parquet.files.written",       // the epoch's Parquet files of a partition are written
    "parquet.files.durable",       // and synced
    "parquet.file.linked",         // one that is committed has its final name
    "parquet.published",           // all of them have, durably
    "kafka.fenced",                // at a takeover, the old owner's producer is fenced
    "kafka.claimed",               // and the partition claimed
    "kafka.rows.acknowledged",     // (at-least-once) the brokers have the rows, whose positions do not commit
                                   // yet
    "kafka.frames.acknowledged",   // (no transactions) and the frames
    "kafka.positions.committed",   // (no transactions) and the positions
    "kafka.begun",                 // a transaction is open
    "kafka.rows.produced",         // output, frame and dead letters are on their way
    "kafka.offsets.sent",          // the positions are in the transaction
    "kafka.committed",             // its commit has returned
    "kafka.kept.sent",             // owners and positions, written again, are in a transaction of their own
    "postgres.begin",              // the transaction is open
    "postgres.rows.copied",        // its rows and dead letters are in
    "postgres.positions.updated",  // its positions are in
    "postgres.committed",          // COMMIT has returned
    "delta.files.written",         // the epoch's Parquet files are written
    "delta.file.uploaded",         // (Azure) one of them is in its container
    "delta.files.durable",         // all of them are synced, or uploaded
    "delta.commit.written",        // (folders) the commit is written and synced, and not yet under its name
    "delta.committed",             // it is in the log, durably
    "delta.checkpoint.written",    // a checkpoint is there, and not yet in _last_checkpoint
    "delta.merge.written",         // a file that takes the place of several is written and synced
    "snapshot.written",            // a snapshot is in the changelog
    "snapshot.durable",            // and synced
    "snapshot.truncated",          // what it replaces is cut
    "epoch.committed",             // the sink's commit has returned
    "log.roll",                    // a new segment exists, the old one is synced
    "log.append.synced",           // a producer's batch is synced, its answer not yet sent
    "run.verified",                // the verdict is printed
    "run.finished",                // and kept: the same command now begins a new run
};

struct Armed {
  std::mutex mutex;
  bool read_environment = false;
  std::string kill_at;
  long kill_count = 0;
  long kill_times = 1;
  int kill_signal = SIGKILL;
  std::map<std::string, std::function<void()>, std::less<>> actions;
};
Armed& armed() {
  static Armed state;
  return state;
}

void read_environment(Armed& state) {
  state.read_environment = true;
  const char* text = std::getenv("TIDEMILL_KILL_AT");
  if (text == nullptr) {
    text = std::getenv("TIDEMILL_STOP_AT");
    state.kill_signal = SIGSTOP;
  }
  if (text == nullptr) return;
  std::string_view spec = text;
  size_t colon = spec.find(':');
  state.kill_at = spec.substr(0, colon);
  state.kill_count = colon == std::string_view::npos ? 1 : std::atol(text + colon + 1);
  if (const size_t times = spec.find('x', std::min(colon, spec.size())); times != std::string_view::npos)
    state.kill_times = std::atol(text + times + 1);
  if (std::find(kSteps.begin(), kSteps.end(), state.kill_at) == kSteps.end()) {
    std::fprintf(stderr, "tidemill: TIDEMILL_KILL_AT, TIDEMILL_STOP_AT: %s: no such commit step\n", text);
    std::exit(2);
  }
}

}  // namespace

namespace internal {

std::atomic<bool> steps_armed{true};

void pass_step(std::string_view name) {
  TM_CHECK(std::find(kSteps.begin(), kSteps.end(), name) != kSteps.end(), "unlisted commit step");
  Armed& state = armed();
  std::function<void()> action;
  {
    std::lock_guard lock(state.mutex);
    if (!state.read_environment) read_environment(state);
    if (state.kill_at == name && --state.kill_count <= 0 && state.kill_count > -state.kill_times)
      ::kill(::getpid(), state.kill_signal);
    auto found = state.actions.find(name);
    if (found != state.actions.end()) action = found->second;
    if (state.kill_at.empty() && state.actions.empty()) steps_armed = false;
  }
  if (action) action();
}

}  // namespace internal

std::span<const std::string_view> commit_steps() {
  return kSteps;
}

void arm_step(std::string_view name, std::function<void()> action) {
  TM_CHECK(std::find(kSteps.begin(), kSteps.end(), name) != kSteps.end(), "unlisted commit step");
  Armed& state = armed();
  std::lock_guard lock(state.mutex);
  if (action) {
    state.actions[std::string(name)] = std::move(action);
  } else {
    state.actions.erase(std::string(name));
  }
  internal::steps_armed = true;
}

}  // namespace tidemill
