#include "ingest/kafka_merge.h"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tidemill::ingest {
namespace {

// One without records only moves its partition's end, and holds up nothing.
int64_t time_of(const Batch& batch) {
  return batch.size() == 0 ? INT64_MIN : batch.records().front().timestamp_ms;
}

size_t size_of(const Batch& batch) {
  size_t bytes = 1;
  for (const Record& record : batch.records())
    bytes += record.key.size() + record.value.size() + record.headers.size() + sizeof record;
  return bytes;
}

// Into memory of its own: a batch of Kafka's shares that of everything that came with it.
void detach(Batch& batch) {
  size_t bytes = 0;
  std::vector<Record> records = batch.records();
  for (const Record& record : records)
    bytes += record.key.size() + record.value.size() + record.headers.size();
  auto memory = std::make_shared<std::string>();
  memory->reserve(bytes);  // so that what points into it stays good
  for (Record& record : records) {
    for (std::string_view* part : {&record.key, &record.value, &record.headers}) {
      const size_t at = memory->size();
      memory->append(*part);
      *part = std::string_view(*memory).substr(at);
    }
  }
  batch.set_records(std::move(records), std::move(memory));
}

}  // namespace

void KafkaMerge::unassign(const TopicPartition& tp) {
  auto found = held_.find(tp);
  if (found == held_.end()) return;
  for (const Entry& entry : found->second.entries) bytes_ -= entry.bytes;
  held_.erase(found);
}

void KafkaMerge::put(BatchPtr batch) {
  auto found = held_.find(batch->source);
  if (found == held_.end()) return;
  found->second.silent = false;
  const size_t bytes = size_of(*batch);
  bytes_ += bytes;
  found->second.entries.push_back({std::move(batch), bytes, false});
}

// For a partition whose next batch may be older.
bool KafkaMerge::waits(const Batch& oldest, const Now& now) {
  const int64_t time_ms = time_of(oldest);
  if (time_ms == INT64_MIN || time_ms > now.wall_ms - limits_.new_ms || full()) return false;
  std::vector<Held*> missing;
  for (auto& [tp, held] : held_) {
    if (held.entries.empty() && !held.silent && !now.at_end(tp)) missing.push_back(&held);
  }
  if (missing.empty()) return false;
  if (waiting_ns_ < 0) waiting_ns_ = now.steady_ns;
  if (now.steady_ns - waiting_ns_ < limits_.patience_ns) return true;
  for (Held* held : missing) held->silent = true;
  return false;
}

void KafkaMerge::take(size_t most_bytes, size_t most_events, const Now& now, std::vector<BatchPtr>* out) {
  move_out(most_bytes, most_events, now, out);
  // What stays may stay for long. What came last is at the back.
  for (auto& [tp, held] : held_) {
    for (auto entry = held.entries.rbegin(); entry != held.entries.rend() && !entry->detached; ++entry) {
      detach(*entry->batch);
      entry->detached = true;
    }
  }
}

void KafkaMerge::move_out(size_t most_bytes, size_t most_events, const Now& now, std::vector<BatchPtr>* out) {
  size_t bytes = 0, events = 0;
  while (bytes < most_bytes && events < most_events) {
    Held* oldest = nullptr;
    for (auto& [tp, held] : held_) {
      if (held.entries.empty()) continue;
      if (oldest == nullptr || time_of(*held.entries.front().batch) < time_of(*oldest->entries.front().batch))
        oldest = &held;
    }
    if (oldest == nullptr || waits(*oldest->entries.front().batch, now)) return;
    waiting_ns_ = -1;
    Entry entry = std::move(oldest->entries.front());
    oldest->entries.pop_front();
    bytes_ -= entry.bytes;
    bytes += entry.bytes;
    events += entry.batch->size();
    out->push_back(std::move(entry.batch));
  }
}

}  // namespace tidemill::ingest
