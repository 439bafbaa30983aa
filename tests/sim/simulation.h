// One run: a seed, its scenario, and the scheduler that interleaves everything. Lives and their ends stand in
// simulation.cc, what happens within one in simulation_steps.cc.
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client.h"
#include "disk_faults.h"
#include "process.h"
#include "sink_model.h"

namespace tidemill::sim {

struct RunResult {
  std::optional<std::string> violation;
  std::string scenario;
  uint32_t trace_hash = 0;
  uint64_t trace_lines = 0;
  // For the statistics: what the run came through.
  int openings = 0;
  int64_t events = 0;
  uint64_t rows = 0;
  bool said_loss = false;  // it ended early, by an error that names what was lost or damaged
};

// Not thread-safe against other runs in this process: commit steps are global.
class Simulation {
 public:
  // `trace` may be null.
  Simulation(const Scenario& scenario, std::FILE* trace);
  ~Simulation() { disarm_step(); }

  RunResult run();

 private:
  // One life; false: the run ends here, by a violation or by an error that says what was lost.
  bool live(bool last);
  bool open();
  bool open_pipeline();
  void act();
  void end_life();

  End draw_end();
  void arm_end(End end);
  void disarm_step();

  void step_client();
  void step_task(bool commit);
  void step_former();
  void take_over();
  void move_partition();
  void delete_records();
  void check_retention();
  std::optional<int64_t> sink_position(int partition);
  void restart_pipeline();
  void while_asleep();
  void verify_sink();
  void finish();
  bool settled();
  // After damage stopped the log: repair names what it costs, and everything else is there again.
  void repair();

  // Whether this error may be: the power, the disk, or what the scenario does. Else it is a violation.
  bool excused(const Error& error) const;
  void pipeline_failed(const std::string& what, const Error& error);
  // An opening that says what was lost or damaged, where something may be.
  bool says_loss(const Error& error) const;
  SinkPlaces places() { return {process_ && process_->has_log() ? &process_->log() : nullptr, store_.get()}; }
  bool stopped() const { return world_.violated() || world_.disk.power_failed() || said(); }
  bool said() const { return said_loss_ || log_model_.said_damage(); }

  World world_;
  DiskFaults faults_;
  Events events_;
  LogModel log_model_;
  SinkModel sink_model_;
  std::shared_ptr<pipeline::testing::ModelStore> store_;
  std::vector<Client> clients_;
  std::unique_ptr<Process> process_;
  std::string armed_step_;
  End end_ = End::kClose;
  bool said_loss_ = false;
  bool last_life_ = false;
  bool refused_ = false;  // the store was told to refuse a commit for good
  bool full_ = false;     // the disk was full in this life
  bool flipped_ = false;
  bool unnoted_ = false;  // a failed sync, which the next process knew nothing of
  int openings_ = 0;
};

RunResult run_seed(uint64_t seed, std::FILE* trace);

}  // namespace tidemill::sim
