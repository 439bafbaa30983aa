#include "observe/metrics.h"

namespace tidemill::observe {
namespace {

void record(std::span<const int64_t> from_us, int64_t to_us, Histogram* histogram) {
  for (int64_t at : from_us) {
    if (at != INT64_MIN) histogram->record(to_us - at);
  }
}

}  // namespace

void Metrics::on_commit(uint64_t events_in, uint64_t bytes_in, uint64_t rows, uint64_t dead, uint64_t dropped,
                        std::span<const int64_t> created_us, std::span<const int64_t> enqueued_us,
                        int64_t committed_us) {
  // Counted outside the lock: an epoch may hold a hundred thousand rows.
  thread_local Latency epoch;
  epoch.created_to_stored.clear();
  epoch.enqueued_to_stored.clear();
  record(created_us, committed_us, &epoch.created_to_stored);
  record(enqueued_us, committed_us, &epoch.enqueued_to_stored);

  std::lock_guard lock(mutex_);
  traffic_.outgoing_messages += events_in;
  traffic_.outgoing_bytes += bytes_in;
  traffic_.stored_rows += rows;
  traffic_.dead_letters += dead;
  traffic_.dropped += dropped;
  ++traffic_.commits;
  latency_.created_to_stored.merge(epoch.created_to_stored);
  latency_.enqueued_to_stored.merge(epoch.enqueued_to_stored);
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

}  // namespace tidemill::observe
