// Everything that the accountings share: what was opened, and what they found.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "verify/faults.h"
#include "verify/manifest.h"
#include "verify/measures.h"
#include "verify/stoppable_files.h"
#include "verify/stores.h"

namespace tidemill::verify {

// A count that is only compared with small numbers: it stays at kFull.
inline constexpr uint8_t kFull = 0xff;
inline void count_up(uint8_t* counter) {
  if (*counter < kFull) ++*counter;
}

// A topic that a pipeline reads: records by position, and positions as places in one dense space.
class Input {
 public:
  explicit Input(TopicPartitions topic) : topic_(std::move(topic)) {
    for (size_t n = 0; n < topic_.files.size(); ++n) {
      bases_.push_back(places_);
      places_ += std::max<int64_t>(0, topic_.files[n]->end() - topic_.spans[n].start);
      readers_.push_back(std::make_unique<RecordReader>(*topic_.files[n]));
    }
  }
  size_t size() const { return topic_.files.size(); }
  const PartitionSpan& span(size_t n) const { return topic_.spans[n]; }
  const PartitionFiles& files(size_t n) const { return *topic_.files[n]; }
  static constexpr size_t kNone = SIZE_MAX;
  // The index of a partition by its number; kNone: not of the input.
  size_t find(std::optional<int32_t> partition) const {
    for (size_t n = 0; partition && n < topic_.spans.size(); ++n) {
      if (topic_.spans[n].partition == *partition) return n;
    }
    return kNone;
  }
  // Offsets of the run, over all partitions.
  int64_t places() const { return places_; }
  int64_t place(size_t n, int64_t offset) const { return bases_[n] + offset - topic_.spans[n].start; }
  bool holds(size_t n, int64_t offset) const {
    return offset >= topic_.spans[n].start && offset < topic_.files[n]->end();
  }
  // Beyond what a pipeline has committed: it may be stored, and need not be yet.
  bool pending(size_t n, int64_t offset) const {
    return topic_.spans[n].committed && offset >= *topic_.spans[n].committed;
  }
  // Borrowed until the next call for that partition; nullptr: there is no such record.
  Result<const LogRecord*> at(size_t n, int64_t offset) { return readers_[n]->at(offset); }

 private:
  TopicPartitions topic_;
  std::vector<int64_t> bases_;
  std::vector<std::unique_ptr<RecordReader>> readers_;
  int64_t places_ = 0;
};

struct Measures {
  LatencyHistogram created;
  LatencyHistogram enqueued;
  Rate rate;
};

struct Run {
  Run(const VerifyRequest& asked, FileSystem& file_system)
      : request(asked),
        stoppable_files(asked.stop ? stoppable(file_system, asked.stop) : nullptr),
        files(stoppable_files ? *stoppable_files : file_system),
        faults(asked.examples),
        measures(std::make_unique<Measures>()) {
    if (asked.topology.repeats) faults.allow_duplicated();
  }

  const VerifyRequest& request;
  std::unique_ptr<FileSystem> stoppable_files;
  FileSystem& files;
  std::vector<Manifest> manifests;
  std::vector<FieldSpec> fields;
  FolderColumns folders;  // of the store
  std::unique_ptr<Input> input;
  std::vector<std::unique_ptr<Input>> ways;  // of request.ways
  std::unique_ptr<RowStore> rows;
  std::unique_ptr<DeadLetterStore> dead;  // null: the store has none
  Faults faults;
  std::unique_ptr<Measures> measures;
  Verdict verdict;

  // An event that is longer than it may be is a dead letter, which keeps as much of it as an event may have.
  bool too_long(const LogRecord& record) const { return record.value.size() > request.event_limit_bytes; }
  std::string_view dead_value(std::string_view event) const {
    return event.substr(0, request.event_limit_bytes);
  }

  bool stopped() const { return request.stop && request.stop(); }
  void progress(const char* phase, double done) const {
    if (request.progress) request.progress(phase, done);
  }
  // A row's times, once per row. `created_us`: of the event, where known.
  void measure(const StoredRow& row, std::optional<int64_t> created_us, std::optional<int64_t> enqueued_us) {
    if (!row.stored_us) return;
    if (created_us) measures->created.add(*row.stored_us - *created_us);
    if (enqueued_us) measures->enqueued.add(*row.stored_us - *enqueued_us);
    measures->rate.add(*row.stored_us, enqueued_us ? enqueued_us : created_us);
  }
};

// What is counted of all items lies in windows of this many, one pass for each.
struct Window {
  int64_t begin = 0;
  int64_t end = 0;
  bool holds(int64_t item) const { return item >= begin && item < end; }
  size_t size() const { return static_cast<size_t>(end - begin); }
  size_t index(int64_t item) const { return static_cast<size_t>(item - begin); }
};
// Part `n` of `parts` of `total` items; every border but the last is a multiple of `stride`.
inline Window window_of(int64_t total, int n, int parts, int64_t stride = 1) {
  int64_t units = (total + stride - 1) / stride;
  auto border = [&](int at) {
    return std::min(total, units / parts * at * stride + units % parts * at / parts * stride);
  };
  return {border(n), border(n + 1)};
}

// Every event by its identity, where manifests can regenerate them and the store keeps their ids.
Status account_by_id(Run& run);
// Every input record by its position, where the store keeps it.
Status account_by_position(Run& run);
// The records' contents as a multiset, where the store keeps neither.
Status account_by_content(Run& run);
// The sum of what the rows count, where they are no events.
Status account_by_count(Run& run);
// Compares the input topic with manifests whose events have no ids.
Status check_input_content(Run& run);
// The committed counters against what was found, and what is not yet committed.
struct Found {
  std::vector<int64_t> input_records;             // per partition of the input
  std::vector<std::vector<int64_t>> way_records;  // per way and partition of it
  int64_t stored = 0;
  int64_t dead = 0;
};
void check_counters(Run& run, const Found& found);
struct WayRecord {
  size_t way;
  size_t partition;
  const LogRecord& record;
  bool waiting;  // no pipeline has committed it yet
};
// Goes through the ways, partition by partition, and counts their records where `found` is given.
Status read_ways(Run& run, Found* found, const std::function<Status(const WayRecord&)>& each);
// Behind a filter: of `missing` events, how many it dropped by the committed counters. What is
// missing beyond that is lost.
int64_t filtered_out(Run& run, int64_t dropped_by_dedup, int64_t missing);

Status apply_reference_rules(Run& run);

}  // namespace tidemill::verify
