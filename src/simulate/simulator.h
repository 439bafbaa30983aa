// The load generator: sends a documented, repeatable stream of events on schedule, and keeps a
// manifest of what became of each (docs/simulate.md, docs/formats/simulated-events.md).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "simulate/appender.h"
#include "simulate/options.h"
#include "simulate/sender.h"

namespace tidemill::simulate {

// Of all instances that run in this process, those that a former process finished included.
struct SimulateCounters {
  int64_t scheduled = -1;    // events; -1: without limit
  int64_t events = 0;        // acknowledged, with all their copies
  int64_t records = 0;       // acknowledged
  int64_t bytes = 0;         // of acknowledged values
  int64_t shortfall_us = 0;  // how far sending is behind the schedule now (0 under the maximum rate)
  int64_t worst_shortfall_us = 0;
  int64_t retries = 0;   // failed attempts to append that were tried again
  bool stalled = false;  // appending fails at the moment
  std::string problem;   // the last failure's text
};

class Simulator {
 public:
  struct Config {
    SimulateOptions options;
    std::string run;        // the run's id; the producer is `<run>/simulate/<instance>`
    std::string directory;  // the run's; manifests are in its folder `simulate`
    AppenderFactory appenders;
    FileSystem* files = &FileSystem::posix();
    Clock* clock = &Clock::system();
    Random* random = &Random::system();
    OnStop on_stop = OnStop::kEnd;
    int64_t stop_grace_us = 5'000'000;  // how long an unanswered append is tried after a stop
    bool threaded = true;               // false, for tests that must repeat: nothing runs beside run()
  };

  // Starts or resumes. An unfinished manifest decides seed and start time, and what is stored is
  // not sent again; a finished one leaves nothing to do. When this returns, the manifest of every
  // instance is on disk.
  // Errors: kInvalid for options that are wrong, or that differ from the manifest's (they are
  // named); kExists where another process simulates one of the instances; kCorrupt for a manifest that cannot
  // be read, or that the log contradicts; those of the appenders.
  static Result<std::unique_ptr<Simulator>> open(Config config);

  // Sends until everything is acknowledged or `stop` is set; called once. Blocks. Returns the first
  // instance's permanent error; the others are then stopped, their manifests unfinished.
  Status run(const std::atomic<bool>& stop);

  // Any thread, any time.
  SimulateCounters counters() const;
  // Every instance's manifest says finished; for the thread that called run().
  bool finished() const;
  uint64_t seed() const { return seed_; }
  int64_t start_us() const { return start_us_; }

 private:
  explicit Simulator(Config config) : config_(std::move(config)) {}
  Status prepare();
  Status lock_instance(int32_t instance);
  // One process of a run at a time decides seed and start time, or finds them decided.
  Result<std::unique_ptr<FileLock>> take_turn();
  Status decide_seed_and_start(Appender& appender, std::vector<Offset>* start_offsets);
  Result<std::optional<Manifest>> existing_manifest(int32_t instance) const;
  Result<Manifest> manifest_for(const Plan& plan, const std::vector<Offset>& start_offsets,
                                bool* is_new) const;
  Status add_instance(int32_t instance, std::unique_ptr<Appender> appender,
                      const std::vector<Offset>& start_offsets);
  Result<Sender::Stored> ask_stored(Appender& appender, const std::string& name, const Manifest& manifest,
                                    bool is_new) const;

  Config config_;
  std::vector<std::unique_ptr<FileLock>> instance_locks_;
  uint64_t seed_ = 0;
  int64_t start_us_ = 0;
  std::vector<std::unique_ptr<Sender>> senders_;
  std::vector<Manifest> done_;  // of instances that a former process finished
  std::atomic<bool> aborted_{false};
};

}  // namespace tidemill::simulate
