// What happens within one life: whose turn it is, and what it does.
#include <iterator>

#include "simulation.h"

namespace tidemill::sim {

using pipeline::Task;

void Simulation::act() {
  world_.clock.advance_us(static_cast<int64_t>(world_.chance.below(30'000)));
  const Scenario& scenario = world_.scenario;
  if (world_.happens(scenario.clock_jumps)) {
    int64_t jump = static_cast<int64_t>(world_.chance.below(7'200'000'000)) - 3'600'000'000;
    world_.note("the clock jumps by {} us", jump);
    world_.clock.jump_us(jump);
  }
  if (world_.happens(scenario.disk_full)) {
    full_ = true;
    uint64_t room = world_.chance.below(800);
    world_.note("the disk has room for {} bytes", room);
    world_.disk.set_capacity(world_.disk.used_bytes() + room);
  } else if (full_ && world_.chance.below(8) == 0) {
    world_.note("the disk has room again");
    world_.disk.set_capacity(UINT64_MAX);
  }
  if (world_.happens(scenario.rivals)) return take_over();
  if (world_.happens(scenario.moves)) return move_partition();
  if (world_.happens(scenario.deletions)) return delete_records();
  if (world_.happens(scenario.lost_answers)) {
    using pipeline::testing::Outcome;
    constexpr Outcome kOutcomes[] = {Outcome::kFailRetryable, Outcome::kStoredButUnknown,
                                     Outcome::kStoredButUnknown, Outcome::kLostAndUnknown, Outcome::kFail};
    size_t number = static_cast<size_t>(world_.chance.below(std::size(kOutcomes)));
    refused_ = refused_ || kOutcomes[number] == Outcome::kFail;
    world_.note("the store's next answer is outcome {}", number);
    store_->inject(kOutcomes[number]);
  }
  uint64_t choice = world_.chance.below(100);
  if (choice < 40) return step_client();
  if (choice < 65) return step_task(false);
  if (choice < 80) return step_task(true);
  if (choice < 83) return log_model_.observe(process_->log());
  if (choice < 88) return log_model_.read_somewhere(process_->log());
  if (choice < 91) return step_former();
  if (choice < 92) return restart_pipeline();
  if (choice < 94) return verify_sink();
  log_model_.observe(process_->log());  // before retention takes it
  if (stopped()) return;
  Status kept = process_->log().housekeep();
  world_.note("housekeep: {}", answer(kept));
  if (!kept.ok() && !excused(kept.error())) world_.violation("housekeeping: {}", kept.error().message);
  check_retention();
}

// It keeps what the sink has yet to commit, unless it was asked to delete that.
void Simulation::check_retention() {
  if (world_.scenario.retention_bytes < 0 || log_model_.lost_at_random()) return;
  for (int p = 0; p < world_.scenario.partitions && !stopped(); ++p) {
    auto info = process_->log().partition(input(p));
    auto position = sink_position(p);
    if (!info.ok() || !position || info->log_start.value() <= *position) continue;
    if (log_model_.deleted_beyond(p, *position)) continue;
    world_.violation("{}: retention deleted up to {}, and the sink stands at {}", input(p).to_string(),
                     info->log_start.value(), *position);
  }
}

// What the sink says now, whatever becomes of its rows; nullopt where it cannot be asked.
std::optional<int64_t> Simulation::sink_position(int partition) {
  auto committed = read_committed(world_, places(), partition);
  if (!committed.ok()) {
    world_.note("sink: {}", committed.error().message);
    return {};
  }
  return committed->position ? committed->position->offset.value() : 0;
}

void Simulation::step_client() {
  clients_[world_.chance.below(clients_.size())].step(process_->log());
}

void Simulation::step_task(bool commit) {
  if (!process_->pipeline_runs()) return restart_pipeline();
  size_t number = static_cast<size_t>(world_.chance.below(process_->tasks()));
  Task& task = process_->task(number);
  if (commit) {
    if (!task.commit_waiting()) return;
    task.run_commit();
    world_.note("task {} committed", number);
    return;
  }
  auto step = task.step(0);
  world_.note("task {} steps: {}", number,
              step.ok() ? std::to_string(static_cast<int>(*step)) : step.error().message);
  if (step.ok()) return;
  if (step.error().code == Code::kFenced && process_->loses(number)) return restart_pipeline();
  pipeline_failed("task", step.error());
}

void Simulation::step_former() {
  if (process_->former_owners() == 0) return;
  size_t number = static_cast<size_t>(world_.chance.below(process_->former_owners()));
  Status step = process_->step_former(number, world_.chance.below(2) == 0);
  world_.note("former owner {}: {}", number, answer(step));
  if (step.ok()) return;
  // What it was about to read may be deleted: only its successor's position counts.
  bool deleted = step.error().code == Code::kOutOfRange;
  if (step.error().code != Code::kFenced && !deleted && !excused(step.error()) && !refused_) {
    world_.violation("a former owner ends by: {}", step.error().message);
  }
  process_->drop_former(number);
}

void Simulation::take_over() {
  if (!process_->pipeline_runs()) return;
  size_t number = static_cast<size_t>(world_.chance.below(process_->tasks()));
  Status taken = process_->add_rival(number);
  world_.note("a rival takes task {} over: {}", number, answer(taken));
  if (!taken.ok()) pipeline_failed("takeover", taken.error());
}

void Simulation::move_partition() {
  if (!process_->pipeline_runs()) return;
  TopicPartition tp =
      input(static_cast<int>(world_.chance.below(static_cast<uint64_t>(world_.scenario.partitions))));
  size_t to = static_cast<size_t>(world_.chance.below(process_->tasks()));
  bool lost = world_.chance.below(2) == 0;
  if (process_->moving()) return;  // one after the other
  world_.note("{} {} and goes to task {}", tp.to_string(), lost ? "is lost" : "is revoked", to);
  process_->move(tp, to, lost);
}

void Simulation::delete_records() {
  log_model_.observe(process_->log());
  if (stopped()) return;
  int p = static_cast<int>(world_.chance.below(static_cast<uint64_t>(world_.scenario.partitions)));
  int64_t from = log_model_.log_start(p);
  if (sink_model_.position(p) == 0)
    return;  // a pipeline that has committed nothing begins where the log does
  // Mostly what the sink has taken in already.
  int64_t to = world_.chance.below(8) == 0 ? log_model_.stream_end(p) : sink_model_.position(p);
  if (to <= from) return;
  int64_t before = from + 1 + static_cast<int64_t>(world_.chance.below(static_cast<uint64_t>(to - from)));
  log_model_.deleted_before(p, before, false);
  Status done = process_->log().delete_records(input(p), Offset(before));
  world_.note("delete {} before {}: {}", input(p).to_string(), before, answer(done));
  if (done.ok()) log_model_.deleted_before(p, before, true);
  if (!done.ok() && !excused(done.error())) world_.violation("delete_records: {}", done.error().message);
}

void Simulation::restart_pipeline() {
  if (process_->pipeline_runs()) process_->stop_pipeline();
  open_pipeline();
}

// A commit waits before it tries again: the others go on meanwhile.
void Simulation::while_asleep() {
  if (!process_ || !process_->has_log() || stopped()) return;
  switch (world_.chance.below(12)) {
    case 0:
      world_.note("meanwhile the disk has room again");
      world_.disk.set_capacity(UINT64_MAX);
      break;
    case 1:
    case 2:
      if (!last_life_) step_client();
      break;
    default:
      break;
  }
}

void Simulation::verify_sink() {
  if (stopped()) return;
  log_model_.observe(process_->log());
  if (stopped()) return;
  if (full_ || world_.disk_errors) {
    // A commit stands even where its markers wait for housekeeping; until then its rows are not visible.
    Status kept = process_->log().housekeep();
    world_.note("housekeep: {}", answer(kept));
    if (!kept.ok() || stopped()) return;
  }
  log_model_.observe(process_->log());
  if (!stopped()) sink_model_.check(places());
}

}  // namespace tidemill::sim
