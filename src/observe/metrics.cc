#include "observe/metrics.h"

#include <memory>

namespace tidemill::observe {
namespace {

void record(std::span<const int64_t> from_us, int64_t to_us, Histogram* histogram) {
  for (int64_t at : from_us) {
    if (at != INT64_MIN) histogram->record(to_us - at);
  }
}

}  // namespace

void Metrics::on_commit(const Commit& commit) {
  // Counted outside the lock: an epoch may hold a hundred thousand rows. Not on the thread's own storage,
  // which is taken from the stack of every thread of the program.
  thread_local const auto mine = std::make_unique<Latency>();
  Latency& epoch = *mine;
  epoch.created_to_stored.clear();
  epoch.enqueued_to_stored.clear();
  record(commit.created_us, commit.committed_us, &epoch.created_to_stored);
  record(commit.enqueued_us, commit.committed_us, &epoch.enqueued_to_stored);

  std::lock_guard lock(mutex_);
  traffic_.outgoing_messages += commit.events_in;
  traffic_.outgoing_bytes += commit.bytes_in;
  traffic_.stored_rows += commit.rows;
  traffic_.stored_bytes += commit.bytes;
  traffic_.dead_letters += commit.dead_letters;
  traffic_.dropped += commit.dropped;
  traffic_.epochs += commit.epochs;
  ++traffic_.commits;
  latency_.created_to_stored.merge(epoch.created_to_stored);
  latency_.enqueued_to_stored.merge(epoch.enqueued_to_stored);
  commit_durations_.record(commit.took_us);
}

void Metrics::on_incoming(uint64_t messages, uint64_t bytes) {
  std::lock_guard lock(mutex_);
  traffic_.incoming_messages += messages;
  traffic_.incoming_bytes += bytes;
}

void Metrics::on_retry() {
  std::lock_guard lock(mutex_);
  ++traffic_.retries;
}

Traffic Metrics::traffic() const {
  std::lock_guard lock(mutex_);
  return traffic_;
}

Latency Metrics::latency() const {
  std::lock_guard lock(mutex_);
  return latency_;
}

Histogram Metrics::commit_durations() const {
  std::lock_guard lock(mutex_);
  return commit_durations_;
}

}  // namespace tidemill::observe
