// The counters that a sink committed, against what was found.
#include <algorithm>

#include "verify/run.h"

namespace tidemill::verify {
namespace {

// A topic that a pipeline reads, and how many of its records the verifier found, per partition.
struct Hop {
  const std::string& topic;
  Input& input;
  const std::vector<int64_t>* records = nullptr;  // nullptr: not counted

  std::string name(size_t n) const { return topic + "-" + std::to_string(input.span(n).partition); }
};

// The input, then the ways.
std::vector<Hop> hops_of(Run& run, const Found* found) {
  std::vector<Hop> hops{{run.request.input.topic, *run.input, found ? &found->input_records : nullptr}};
  for (size_t w = 0; w < run.ways.size(); ++w) {
    hops.push_back({run.request.ways[w].topic.topic, *run.ways[w], found ? &found->way_records[w] : nullptr});
  }
  return hops;
}

// Whether every record of the partition is committed.
bool all_committed(const Hop& hop, size_t n) {
  const PartitionSpan& span = hop.input.span(n);
  if (!span.committed || *span.committed >= hop.input.files(n).end()) return true;
  RecordReader reader(hop.input.files(n));
  Status sought = reader.seek(std::max(*span.committed, span.start));
  auto left = reader.next();
  return sought.ok() && left.ok() && *left == nullptr;  // only transaction markers
}

void say_what_is_left(Run& run, const Hop& hop, size_t n) {
  run.faults.reason(hop.name(n) + ": the pipeline committed up to offset " +
                    std::to_string(*hop.input.span(n).committed) + " of " +
                    std::to_string(hop.input.files(n).end()) +
                    "; the rest is still to be processed, which the same run command goes on with");
}

// What a topic's readers say they did with its records. False: some said nothing.
bool add_counters(Run& run, const Hop& hop, int64_t* stored, int64_t* dead) {
  bool complete = hop.input.size() > 0;
  for (size_t n = 0; n < hop.input.size(); ++n) {
    const bool committed = all_committed(hop, n);
    if (!committed) say_what_is_left(run, hop, n);
    const int64_t records = (*hop.records)[n];
    const auto& counters = hop.input.span(n).counters;
    if (!counters) {
      complete = complete && records == 0;  // where nothing came in nothing was committed
      continue;
    }
    *stored += counters->stored;
    *dead += counters->dead;
    if (counters->stored + counters->dead + counters->dropped != counters->read) {
      run.faults.reason(hop.name(n) + ": of " + std::to_string(counters->read) + " records read, " +
                        std::to_string(counters->stored) + " stored, " + std::to_string(counters->dead) +
                        " dead letters and " + std::to_string(counters->dropped) +
                        " dropped do not account for all");
    }
    if (committed && counters->read != records) {
      run.faults.reason(hop.name(n) + ": the pipeline read " + std::to_string(counters->read) +
                        " records, the input holds " + std::to_string(records));
    }
  }
  return complete;
}

}  // namespace

Status read_ways(Run& run, Found* found, const std::function<Status(const WayRecord&)>& each) {
  if (found) found->way_records.clear();
  for (size_t w = 0; w < run.ways.size(); ++w) {
    const Input& way = *run.ways[w];
    std::vector<int64_t> records(way.size(), 0);
    for (size_t n = 0; n < way.size(); ++n) {
      RecordReader reader(way.files(n));
      TM_TRY(reader.seek(way.span(n).start));
      for (;;) {
        TM_ASSIGN(const LogRecord* record, reader.next());
        if (record == nullptr) break;
        ++records[n];
        TM_TRY(each({w, n, *record, way.pending(n, record->offset)}));
      }
    }
    if (found) found->way_records.push_back(std::move(records));
  }
  return ok_status();
}

void check_counters(Run& run, const Found& found) {
  int64_t stored = 0, dead = 0;
  bool complete = true;
  for (const Hop& hop : hops_of(run, &found)) {
    stored = 0;  // what one stores in a topic the next one reads
    complete = add_counters(run, hop, &stored, &dead) && complete;
  }
  if (!complete) return;
  const auto differs = [&](int64_t committed, int64_t there) {
    return run.request.topology.repeats ? committed > there : committed != there;
  };
  if (differs(stored, found.stored) && !run.request.topology.upsert) {
    run.faults.reason("the pipeline committed " + std::to_string(stored) + " rows, the store holds " +
                      std::to_string(found.stored));
  }
  if (run.dead != nullptr && differs(dead, found.dead)) {
    run.faults.reason("the pipeline committed " + std::to_string(dead) + " dead letters, there are " +
                      std::to_string(found.dead));
  }
}

int64_t filtered_out(Run& run, int64_t dropped_by_dedup, int64_t missing) {
  int64_t dropped = -dropped_by_dedup;
  bool committed = true;
  for (const Hop& hop : hops_of(run, nullptr)) {
    for (size_t n = 0; n < hop.input.size(); ++n) {
      const PartitionSpan& span = hop.input.span(n);
      if (!span.counters && span.visible_end >= 0 && span.visible_end <= span.start)
        continue;  // nothing came in
      if (!span.counters) {
        run.faults.reason(
            "the solution filters, and no counters were committed: what is missing cannot be told from "
            "what was filtered out");
        return 0;
      }
      dropped += span.counters->dropped;
      committed = committed && all_committed(hop, n);
    }
  }
  if (missing > dropped) {
    run.faults.add(FaultKind::kLost, static_cast<uint64_t>(missing - std::max<int64_t>(0, dropped)),
                   [] { return "more events are missing than were filtered out by the counters"; });
  } else if (missing < dropped && committed) {  // else what is still to come may be what was dropped
    run.faults.reason("the counters say that " + std::to_string(dropped) +
                      " events were filtered out, but only " + std::to_string(missing) + " are missing");
  }
  return std::clamp<int64_t>(dropped, 0, missing);
}

}  // namespace tidemill::verify
