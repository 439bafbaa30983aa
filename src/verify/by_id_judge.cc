// Telemetry events by their identity: what the counts of a window say of each event.
#include <algorithm>

#include "verify/by_id.h"

namespace tidemill::verify {

void ById::judge(Instance& of, int64_t i, Sent status) {
  Cell& counts = *cell(of.slot(i));
  counts.judged = true;
  Verdict& verdict = run_.verdict;
  auto sent = static_cast<uint64_t>(of.schedule.copies(i));
  bool malformed = counts.too_long || of.schedule.fault(i) == Fault::kMalformed;
  bool acknowledged = status == Sent::kAcknowledged;
  auto told = [&] { return say(of, i); };
  if (acknowledged) verdict.copies_sent += sent - 1;
  if (status == Sent::kInDoubt) {
    ++verdict.in_doubt;
    if (counts.stored > 0) ++verdict.in_doubt_stored;
    if (counts.input > 1) verdict.copies_sent += counts.input - 1u;
  }
  if (status == Sent::kNotSent && counts.input > 0) {
    run_.faults.add(FaultKind::kUnexpected, counts.input,
                    [&] { return "in the input, though never sent: " + told(); });
  }
  if (acknowledged && counts.input < sent) {
    run_.faults.reason("the input lacks records that it acknowledged", told);
  }
  const bool repeated = counts.input > sent, may_repeat = run_.request.topology.input_repeats;
  if (repeated && !may_repeat) run_.faults.reason("the input holds more copies than were sent", told);
  if (repeated && may_repeat) {
    run_.faults.note(
        "the input holds more copies than were sent, as an endpoint without idempotent producers may");
  }

  uint64_t in_log = acknowledged && !(repeated && may_repeat) ? sent : counts.input;
  uint64_t want = in_log;
  if (malformed)
    want = 0;
  else if (dedup_)
    want = std::max<uint64_t>(counts.kept, in_log > 0 ? 1 : 0);
  const uint64_t settled = counts.input - std::min<uint64_t>(counts.input, counts.pending);
  if (dedup_ && !malformed && settled > want) dropped_by_dedup_ += settled - want;
  // A later copy takes the place of an earlier one; a filter that drops the event drops every copy of it.
  const Topology& topology = run_.request.topology;
  if (topology.upsert && (counts.stored > 0 || !topology.filter)) want = std::min<uint64_t>(want, 1);
  uint64_t want_dead = malformed ? in_log : 0;
  verdict.expected += want;
  verdict.dead_letters_expected += want_dead;

  uint64_t missing = want > counts.stored ? want - counts.stored : 0;
  const uint64_t still_to_come = std::min<uint64_t>(missing, counts.pending);
  missing -= still_to_come;
  verdict.expected -= still_to_come;
  if (want_dead > counts.dead) {
    const uint64_t dead_to_come = std::min<uint64_t>(want_dead - counts.dead, counts.pending);
    want_dead -= dead_to_come;
    verdict.dead_letters_expected -= dead_to_come;
  }
  uint64_t dead_instead = malformed ? 0 : std::min<uint64_t>(missing, counts.dead);
  if (topology.filter && missing > dead_instead && missing > 0) {
    missing_behind_filter_ += static_cast<int64_t>(missing - dead_instead);
    missing = dead_instead;
  }
  run_.faults.add(FaultKind::kLost, missing, [&] {
    return told() + (dead_instead > 0 ? " is a dead letter" : " is not stored") +
           (want > 1 ? " (stored " + std::to_string(counts.stored) + " of " + std::to_string(want) + ")"
                     : "");
  });
  if (counts.stored > want) {
    uint64_t more = counts.stored - want;
    if (want == 0) {
      run_.faults.add(FaultKind::kUnexpected, more, [&] {
        return told() + (malformed ? " is stored though malformed" : " is stored though the input lacks it");
      });
    } else {
      run_.faults.add(FaultKind::kDuplicated, more, [&] {
        return told() + " is stored " + std::to_string(counts.stored) + " instead of " +
               std::to_string(want) + " times";
      });
    }
  }
  if (!malformed) {
    run_.faults.add(FaultKind::kUnexpected, counts.dead - dead_instead,
                    [&] { return told() + " is a dead letter too"; });
    return;
  }
  if (counts.dead < want_dead && run_.dead != nullptr) {
    run_.faults.add(FaultKind::kLost, want_dead - counts.dead,
                    [&] { return told() + " is malformed, and no dead letter"; });
  }
  if (counts.dead > want_dead) {
    run_.faults.add(FaultKind::kDuplicated, counts.dead - want_dead,
                    [&] { return told() + " is a dead letter too often"; });
  }
}

void ById::judge_window() {
  for (auto& each : instances_) {
    Instance& of = *each;
    auto devices = static_cast<int64_t>(of.schedule.order().size());
    if (of.base + of.stride * devices <= slots_.begin || of.base >= slots_.end) continue;
    int64_t open = 0;
    for (const DeviceRange& range : of.ranges) open += range.acknowledged + range.in_doubt;
    SendOrder order(of.schedule);
    std::vector<int64_t> ranks(static_cast<size_t>(devices), 0);
    while (open > 0 && !run_.stopped()) {
      auto i = order.next();
      if (!i) break;
      size_t n = of.schedule.position_of(*i);
      int64_t rank = ranks[n]++;
      const DeviceRange& range = of.ranges[n];
      if (rank >= range.acknowledged + range.in_doubt) continue;
      --open;
      if (cell(of.slot(*i)) == nullptr) continue;
      judge(of, *i, rank < range.acknowledged ? Sent::kAcknowledged : Sent::kInDoubt);
    }
    for (int64_t i = 0; i < of.extent && !run_.stopped(); ++i) {
      Cell* counts = cell(of.slot(i));
      if (counts == nullptr || counts->judged) continue;
      if (counts->input == 0 && counts->stored == 0 && counts->dead == 0) continue;
      judge(of, i, of.manifest->finished ? Sent::kNotSent : Sent::kInDoubt);
    }
  }
}

// Copies of one event can make up for each other in its count, but not at their positions.
void ById::judge_places() {
  for (const Place& place : place_cells_) {
    if (place.due == Due::kStored && place.stored == 0 && !place.pending) ++missing_places_;
    if (place.stored > 1) doubled_places_ += place.stored - 1u;
  }
}

void ById::finish() {
  const Topology& topology = run_.request.topology;
  if (positions_ && !dedup_ && !topology.filter && !topology.upsert) {
    uint64_t gone = missing_places_ > misplaced_ ? missing_places_ - misplaced_ : 0;
    uint64_t lost = run_.faults.count(FaultKind::kLost), doubled = run_.faults.count(FaultKind::kDuplicated);
    run_.faults.add(FaultKind::kLost, gone > lost ? gone - lost : 0,
                    [] { return "a copy's own position is not stored"; });
    if (misplaced_ == 0 && doubled_places_ > doubled) {
      run_.faults.add(FaultKind::kDuplicated, doubled_places_ - doubled,
                      [] { return "a position is stored twice"; });
    }
  }
  if (topology.upsert) run_.faults.note("order is not compared: the store replaces rows of the same id");
  for (const std::string& reason : dead_reasons_) run_.faults.reason(reason);
  found_.stored = static_cast<int64_t>(run_.verdict.stored);
  found_.dead = static_cast<int64_t>(run_.verdict.dead_letters);
  run_.verdict.dropped = dropped_by_dedup_;
  if (topology.filter) {
    auto accepted = static_cast<uint64_t>(
        filtered_out(run_, static_cast<int64_t>(dropped_by_dedup_), missing_behind_filter_));
    run_.verdict.dropped += accepted;
    run_.verdict.expected -= accepted;
  }
  Sum128 acknowledged = 0;
  bool exact = !foreign_input_ && run_.verdict.in_doubt == 0;
  for (const Manifest& manifest : run_.manifests) {
    exact = exact && manifest.finished;
    Sum128 sum = 0;
    for (char c : manifest.content_sum)
      sum = sum << 4 | static_cast<Sum128>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
    acknowledged += sum;
  }
  if (exact && acknowledged != input_sum_) {
    run_.faults.reason("the manifests' content sum is " + hex(acknowledged) + ", the input's " +
                       hex(input_sum_));
  }
  check_counters(run_, found_);
}

}  // namespace tidemill::verify
