#include "simulate/sender.h"

#include <algorithm>

#include "event/record_size.h"
#include "simulate/content_hash.h"

namespace tidemill::simulate {
namespace {

constexpr int kEventsPerTurn = 1024;  // between two looks at the clock
constexpr int64_t kPublishEveryUs = 500'000;
constexpr uint32_t kMaxCopies = 64;

int64_t sum(const std::vector<int64_t>& values) {
  int64_t total = 0;
  for (int64_t value : values) total += value;
  return total;
}

// Whether the log holds less than the manifest counted (it may, where acknowledged was not durable).
bool lost_records(const Manifest& manifest, const std::vector<int64_t>& stored) {
  for (size_t p = 0; p < stored.size(); ++p) {
    if (stored[p] < manifest.partition_records[p]) return true;
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<Sender>> Sender::create(Config config, Manifest manifest, Stored stored,
                                               std::unique_ptr<Appender> appender) {
  TM_CHECK(!manifest.finished);
  TM_CHECK(stored.records.size() == static_cast<size_t>(manifest.plan.partitions));
  TM_ASSIGN(auto generator, EventGenerator::create(manifest.plan, manifest.scheduled));
  return std::unique_ptr<Sender>(new Sender(std::move(config), std::move(manifest), std::move(stored),
                                            std::move(appender), std::move(generator)));
}

Sender::Sender(Config config, Manifest manifest, Stored stored, std::unique_ptr<Appender> appender,
               std::unique_ptr<EventGenerator> generator)
    : config_(std::move(config)),
      appender_(std::move(appender)),
      generator_(std::move(generator)),
      producer_(stored.producer),
      start_us_(manifest.plan.start_us),
      scheduled_(manifest.scheduled),
      max_rate_(manifest.plan.max_rate()),
      duration_us_(manifest.plan.duration_us),
      lanes_(stored.records.size()),
      to_skip_(sum(stored.records)),
      progress_(manifest, generator_->devices(), lost_records(manifest, stored.records), live_),
      keeper_(*config_.files, config_.manifest_path, config_.threaded) {
  const bool recount = lost_records(manifest, stored.records);
  for (size_t p = 0; p < lanes_.size(); ++p) {
    lanes_[p].stored = stored.records[p];
    lanes_[p].counted = recount ? 0 : manifest.partition_records[p];
  }
}

int64_t Sender::now_us() const {
  return config_.clock->steady_ns() / 1000 + clock_offset_us_;
}

Status Sender::run(StopSignal stop) {
  clock_offset_us_ = config_.clock->wall_us() - start_us_ - config_.clock->steady_ns() / 1000;
  begun_us_ = now_us();
  next_publish_us_ = begun_us_ + kPublishEveryUs;
  const Outbox::Config outbox{.name = config_.name,
                              .max_in_flight_bytes = config_.max_in_flight_bytes,
                              .stop_grace_us = config_.stop_grace_us,
                              .threaded = config_.threaded};
  outbox_ = std::make_unique<Outbox>(outbox, *appender_, *config_.clock, stop, progress_, live_);
  Status sent = send_all(stop);
  if (sent.ok()) sent = flush_all();
  if (sent.ok()) sent = outbox_->drain();
  return end(std::move(sent), stop);
}

Status Sender::send_all(const StopSignal& stop) {
  // What is stored is stepped over even after a stop: the last manifest must count it.
  while (!stop.set() || to_skip_ > 0) {
    const int64_t until_us = max_rate_ || to_skip_ > 0 ? INT64_MAX : now_us();
    TM_ASSIGN(const Schedule::Next last, generate(until_us));
    if (last == Schedule::Next::kEnd) return check_all_found();
    if (time_is_over()) {
      ended_by_time_ = true;
      return {};
    }
    if (flush_due(last)) TM_TRY(flush_all());
    TM_TRY(outbox_->collect());
    TM_TRY(publish_manifest());
    if (last == Schedule::Next::kNotYet) sleep_until_due();
  }
  return {};
}

// The nominal schedule of the maximum rate says nothing about the clock; a duration is meant by it.
bool Sender::time_is_over() const {
  return max_rate_ && duration_us_ >= 0 && to_skip_ == 0 && now_us() - begun_us_ >= duration_us_;
}

Status Sender::check_all_found() const {
  if (to_skip_ == 0) return {};
  return internal_error(config_.name + ": the log holds " + std::to_string(to_skip_) +
                            " more records than the manifest's schedule has; they are not of this run",
                        Code::kCorrupt);
}

// The last manifest says what became of everything, also after an error.
Status Sender::end(Status sent, const StopSignal& stop) {
  const bool gave_up = !sent.ok() && sent.error().code == Code::kStopped;
  if (gave_up) sent = ok_status();
  outbox_.reset();
  live_.oldest_due_us.store(LiveCounters::kNothingDue, std::memory_order_relaxed);
  // Only an error ends the walk over what is stored; the manifest on disk is then the better one.
  if (to_skip_ > 0) return sent;
  const bool complete = progress_.all_acknowledged() && !generator_->not_before_us();
  const bool ended = ended_by_time_ || (stop.set() && !stop.aborted() && config_.on_stop == OnStop::kEnd);
  const bool finished = sent.ok() && (complete || ended);
  Status written = write_last_manifest(progress_.snapshot(finished), stop);
  if (!sent.ok()) return sent;
  if (written.ok()) finished_ = finished;
  return written;
}

// A full disk is waited out, but not for ever once a stop was asked for.
Status Sender::write_last_manifest(const Manifest& manifest, const StopSignal& stop) {
  int64_t grace_us = config_.stop_grace_us;
  for (;;) {
    Status written = keeper_.write_last(manifest);
    if (written.ok() || !written.error().retryable || grace_us <= 0) return written;
    live_.set_problem(written.error().message);
    config_.clock->sleep_us(kNapUs);
    if (stop.set()) grace_us -= kNapUs;
  }
}

Result<Schedule::Next> Sender::generate(int64_t until_us) {
  for (int n = 0; n < kEventsPerTurn; ++n) {
    const Schedule::Next next = generator_->next(until_us);
    if (next != Schedule::Next::kEvent) return next;
    TM_TRY(take_event());
    if (to_skip_ == 0 && until_us == INT64_MAX && !max_rate_) break;  // from here on the clock counts
  }
  return Schedule::Next::kEvent;
}

Status Sender::take_event() {
  const ScheduledEvent& event = generator_->event();
  progress_.sent(event.position);
  text_ = {};
  std::array<int32_t, kMaxCopies> unsent{};
  uint32_t unsent_count = 0;
  for (uint32_t copy = 0; copy < event.copies; ++copy) {
    const int32_t partition = generator_->partition(copy);
    if (to_skip_ > 0 && found(lanes_[static_cast<size_t>(partition)], partition)) continue;
    unsent[unsent_count++] = partition;
  }
  if (unsent_count == 0) {
    progress_.found_event(event.position);
    return {};
  }
  if (text_.value.data() == nullptr) text_ = generator_->text();
  const Uint128 hash = content_hash(text_.value);
  for (uint32_t n = 0; n < unsent_count; ++n) {
    // An event counts as acknowledged with its last copy: those in another partition go before it.
    if (n > 0 && unsent[n] != unsent[n - 1]) TM_TRY(flush(unsent[n - 1]));
    TM_TRY(add(unsent[n], n + 1 == unsent_count, hash));
  }
  return {};
}

bool Sender::found(Lane& lane, int32_t partition) {
  if (lane.next_record >= lane.stored) return false;
  const bool counted = lane.next_record < lane.counted;
  Uint128 hash = 0;
  if (!counted) {
    if (text_.value.data() == nullptr) text_ = generator_->text();
    hash = content_hash(text_.value);
  }
  progress_.found_record(partition, counted, text_.value, hash);
  ++lane.next_record;
  --to_skip_;
  return true;
}

Status Sender::add(int32_t partition, bool last_copy, Uint128 hash) {
  Lane& lane = lanes_[static_cast<size_t>(partition)];
  const ScheduledEvent& event = generator_->event();
  const size_t most = most_record_bytes(text_.key.value_or("").size(), text_.value.size(), 0);
  // No batch outgrows its size: the log refuses larger ones.
  if (lane.builder.size_bytes() + most > config_.max_batch_bytes) TM_TRY(flush(partition));
  if (lane.builder.empty()) {
    lane.builder.reset({.compression = config_.compression,
                        .producer_id = producer_.id,
                        .producer_epoch = producer_.epoch,
                        .base_sequence = static_cast<int32_t>(lane.next_record % kSequences)});
    lane.oldest_due_us = event.send_us;
  }
  if (buffered_++ == 0) {
    oldest_buffered_us_ = event.send_us;
    first_buffered_us_ = now_us();
    if (!max_rate_) live_.oldest_due_us.store(start_us_ + event.send_us, std::memory_order_relaxed);
  }
  lane.builder.add(generator_->timestamp_ms(), text_.key, text_.value);
  ++lane.next_record;
  BatchAccount& account = lane.account;
  ++account.records;
  account.bytes += static_cast<int64_t>(text_.value.size());
  account.content_sum += hash;
  if (last_copy) {
    ++account.events;
    account.positions.push_back(event.position);
  }
  const bool full = lane.builder.size_bytes() >= config_.max_batch_bytes;
  const bool sequences_end = lane.next_record % kSequences == 0;  // a batch never wraps
  return full || sequences_end ? flush(partition) : ok_status();
}

Status Sender::flush(int32_t partition) {
  Lane& lane = lanes_[static_cast<size_t>(partition)];
  if (lane.builder.empty()) return {};
  const int64_t records = lane.builder.count();
  TM_ASSIGN(std::string bytes, lane.builder.finish(false));
  lane.builder.reset({});
  buffered_ -= static_cast<size_t>(records);
  SentBatch batch{.partition = partition,
                  .first_record = lane.next_record - records,
                  .records = records,
                  .bytes = std::move(bytes),
                  .account = std::move(lane.account)};
  lane.account = {};
  TM_TRY(outbox_->send(std::move(batch)));
  if (!max_rate_) progress_.shortfall(now_us() - lane.oldest_due_us - config_.linger_us);
  return {};
}

Status Sender::flush_all() {
  for (int32_t p = 0; p < static_cast<int32_t>(lanes_.size()); ++p) TM_TRY(flush(p));
  live_.oldest_due_us.store(LiveCounters::kNothingDue, std::memory_order_relaxed);
  return {};
}

bool Sender::flush_due(Schedule::Next last) const {
  if (buffered_ == 0) return false;
  // Behind the schedule everything is overdue: what counts is how long it has been collected.
  const int64_t since = last == Schedule::Next::kNotYet ? oldest_buffered_us_ : first_buffered_us_;
  return now_us() >= linger_ends_us(since);
}

// At whole multiples of the linger time, so that the batches of all instances share one sync of the log.
int64_t Sender::linger_ends_us(int64_t since_us) const {
  const int64_t linger_us = config_.linger_us;
  return linger_us > 0 ? (since_us / linger_us + 1) * linger_us : since_us;
}

Status Sender::publish_manifest() {
  if (now_us() < next_publish_us_ || to_skip_ > 0) return {};
  next_publish_us_ = now_us() + kPublishEveryUs;
  return keeper_.publish(progress_.snapshot(false));
}

void Sender::sleep_until_due() {
  // Up to the end of the next linger time: everything due by then is sent together.
  const int64_t from =
      buffered_ > 0 ? oldest_buffered_us_ : generator_->not_before_us().value_or(INT64_MAX / 2);
  const int64_t wake = std::min(linger_ends_us(from), next_publish_us_);
  const int64_t left = wake - now_us();
  if (left > 0) config_.clock->sleep_us(std::min(left, kNapUs));
}

}  // namespace tidemill::simulate
