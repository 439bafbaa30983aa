// The counters that a sink committed, against what was found.
#include <algorithm>

#include "verify/run.h"

namespace tidemill::verify {
namespace {

std::string name_of(const Run& run, size_t n) {
  return run.request.input.topic + "-" + std::to_string(run.input->span(n).partition);
}

// Whether every record of the partition is committed; a reason where not.
bool all_committed(Run& run, size_t n) {
  const PartitionSpan& span = run.input->span(n);
  if (!span.committed || *span.committed >= run.input->files(n).end()) return true;
  RecordReader reader(run.input->files(n));
  Status sought = reader.seek(std::max(*span.committed, span.start));
  auto left = reader.next();
  if (sought.ok() && left.ok() && *left == nullptr) return true;  // only transaction markers
  run.faults.reason(name_of(run, n) + ": the pipeline committed up to offset " +
                    std::to_string(*span.committed) + " of " + std::to_string(run.input->files(n).end()) +
                    "; the rest is still to be processed, which the same run command goes on with");
  return false;
}

}  // namespace

void check_counters(Run& run, const Found& found) {
  int64_t stored = 0, dead = 0;
  bool complete = run.input->size() > 0;
  for (size_t n = 0; n < run.input->size(); ++n) {
    bool committed = all_committed(run, n);
    const auto& counters = run.input->span(n).counters;
    if (!counters) {
      complete = complete && found.input_records[n] == 0;  // where nothing came in nothing was committed
      continue;
    }
    stored += counters->stored;
    dead += counters->dead;
    if (counters->stored + counters->dead + counters->dropped != counters->read) {
      run.faults.reason(name_of(run, n) + ": of " + std::to_string(counters->read) + " records read, " +
                        std::to_string(counters->stored) + " stored, " + std::to_string(counters->dead) +
                        " dead letters and " + std::to_string(counters->dropped) +
                        " dropped do not account for all");
    }
    if (committed && counters->read != found.input_records[n]) {
      run.faults.reason(name_of(run, n) + ": the pipeline read " + std::to_string(counters->read) +
                        " records, the input holds " + std::to_string(found.input_records[n]));
    }
  }
  if (!complete) return;
  if (stored != found.stored && !run.request.topology.upsert) {
    run.faults.reason("the pipeline committed " + std::to_string(stored) + " rows, the store holds " +
                      std::to_string(found.stored));
  }
  if (run.dead != nullptr && dead != found.dead) {
    run.faults.reason("the pipeline committed " + std::to_string(dead) + " dead letters, there are " +
                      std::to_string(found.dead));
  }
}

int64_t filtered_out(Run& run, int64_t dropped_by_dedup, int64_t missing) {
  int64_t dropped = -dropped_by_dedup;
  for (size_t n = 0; n < run.input->size(); ++n) {
    const PartitionSpan& span = run.input->span(n);
    const auto& counters = span.counters;
    if (!counters && span.visible_end >= 0 && span.visible_end <= span.start) continue;  // nothing came in
    if (!counters) {
      run.faults.reason(
          "the solution filters, and no counters were committed: what is missing cannot be told from "
          "what was filtered out");
      return 0;
    }
    dropped += counters->dropped;
  }
  if (missing > dropped) {
    run.faults.add(FaultKind::kLost, static_cast<uint64_t>(missing - std::max<int64_t>(0, dropped)),
                   [] { return "more events are missing than were filtered out by the counters"; });
  } else if (missing < dropped) {
    run.faults.reason("the counters say that " + std::to_string(dropped) +
                      " events were filtered out, but only " + std::to_string(missing) + " are missing");
  }
  return std::clamp<int64_t>(dropped, 0, missing);
}

}  // namespace tidemill::verify
