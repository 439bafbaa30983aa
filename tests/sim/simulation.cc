#include "simulation.h"

#include <algorithm>
#include <set>

#include "base/steps.h"

namespace tidemill::sim {
namespace {

using pipeline::testing::ModelStore;

ModelStore::Options store_options(const Scenario& scenario) {
  ModelStore::Options options;
  options.changelog_in_transaction = scenario.sink == SinkKind::kModelWithChangelog;
  return options;
}

}  // namespace

Simulation::Simulation(const Scenario& scenario, std::FILE* trace)
    : world_(scenario, trace),
      faults_(world_),
      events_(world_.scenario),
      log_model_(world_, events_),
      sink_model_(world_, events_, log_model_),
      store_(std::make_shared<ModelStore>(store_options(scenario))) {
  for (size_t i = 0; i < scenario.clients.size(); ++i) {
    clients_.emplace_back(world_, events_, log_model_, scenario.clients[i], static_cast<int>(i));
  }
  store_->set_reachable([this] { return !world_.disk.power_failed(); });
  world_.clock.on_sleep([this] { while_asleep(); });
}

// ---- ends

End Simulation::draw_end() {
  if (world_.scenario.power_only) {
    constexpr End kPowers[] = {End::kPower, End::kPowerAt, End::kPowerAt, End::kPowerStep};
    return kPowers[world_.chance.below(4)];
  }
  return static_cast<End>(world_.chance.below(7));
}

void Simulation::disarm_step() {
  if (!armed_step_.empty()) arm_step(armed_step_, {});
  armed_step_.clear();
}

void Simulation::arm_end(End end) {
  end_ = end;
  switch (end) {
    case End::kPower:
    case End::kKillAt:
      faults_.end_after(1 + world_.chance.below(world_.chance.below(3) == 0 ? 60 : 1500));
      break;
    case End::kPowerAt: {
      constexpr std::string_view kParts[] = {
          ".log",       ".index",  ".timeindex", ".txnindex", ".snapshot", "__transactions", "topics",
          "checkpoint", "journal", ".jsonl",     "changelog", "out-",      ".deleted",       ".tmp"};
      std::string_view part = kParts[world_.chance.below(std::size(kParts))];
      faults_.end_after(world_.chance.below(2) == 0 ? 0 : 2000);
      faults_.end_at(part, world_.chance.below(4));
      break;
    }
    case End::kPowerStep:
    case End::kKillStep: {
      auto steps = commit_steps();
      armed_step_ = steps[world_.chance.below(steps.size())];
      auto left = std::make_shared<uint64_t>(1 + world_.chance.below(4));
      arm_step(armed_step_, [this, left] {
        if (*left == 0 || --*left > 0) return;
        world_.note("at step {}", armed_step_);
        world_.disk.cut_power();
      });
      break;
    }
    case End::kKill:
    case End::kClose:
      break;
  }
  world_.note("this life ends by {} {}", end_name(end), armed_step_);
}

void Simulation::end_life() {
  bool power = end_ == End::kPower || end_ == End::kPowerAt || end_ == End::kPowerStep;
  if (end_ == End::kClose && !stopped() && process_->has_log()) {
    process_->stop_pipeline();
    Status closed = process_->log().close();
    world_.note("close: {}", answer(closed));
    if (!closed.ok() && !excused(closed.error())) world_.violation("close: {}", closed.error().message);
    if (closed.ok()) log_model_.acknowledged(log_model_.ends());
    power = power || world_.chance.below(2) == 0;
  }
  disarm_step();
  // Objects of a dead process run on until here: nothing that they do reaches the disk.
  world_.disk.cut_power();
  process_.reset();
  for (Client& client : clients_) client.disconnected();
  log_model_.life_ended(power);
  if (power) {
    world_.disk.crash(world_.disk_chance.next());
  } else {
    world_.disk.kill_process();
    unnoted_ = unnoted_ || faults_.unnoted_sync_failure();
  }
  world_.note("-- {}", power ? "power cut" : "killed");
}

// ---- errors

bool Simulation::excused(const Error& error) const {
  if (world_.disk.power_failed()) return true;
  if (error.code == Code::kDiskFull || full_) return true;
  return faults_.failed_writes() || faults_.failed_syncs() || faults_.failed_reads() || flipped_ ||
         faults_.lied() || log_model_.lost_at_random();
}

bool Simulation::says_loss(const Error& error) const {
  bool damaged = flipped_ || unnoted_ || faults_.lied() || world_.scenario.may_lose();
  bool names = error.code == Code::kCorrupt || error.code == Code::kOutOfRange ||
               error.code == Code::kFenced || error.code == Code::kExists ||
               error.message.find("lost") != std::string::npos;
  return damaged && names;
}

void Simulation::pipeline_failed(const std::string& what, const Error& error) {
  world_.note("{}: {}", what, error.message);
  process_->stop_pipeline();
  if (says_loss(error)) {
    said_loss_ = true;
    return;
  }
  bool deleted = false;
  for (int p = 0; p < world_.scenario.partitions; ++p)
    deleted = deleted || log_model_.deleted_beyond(p, sink_model_.position(p));
  if (deleted && error.code == Code::kOutOfRange) {
    said_loss_ = true;  // asked for, and said
    return;
  }
  if (excused(error)) return;
  if (refused_ && error.message.find("refused") != std::string::npos) return;
  // One lost answer after the other: a store that is silent for so long ends the pipeline.
  if (world_.scenario.lost_answers > 0 && error.message.find("gave up") != std::string::npos) return;
  world_.violation("{}: {}", what, error.message);
}

// ---- a life

bool Simulation::open() {
  process_ = std::make_unique<Process>(Process::Surroundings{world_, store_});
  ++openings_;
  if (Status opened = process_->open_log(); !opened.ok()) {
    world_.note("open: {}", opened.error().message);
    if (says_loss(opened.error())) {
      said_loss_ = true;
    } else if (!excused(opened.error())) {
      world_.violation("open: {}", opened.error().message);
    }
    return false;
  }
  log_model_.check_opened(process_->log());
  log_model_.observe(process_->log());
  for (Client& client : clients_) {
    if (!stopped()) client.connect(process_->log());
  }
  return !stopped();
}

bool Simulation::open_pipeline() {
  Status started = process_->start_pipeline();
  for (size_t t = 0; started.ok() && t < process_->tasks(); ++t) started = process_->open_task(t);
  world_.note("pipeline: {}", answer(started));
  if (!started.ok()) {
    pipeline_failed("opening the pipeline", started.error());
    return false;
  }
  process_->pipeline_opened();
  // It may not go on beyond what is there.
  if (sink_model_.ahead_of_log() && world_.scenario.lies == 0 && world_.scenario.sink != SinkKind::kLog) {
    world_.violation("the log lost events that the sink holds, and the pipeline goes on without a word");
  }
  verify_sink();
  return !stopped();
}

bool Simulation::live(bool last) {
  last_life_ = last;
  full_ = false;
  faults_.begin_life(!last);
  world_.disk.set_capacity(UINT64_MAX);
  if (last) {
    end_ = End::kClose;
  } else {
    arm_end(draw_end());
  }
  bool opened = open();
  if (opened) open_pipeline();
  if (last && !stopped()) {
    if (opened && process_->pipeline_runs()) {
      finish();
    } else {
      world_.violation("the last opening failed, although nothing is wrong any more");
    }
  } else if (opened) {
    for (int i = 0; i < world_.scenario.steps && !stopped(); ++i) act();
  }
  if (world_.violated()) return false;
  end_life();
  return !said() && !world_.violated();
}

// ---- the end

bool Simulation::settled() {
  for (size_t t = 0; t < process_->tasks(); ++t) {
    if (!process_->task(t).settled()) return false;
  }
  return true;
}

void Simulation::finish() {
  for (Client& client : clients_) {
    if (!stopped()) client.finish(process_->log());
  }
  Status kept = process_->log().housekeep();
  if (!kept.ok() && !excused(kept.error())) return world_.violation("housekeeping: {}", kept.error().message);
  constexpr int kMostRounds = 5000;
  for (int round = 0; !stopped(); ++round) {
    if (round > kMostRounds) return world_.violation("the pipeline does not come to an end");
    for (size_t t = 0; t < process_->tasks() && !stopped(); ++t) {
      if (process_->task(t).commit_waiting()) process_->task(t).run_commit();
      auto step = process_->task(t).step(0);
      if (step.ok()) continue;
      if (step.error().code == Code::kFenced && process_->loses(t)) {
        process_->stop_pipeline();
      } else {
        pipeline_failed("task", step.error());
      }
      if (stopped()) return;
      if (!open_pipeline()) return;
      break;
    }
    world_.clock.advance_us(20'000);
    if (settled() && !process_->moving()) break;
  }
  verify_sink();
  if (stopped() || log_model_.lost_something()) return;
  for (int p = 0; p < world_.scenario.partitions; ++p) {
    const auto& stream = log_model_.stream(p);
    auto position = sink_position(p);
    if (!stream.empty() && position && *position <= stream.back().offset && !world_.scenario.may_lose()) {
      world_.violation("{}: everything was processed, but the sink stands at {} and the last event at {}",
                       input(p).to_string(), *position, stream.back().offset);
    }
  }
}

void Simulation::repair() {
  faults_.begin_life(false);
  auto places = log::inspect_damage(world_.disk, kLogDirectory);
  if (!places.ok())
    return world_.note("inspect: {}", places.error().message);  // no segment: the file says so itself
  std::set<TopicPartition> damaged;
  for (const log::DamagedPlace& place : *places) {
    world_.note("damaged: {} byte {}+{}, offsets {} to {}: {}", place.file, place.position, place.bytes,
                place.first_lost.value(), place.end_lost.value(), place.what);
    damaged.insert(place.tp);
  }
  if (damaged.empty()) return;
  for (const TopicPartition& tp : damaged) {
    auto cut = log::repair_partition(world_.disk, kLogDirectory, tp);
    if (!cut.ok()) return world_.violation("repair of {}: {}", tp.to_string(), cut.error().message);
  }
  process_ = std::make_unique<Process>(Process::Surroundings{world_, store_});
  Status opened = process_->open_log();
  world_.note("open after the repair: {}", answer(opened));
  if (!opened.ok())
    return world_.violation("the log does not open after its repair: {}", opened.error().message);
  log_model_.check_repaired(process_->log(), *places);
}

RunResult Simulation::run() {
  world_.note("{}", world_.scenario.to_string());
  for (int life = 0; life < world_.scenario.lives; ++life) {
    bool last = life + 1 == world_.scenario.lives;
    if (world_.happens(world_.scenario.flips) && life > 0 && !flipped_) {
      std::string path = faults_.flip_one();
      flipped_ = !path.empty();
    }
    if (!live(last)) break;
  }
  if (flipped_ && said() && !world_.violated()) {
    repair();
  }
  RunResult result;
  result.violation = world_.violation();
  result.scenario = world_.scenario.to_string();
  result.trace_hash = world_.trace.hash();
  result.trace_lines = world_.trace.lines();
  result.openings = openings_;
  result.events = events_.count();
  result.rows = store_->rows().size();
  result.said_loss = said();
  return result;
}

RunResult run_seed(uint64_t seed, std::FILE* trace) {
  Simulation simulation(Scenario::draw(seed), trace);
  return simulation.run();
}

}  // namespace tidemill::sim
