#include "pipeline/task.h"

#include <algorithm>
#include <utility>

#include "base/canary.h"
#include "base/steps.h"
#include "event/timestamp.h"

namespace tidemill::pipeline {
namespace {

// Who was fenced in a partition that the source assigned to it hears "lost" within a heartbeat or two, unless
// it was fenced by one that is itself no longer meant.
constexpr int64_t kAwaitNs = 3'000'000'000;
// A commit that takes less of the time that the store allows would have time for twice as much.
constexpr double kAmpleShare = 0.25;

}  // namespace

Task::Task(TaskParts parts) : parts_(std::move(parts)), traits_(parts_.sink->traits()) {
  if (parts_.plan->decodes) decoder_.emplace(parts_.plan->decode);
  poll_backoff_.emplace(parts_.retry, *parts_.random);
}

Task::~Task() = default;

Status Task::open() {
  TM_ASSIGN(reader_, parts_.source->open_reader(parts_.number));
  TM_ASSIGN(writer_, parts_.sink->open_writer(parts_.number));
  Committer::Parts commit;
  commit.writer = writer_.get();
  commit.changelog = parts_.plan->stateful ? parts_.changelog : nullptr;
  commit.changelog_in_transaction = traits_.changelog_in_transaction;
  commit.clock = parts_.clock;
  commit.random = parts_.random;
  commit.listener = parts_.listener;
  commit.retry = parts_.retry;
  commit.task = parts_.number;
  committer_ = std::make_unique<Committer>(commit);
  return take_over(parts_.partitions);
}

Status Task::take_over(const std::vector<TopicPartition>& partitions) {
  if (partitions.empty()) return {};
  // The token first, positions after: whoever held the partitions before can commit no more.
  TM_ASSIGN(std::vector<Committed> held, writer_->acquire(partitions));
  TM_CHECK(held.size() == partitions.size());
  std::vector<std::pair<TopicPartition, Position>> starts;
  for (size_t i = 0; i < partitions.size(); ++i) {
    auto lane = std::make_unique<Lane>(*parts_.plan, partitions[i], changelog_part_bytes(), parts_.sink);
    auto tell = [&](const TopicPartition& tp, uint64_t bytes) {
      if (parts_.listener != nullptr) parts_.listener->on_restore(tp, bytes);
    };
    TM_TRY(restore_lane(*lane, held[i], parts_.plan->stateful, traits_.in_steps, *reader_, parts_.changelog,
                        tell));
    starts.emplace_back(partitions[i], lane->next());
    LaneProgress progress;
    progress.source = partitions[i];
    progress.read = progress.committed = lane->next();
    progress.counters = held[i].counters;
    {
      std::lock_guard lock(mutex_);
      progress_[partitions[i]] = progress;
    }
    lanes_[partitions[i]] = std::move(lane);
  }
  if (parts_.source->traits().start_moves) {
    for (size_t i = 0; i < partitions.size(); ++i) {
      if (held[i].position) continue;
      lanes_[partitions[i]]->commit_start();
      TM_TRY(ensure_epoch());
      start_due_ = true;
    }
  }
  caught_up_ = source_ended_ = false;  // of these it was not asked
  // Where the pipeline stands is what retention must keep, from the start on.
  reader_->committed(starts);
  return reader_->assign(starts);
}

// What cannot be taken over now is taken over later, unless it is revoked by then. Fencing means that only
// where the source assigns.
Status Task::take_over_or_wait(const std::vector<TopicPartition>& partitions) {
  Status taken = take_over(partitions);
  if (taken.ok()) return taken;
  const Error& why = taken.error();
  const bool fenced = why.code == Code::kFenced && parts_.source->traits().assigns;
  if (!why.retryable && !fenced) return taken;
  if (parts_.listener != nullptr) parts_.listener->on_retry("takeover: " + why.message + "; trying again");
  release(partitions);
  for (const TopicPartition& tp : partitions) awaited_[tp] = parts_.clock->steady_ns() + kAwaitNs;
  return {};
}

Status Task::take_awaited() {
  std::vector<TopicPartition> due;
  for (const auto& [tp, at_ns] : awaited_) {
    if (at_ns <= parts_.clock->steady_ns()) due.push_back(tp);
  }
  if (due.empty()) return {};
  for (const TopicPartition& tp : due) awaited_.erase(tp);
  wait_for_commit(INT64_MAX);
  return take_over_or_wait(due);
}

// Whatever is open or on its way is dropped, and every partition is awaited.
Status Task::drop_all() {
  epoch_ = OpenEpoch{};
  ended_.reset();
  snapshot_due_ = false;
  wait_for_commit(INT64_MAX);
  {
    std::lock_guard lock(mutex_);
    slot_.reset();
    slot_state_ = Slot::kFree;
  }
  std::vector<TopicPartition> all;
  for (const auto& [source, lane] : lanes_) all.push_back(source);
  release(all);
  for (const TopicPartition& tp : all) awaited_[tp] = parts_.clock->steady_ns() + kAwaitNs;
  return {};
}

// Another owner took over: where the source assigns it says next which partitions are still meant. Or the
// store has not the time for so much: the epoch begins again, and ends earlier.
Status Task::after_failure(Status status) {
  if (!status.ok() && status.error().code == Code::kTooLong) {
    if (parts_.listener != nullptr) {
      parts_.listener->on_retry("sink: too much for one commit: " + status.error().message +
                                "; read again, at most " + std::to_string(max_events()) + " events at once");
    }
    return drop_and_restore({});
  }
  if (status.ok() || status.error().code != Code::kFenced || !parts_.source->traits().assigns) return status;
  if (parts_.listener != nullptr) parts_.listener->on_retry("fenced: " + status.error().message);
  return drop_all();
}

// Now and then, between two commits.
void Task::keep_positions() {
  const int64_t now_ns = parts_.clock->steady_ns();
  if (traits_.keep_every_us == 0 || now_ns - kept_ns_ < traits_.keep_every_us * 1000) return;
  {
    std::lock_guard lock(mutex_);
    if (slot_state_ != Slot::kFree) return;
  }
  kept_ns_ = now_ns;
  Status kept = writer_->keep();
  if (!kept.ok() && parts_.listener != nullptr)
    parts_.listener->on_retry("positions: " + kept.error().message + "; written again later");
}

Result<Task::Step> Task::step(int64_t timeout_us) {
  auto done = step_on(timeout_us);
  if (!std::exchange(interrupted_, false)) return done;
  epoch_ = OpenEpoch{};  // not read to its end
  return Step::kWorked;
}

Result<Task::Step> Task::step_on(int64_t timeout_us) {
  TM_TRY(after_failure(collect_commit()));
  keep_positions();
  if (ended_) {
    {
      std::lock_guard lock(mutex_);
      if (slot_state_ != Slot::kFree) return Step::kWaitingForCommit;
    }
    TM_TRY(hand_over());
    return Step::kWorked;
  }
  // An interval that was not read to its end has no rows: whoever goes on reads it again.
  const bool abandons = stop_.draining && has_intervals();
  if (abandons) epoch_ = OpenEpoch{};
  if (snapshot_due_ && epoch_.empty() && !abandons) {
    // A snapshot is never past what the sink has committed: it waits for the commit under way.
    {
      std::lock_guard lock(mutex_);
      if (slot_state_ != Slot::kFree && !canary(Canary::kSnapshotPastSink)) return Step::kWaitingForCommit;
    }
    TM_TRY(after_failure(take_snapshots()));
    return Step::kWorked;
  }
  if (stop_.draining || source_ended_) {
    if (!epoch_.empty()) {
      TM_TRY(end_epoch());
      return Step::kWorked;
    }
    {
      std::lock_guard lock(mutex_);
      if (slot_state_ != Slot::kFree) return Step::kWaitingForCommit;
    }
    give_back();
    return Step::kEnded;
  }
  return poll_and_process(timeout_us);
}

Result<Task::Step> Task::poll_and_process(int64_t timeout_us) {
  // Not with the events of an interval.
  if (start_due_ && has_intervals()) {
    start_due_ = false;
    TM_TRY(end_epoch());
    return Step::kWorked;
  }
  PollRequest request;
  request.timeout_us = timeout_us;
  if (!epoch_.empty()) {
    int64_t age_us = (parts_.clock->steady_ns() - epoch_.first_event_ns) / 1000;
    int64_t left_us = has_intervals() ? interval_left_us() : open_for_us() - age_us;
    request.timeout_us = std::clamp<int64_t>(left_us, 0, timeout_us);
  }
  const uint64_t counted = has_intervals() ? 0 : std::min(epoch_.work.events_in, max_events() - 1);
  request.max_events = static_cast<size_t>(max_events() - counted);
  auto polled = reader_->poll(request);
  if (!polled.ok()) {
    TM_TRY(poll_error(polled.error()));
    return Step::kWorked;
  }
  poll_backoff_->reset();
  caught_up_ = polled->caught_up;
  idle_ = polled->caught_up || polled->idle;
  source_ended_ = polled->ended;
  bool worked = !polled->batches.empty();
  for (BatchPtr& batch : polled->batches) TM_TRY(process(std::move(batch)));
  TM_TRY(handle_changes(polled->changes));
  TM_TRY(take_awaited());

  Times times;
  times.processing_us = parts_.clock->wall_us();
  auto deliver_made = [&](BatchPtr made) -> Status {
    Status open = ensure_epoch();
    return open.ok() ? deliver(std::move(made)) : open;
  };
  for (auto& [source, lane] : lanes_) TM_TRY(lane->advance(times, deliver_made));
  if (!epoch_.empty() && (start_due_ || epoch_full() || epoch_due(parts_.clock->steady_ns()))) {
    start_due_ = false;
    TM_TRY(end_epoch());
    worked = true;
  }
  publish_progress();
  return worked ? Step::kWorked : Step::kIdle;
}

Status Task::poll_error(const Error& error) {
  if (!error.retryable) return error;
  int64_t wait = poll_backoff_->next_us();
  if (wait < 0) {
    Error last = error;
    last.retryable = false;
    return std::move(last).within("source: gave up");
  }
  if (parts_.listener != nullptr) parts_.listener->on_retry("source: " + error.message + "; trying again");
  parts_.clock->sleep_us(wait);
  return {};
}

Status Task::handle_changes(const std::vector<AssignmentChange>& changes) {
  for (const AssignmentChange& change : changes) {
    switch (change.kind) {
      case AssignmentChange::kAssigned:
        wait_for_commit(INT64_MAX);
        TM_TRY(take_over_or_wait(change.partitions));
        break;
      case AssignmentChange::kRevoked:
        for (const TopicPartition& tp : change.partitions) awaited_.erase(tp);
        TM_TRY(hand_back(change.partitions));
        break;
      case AssignmentChange::kLost:
        for (const TopicPartition& tp : change.partitions) awaited_.erase(tp);
        TM_TRY(drop_lost(change.partitions));
        break;
    }
  }
  return {};
}

// Commits what is open, or drops it where the store does not take it in time.
Status Task::hand_back(const std::vector<TopicPartition>& partitions) {
  stop_.handing_back = true;
  Status handed = commit_and_hand_back(partitions);
  stop_.handing_back = false;
  const bool gave_up = !handed.ok() && handed.error().code == Code::kStopped;
  if (!gave_up || stop_.draining || stop_.abandoned) return handed;
  if (parts_.listener != nullptr) parts_.listener->on_retry("revoked: " + handed.error().message);
  // Also where nothing of them was held: what was given up is that of others.
  return drop_and_restore(partitions);
}

Status Task::commit_and_hand_back(const std::vector<TopicPartition>& partitions) {
  if (has_intervals()) {
    // The one that is open ends at its next owner's.
    wait_for_commit(INT64_MAX);
    TM_TRY(after_failure(collect_commit()));
    for (const TopicPartition& tp : partitions) awaited_.erase(tp);
    return drop_lost(partitions);
  }
  if (!epoch_.empty()) TM_TRY(end_epoch());
  while (ended_) {
    wait_for_commit(INT64_MAX);
    TM_TRY(after_failure(collect_commit()));
    if (ended_) TM_TRY(hand_over());
  }
  wait_for_commit(INT64_MAX);
  TM_TRY(after_failure(collect_commit()));
  for (const TopicPartition& tp : partitions) awaited_.erase(tp);
  release(partitions);
  return {};
}

Status Task::drop_lost(const std::vector<TopicPartition>& partitions) {
  if (std::none_of(partitions.begin(), partitions.end(),
                   [&](const TopicPartition& tp) { return lanes_.count(tp) != 0; })) {
    release(partitions);
    return {};
  }
  // Whatever is open or on its way touches the lost partitions too, and cannot commit.
  return drop_and_restore(partitions);
}

// All that is open or on its way is dropped, and the partitions that stay are restored to what the sink
// holds.
Status Task::drop_and_restore(const std::vector<TopicPartition>& lost) {
  epoch_ = OpenEpoch{};
  ended_.reset();
  stop_.lost = true;
  wait_for_commit(INT64_MAX);
  stop_.lost = false;
  Status committed = collect_commit();
  if (!committed.ok()) {
    const Code why = committed.error().code;
    const bool dropped =
        why == Code::kFenced || why == Code::kTooLong || (why == Code::kStopped && !stop_.draining);
    if (!dropped) return committed;
  }
  {
    std::lock_guard lock(mutex_);
    slot_.reset();
  }
  std::vector<TopicPartition> all = lost, kept;
  for (const auto& [source, lane] : lanes_) {
    if (std::find(lost.begin(), lost.end(), source) == lost.end()) kept.push_back(source);
  }
  all.insert(all.end(), kept.begin(), kept.end());
  release(all);
  return take_over_or_wait(kept);
}

// The end of the task, for a store that has something to close then.
void Task::give_back() {
  if (std::exchange(given_back_, true)) return;
  std::vector<TopicPartition> all;
  for (const auto& [source, lane] : lanes_) all.push_back(source);
  writer_->release(all);
}

void Task::release(const std::vector<TopicPartition>& partitions) {
  // In this order: whoever is assigned them next finds them free.
  writer_->release(partitions);
  reader_->unassign(partitions);
  std::lock_guard lock(mutex_);
  for (const TopicPartition& tp : partitions) {
    lanes_.erase(tp);
    progress_.erase(tp);
  }
}

Status Task::ensure_epoch(int64_t waited_us) {
  if (!epoch_.empty()) return {};
  TM_ASSIGN(epoch_.output, writer_->begin());
  epoch_.first_event_ns = parts_.clock->steady_ns() - waited_us * 1000;
  if (const int64_t every_us = parts_.plan->every_us; every_us > 0)
    epoch_.interval_us = parts_.clock->wall_us() / every_us * every_us;
  settled_ = false;
  return {};
}

// How long ago the batch's first event came to the log. By another machine's clock perhaps, so it counts for
// little.
int64_t Task::waited_us(const Batch& batch) const {
  if (has_intervals() || batch.timestamp_type != TimestampType::kLogAppendTime) return 0;
  const auto came_us = record_time_us(batch.records().front().timestamp_ms);
  if (!came_us) return 0;
  return std::clamp<int64_t>(parts_.clock->wall_us() - *came_us, 0, parts_.limits.interval_us / 4);
}

Status Task::process(BatchPtr batch) {
  auto lane = lanes_.find(batch->source);
  if (lane == lanes_.end()) return {};  // revoked while it was under way
  if (batch->size() == 0) {
    lane->second->skip_to(batch->end);
    return {};
  }
  TM_TRY(ensure_epoch(waited_us(*batch)));
  epoch_.work.events_in += batch->size();
  epoch_.work.bytes_in += batch->payload_bytes();
  if (batch->selected.empty()) batch->select_all();
  if (decoder_) decoder_->decode(*batch);
  return unless_interrupted(lane->second->process(std::move(batch), parts_.clock->wall_us(),
                                                  epoch_.interval_us,
                                                  [&](BatchPtr made) { return deliver(std::move(made)); }));
}

Status Task::deliver(BatchPtr batch) {
  epoch_.work.dead += batch->dead_letters.size();
  epoch_.work.dropped += batch->dropped;
  if (parts_.listener != nullptr) {
    for (const DeadLetter& letter : batch->dead_letters) parts_.listener->on_dead_letter(letter.reason);
  }
  const Column* created = parts_.plan->time_field.empty() ? nullptr : batch->column(parts_.plan->time_field);
  for (uint32_t row : batch->selected) {
    epoch_.work.enqueued_us.push_back(record_time_us(batch->records()[row].timestamp_ms).value_or(INT64_MIN));
    if (created != nullptr) {
      epoch_.work.created_us.push_back(created->valid(row) ? created->int64_at(row) : INT64_MIN);
    }
  }
  return epoch_.output->write(batch);
}

uint64_t Task::max_events() const {
  return std::min(most_events_,
                  parts_.limits.max_events > 0 ? parts_.limits.max_events : traits_.preferred_rows);
}

// Of the epoch in the slot.
void Task::commit_fewer() {
  most_events_ = std::max<uint64_t>(std::min(slot_->events_in, max_events()) / 2, 1);
}

void Task::commit_more() {
  const bool full = slot_->events_in > most_events_ / 2;
  if (full && slot_->time_share < kAmpleShare) most_events_ *= 2;
}

bool Task::epoch_full() const {
  // The events of an interval are kept elsewhere; here are its dead letters.
  if (has_intervals()) return epoch_.output->memory_bytes() >= parts_.limits.max_bytes;
  return epoch_.work.events_in >= max_events() || epoch_.work.bytes_in >= traits_.preferred_bytes ||
         epoch_.work.bytes_in + epoch_.output->memory_bytes() >= parts_.limits.max_bytes;
}

bool Task::epoch_due(int64_t now_ns) const {
  if (has_intervals()) return interval_left_us() <= 0;
  int64_t age_us = (now_ns - epoch_.first_event_ns) / 1000;
  if (age_us >= parts_.limits.max_interval_us) return true;
  // Nothing gains by keeping the first events after a start waiting.
  if (!idle_ || (age_us < open_for_us() && !first_epoch_)) return false;
  // While the last commit is still under way this epoch grows on, rather than wait at the slot.
  std::lock_guard lock(mutex_);
  return slot_state_ != Slot::kFull;
}

// How long an epoch stays open once the source was read to its end.
int64_t Task::open_for_us() const {
  std::lock_guard lock(mutex_);
  return parts_.limits.interval_us - std::min(commit_time_.expected_us(), parts_.limits.interval_us / 2);
}

// Of the open one, by the wall clock; where that was set back, by the other.
int64_t Task::interval_left_us() const {
  const int64_t every_us = parts_.plan->every_us;
  const int64_t age_us = (parts_.clock->steady_ns() - epoch_.first_event_ns) / 1000;
  return std::min(epoch_.interval_us + every_us - parts_.clock->wall_us(), every_us - age_us);
}

int64_t Task::gather_us() const {
  constexpr int64_t kPollsAnEpoch = 8, kLookAgainUs = 500, kMostAtOnceUs = 1000;
  if (epoch_.empty() || !idle_ || stop_.draining || source_ended_ || ended_) return 0;
  if (has_intervals()) return std::max<int64_t>(interval_left_us(), 0);
  int64_t most_us = parts_.limits.interval_us / kPollsAnEpoch;
  if (traits_.rows_at_once) most_us = std::min(most_us, kMostAtOnceUs);
  int64_t age_us = (parts_.clock->steady_ns() - epoch_.first_event_ns) / 1000;
  // An epoch that is overdue grows on while the last one commits; its end must be seen soon.
  const int64_t left_us = open_for_us() - age_us;
  if (left_us <= 0) return std::min(most_us, kLookAgainUs);
  return std::min(most_us, left_us);
}

// Of an operator that was interrupted because the task drains.
Status Task::unless_interrupted(Status status) {
  interrupted_ |= !status.ok() && status.error().code == Code::kStopped && stop_.draining && has_intervals();
  return status;
}

Status Task::end_interval() {
  const size_t before = epoch_.output->memory_bytes();
  auto deliver_row = [&](BatchPtr made) -> Status {
    TM_TRY(deliver(std::move(made)));
    const size_t bytes = epoch_.output->memory_bytes();
    if (bytes < before + parts_.limits.max_bytes) return {};
    return user_error("the rows of one interval have more than " + std::to_string(parts_.limits.max_bytes) +
                      " bytes (pipeline.epoch.max_bytes). Raise it, aggregate more, or give a shorter "
                      "interval; nothing is lost: a restart goes on from the last commit");
  };
  for (auto& [source, lane] : lanes_) {
    if (lane->epoch_open()) TM_TRY(unless_interrupted(lane->end_interval(deliver_row)));
  }
  return {};
}

Status Task::end_epoch() {
  TM_CHECK(!ended_);
  first_epoch_ = false;
  if (has_intervals()) TM_TRY(end_interval());
  EpochWork work = std::move(epoch_.work);
  work.output = std::move(epoch_.output);
  for (auto& [source, lane] : lanes_) {
    if (!lane->epoch_open()) continue;
    TM_ASSIGN(PartitionEpoch ended, lane->end_epoch());
    work.request.partitions.push_back(std::move(ended));
  }
  work.request.commit_token = reader_->commit_token();
  work.divisible = !has_intervals() && work.events_in > 1 && max_events() > 1;
  epoch_ = OpenEpoch{};
  commit_step("epoch.ended");
  ended_ = std::move(work);
  TM_TRY(check_state_limit());
  bool free = false;
  {
    std::lock_guard lock(mutex_);
    free = slot_state_ == Slot::kFree;
  }
  return free ? hand_over() : ok_status();
}

Status Task::hand_over() {
  std::lock_guard lock(mutex_);
  TM_CHECK(slot_state_ == Slot::kFree);
  slot_ = std::move(ended_);
  ended_.reset();
  slot_state_ = Slot::kFull;
  handed_over_ns_ = parts_.clock->steady_ns();
  changed_.notify_all();
  return {};
}

Status Task::collect_commit() {
  std::vector<std::pair<TopicPartition, Position>> positions;
  {
    std::lock_guard lock(mutex_);
    if (slot_state_ != Slot::kDone) return {};
    slot_state_ = Slot::kFree;
    if (!slot_result_.ok()) {
      if (slot_result_.error().code == Code::kTooLong) commit_fewer();
      return slot_result_;
    }
    commit_more();
    for (const PartitionEpoch& epoch : slot_->request.partitions) {
      positions.emplace_back(epoch.source, epoch.next);
      auto found = progress_.find(epoch.source);
      if (found == progress_.end()) continue;
      found->second.committed = epoch.next;
      found->second.counters = epoch.counters;
    }
    slot_.reset();
  }
  reader_->committed(positions);
  if (!parts_.plan->stateful) return {};
  for (auto& [source, lane] : lanes_) snapshot_due_ |= lane->snapshot_due(parts_.snapshot_min_bytes);
  return {};
}

Status Task::take_snapshots() {
  for (auto& [source, lane] : lanes_) {
    if (!lane->snapshot_due(parts_.snapshot_min_bytes)) continue;
    Status taken = take_snapshot(source, *lane);
    if (taken.ok()) continue;
    if (!taken.error().retryable) return taken;
    // Due again after the next commit.
    if (parts_.listener != nullptr) parts_.listener->on_retry("snapshot: " + taken.error().message);
    break;
  }
  snapshot_due_ = false;
  return {};
}

// What fails in the middle is written again from the beginning, and counts for nothing.
Status Task::take_snapshot(const TopicPartition& source, Lane& lane) {
  // Frames of later epochs come after this point, whoever writes them: cutting before it cuts only
  // what the snapshot holds.
  TM_ASSIGN(int64_t keep_from, parts_.changelog->end(source));
  // Asked after that: whoever takes over later writes behind it. Who took over before may have frames
  // before it, which are not this owner's to cut.
  TM_ASSIGN(std::vector<Committed> held, writer_->committed(std::span(&source, 1)));
  if (held.front().owner > lane.owner()) {
    return external_error(source.to_string() + ": another owner took over", Code::kFenced);
  }
  std::string deltas = lane.snapshot_deltas();
  TM_ASSIGN(auto records, encode_changelog(lane.snapshot_record(), deltas, changelog_part_bytes()));
  TM_TRY(parts_.changelog->append(source, records));
  commit_step("snapshot.written");
  TM_TRY(parts_.changelog->sync());
  commit_step("snapshot.durable");
  TM_TRY(parts_.changelog->truncate_before(source, keep_from));
  commit_step("snapshot.truncated");
  lane.snapshot_bytes = deltas.size();
  lane.frame_bytes_since_snapshot = 0;
  return {};
}

Status Task::check_state_limit() {
  size_t bytes = 0;
  for (const auto& [source, lane] : lanes_) bytes += lane->state_bytes();
  if (bytes <= parts_.limits.state_bytes) return {};
  return user_error("the keyed state of task " + std::to_string(parts_.number) + " has reached " +
                    std::to_string(bytes) + " bytes; the limit is " +
                    std::to_string(parts_.limits.state_bytes) +
                    " (pipeline.state_limit). Raise it, shorten the operator's horizon, or use more tasks; "
                    "nothing is lost: a restart goes on from the last commit");
}

size_t Task::changelog_part_bytes() const {
  if (parts_.changelog == nullptr) return kChangelogPartBytes;
  size_t most = parts_.changelog->max_record_bytes();
  return std::min(kChangelogPartBytes, most - std::min(most, kChangelogHeaderBytes));
}

void Task::publish_progress() {
  std::lock_guard lock(mutex_);
  for (auto& [source, lane] : lanes_) {
    LaneProgress& progress = progress_[source];
    progress.read = lane->next();
    progress.state_bytes = lane->state_bytes();
    progress.lag = reader_->lag(source, progress.committed);
  }
  settled_ = caught_up_ && awaited_.empty() && epoch_.empty() && !ended_ && slot_state_ == Slot::kFree;
}

bool Task::commit_waiting() {
  std::lock_guard lock(mutex_);
  return slot_state_ == Slot::kFull;
}

bool Task::wait_for_work() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return slot_state_ == Slot::kFull || slot_closed_; });
  return slot_state_ == Slot::kFull;
}

void Task::wait_for_commit(int64_t timeout_us) {
  if (parts_.inline_commits) {
    if (commit_waiting()) run_commit();
    return;
  }
  std::unique_lock lock(mutex_);
  auto free = [&] { return slot_state_ != Slot::kFull; };
  if (timeout_us == INT64_MAX) {
    changed_.wait(lock, free);
  } else {
    changed_.wait_for(lock, std::chrono::microseconds(timeout_us), free);
  }
}

void Task::close_slot() {
  std::lock_guard lock(mutex_);
  slot_closed_ = true;
  changed_.notify_all();
}

void Task::run_commit() {
  EpochWork* work = nullptr;
  {
    std::lock_guard lock(mutex_);
    TM_CHECK(slot_state_ == Slot::kFull);
    work = &*slot_;  // stays in place until it is collected
  }
  Status result = committer_->commit(*work, stop_);
  std::lock_guard lock(mutex_);
  slot_result_ = std::move(result);
  commit_time_.add((parts_.clock->steady_ns() - handed_over_ns_) / 1000);
  slot_state_ = Slot::kDone;
  changed_.notify_all();
}

std::vector<LaneProgress> Task::progress() const {
  std::lock_guard lock(mutex_);
  std::vector<LaneProgress> all;
  for (const auto& [source, progress] : progress_) all.push_back(progress);
  return all;
}

}  // namespace tidemill::pipeline
