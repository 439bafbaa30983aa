#include "simulate/outbox.h"

#include <algorithm>

#include "base/logging.h"

namespace tidemill::simulate {
namespace {

constexpr int64_t kFirstBackoffUs = 10'000;
constexpr int64_t kLastBackoffUs = 1'000'000;
constexpr int64_t kReportNs = 10'000'000'000;

}  // namespace

int64_t records_behind(std::optional<int32_t> last_sequence, int64_t near) {
  if (!last_sequence) return 0;
  const int64_t remainder = (int64_t{*last_sequence} + 1) % kSequences;
  int64_t records = near - near % kSequences + remainder;
  if (records - near > kSequences / 2) records -= kSequences;
  if (near - records > kSequences / 2) records += kSequences;
  return std::max<int64_t>(records, 0);
}

Outbox::Outbox(Config config, Appender& appender, Clock& clock, StopSignal stop, Progress& progress,
               LiveCounters& live)
    : config_(std::move(config)),
      appender_(appender),
      clock_(clock),
      stop_(stop),
      progress_(progress),
      live_(live),
      waiter_(appender, config_.threaded) {}

Status Outbox::send(SentBatch batch) {
  while (in_flight_bytes_ + batch.bytes.size() > config_.max_in_flight_bytes && !in_flight_.empty()) {
    TM_TRY(wait_for_progress());
  }
  in_flight_bytes_ += batch.bytes.size();
  in_flight_.push_back(std::move(batch));
  SentBatch& sent = in_flight_.back();
  Result<uint64_t> ticket = appender_.append(sent.partition, sent.bytes);
  if (!ticket.ok()) return recover(std::move(ticket).error());
  sent.ticket = *ticket;
  waiter_.submit(*ticket);
  return {};
}

Status Outbox::collect() {
  if (in_flight_.empty()) return {};
  TicketWaiter::State state = waiter_.poll();
  account(state.completed);
  if (state.error) return recover(std::move(*state.error));
  return {};
}

Status Outbox::drain() {
  while (!in_flight_.empty()) TM_TRY(wait_for_progress());
  return {};
}

Status Outbox::wait_for_progress() {
  TicketWaiter::State state = waiter_.await(completed_);
  account(state.completed);
  if (state.error) return recover(std::move(*state.error));
  return {};
}

void Outbox::account(uint64_t completed) {
  completed_ = completed;
  while (!in_flight_.empty() && in_flight_.front().ticket <= completed) {
    const SentBatch& batch = in_flight_.front();
    progress_.acknowledged(batch.partition, batch.account);
    in_flight_bytes_ -= batch.bytes.size();
    in_flight_.pop_front();
  }
}

// Something in flight failed: nobody knows what of it is stored until the log is asked.
Status Outbox::recover(Error error) {
  waiter_.reset();
  completed_ = 0;
  int64_t backoff_us = kFirstBackoffUs;
  for (;;) {
    if (!error.retryable) return error;
    report(error);
    for (int64_t left = backoff_us; left > 0 && !given_up(); left -= kNapUs) {
      clock_.sleep_us(std::min(left, kNapUs));
    }
    if (given_up()) {
      return Error{error.domain, Code::kStopped, false, "stopped while appending failed: " + error.message};
    }
    backoff_us = std::min(backoff_us * 2, kLastBackoffUs);
    Result<uint64_t> ticket = send_again();
    if (ticket.ok()) {
      for (SentBatch& batch : in_flight_) batch.ticket = *ticket;
      waiter_.submit(*ticket);
      live_.stalled.store(false, std::memory_order_relaxed);
      return {};
    }
    error = std::move(ticket).error();
  }
}

Result<std::map<int32_t, int64_t>> Outbox::stored_records() {
  std::map<int32_t, int64_t> stored;
  for (const SentBatch& batch : in_flight_) {
    if (stored.contains(batch.partition)) continue;
    TM_ASSIGN(const std::optional<int32_t> last, appender_.last_sequence(batch.partition));
    const int64_t records = records_behind(last, batch.first_record);
    if (records < batch.first_record) {
      return external_error(config_.name + ": partition " + std::to_string(batch.partition) + " lost " +
                                std::to_string(batch.first_record - records) +
                                " acknowledged records; start the run again to send them once more",
                            Code::kCorrupt);
    }
    stored[batch.partition] = records;
  }
  return stored;
}

// Appends what is not stored. Of what is stored, the last batch of each partition is appended again
// as well: the log knows it, and gives a ticket by which it and all before it are waited for.
Result<uint64_t> Outbox::send_again() {
  TM_ASSIGN(const auto stored, stored_records());
  std::map<int32_t, const SentBatch*> last_stored;
  for (const SentBatch& batch : in_flight_) {
    const int64_t records = stored.at(batch.partition);
    if (batch.first_record + batch.records <= records) {
      last_stored[batch.partition] = &batch;
    } else if (batch.first_record < records) {
      return internal_error(
          config_.name + ": partition " + std::to_string(batch.partition) +
              " holds a part of a batch; its log is damaged, or another process uses the same run",
          Code::kCorrupt);
    }
  }
  uint64_t newest = 0;
  for (SentBatch& batch : in_flight_) {
    const bool is_stored = batch.first_record + batch.records <= stored.at(batch.partition);
    if (is_stored && last_stored[batch.partition] != &batch) continue;
    TM_ASSIGN(const uint64_t ticket, appender_.append(batch.partition, batch.bytes));
    newest = std::max(newest, ticket);
  }
  return newest;
}

void Outbox::report(const Error& error) {
  live_.retries.fetch_add(1, std::memory_order_relaxed);
  live_.stalled.store(true, std::memory_order_relaxed);
  live_.set_problem(error.message);
  const int64_t now = clock_.steady_ns();
  if (last_report_ns_ >= 0 && now - last_report_ns_ < kReportNs) return;
  last_report_ns_ = now;
  log_warning(config_.name + ": " + error.message + "; trying again until it succeeds");
}

bool Outbox::given_up() {
  if (!stop_.set()) return false;
  const int64_t now = clock_.steady_ns();
  if (stop_seen_ns_ < 0) stop_seen_ns_ = now;
  return now - stop_seen_ns_ >= config_.stop_grace_us * 1000;
}

}  // namespace tidemill::simulate
