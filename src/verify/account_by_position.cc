// Events without identity, each by the position of its input record: stored once, a dead letter
// once, or dropped. Per position one cell of counts, in windows as the memory allows.
#include <algorithm>

#include "verify/input_decoder.h"
#include "verify/row_beside.h"

namespace tidemill::verify {
namespace {

using Fate = InputDecoder::Fate;

struct PlaceCounts {
  bool record = false;  // an offset of a marker or an aborted record has none
  Fate fate = Fate::kStored;
  uint8_t stored = 0;
  uint8_t dead = 0;
};

class ByPosition {
 public:
  explicit ByPosition(Run& run) : run_(run), keys_(run), fields_decoder_(run) {}

  Status go() {
    int64_t places = run_.input->places();
    uint64_t limit = std::max<uint64_t>(run_.request.memory_bytes, 64 << 10);
    int passes = static_cast<int>((static_cast<uint64_t>(places) * sizeof(PlaceCounts) + limit - 1) / limit);
    passes = std::max(1, passes);
    run_.verdict.passes = passes;
    found_.input_records.assign(run_.input->size(), 0);
    for (int n = 0; n < passes; ++n) {
      window_ = window_of(places, n, passes);
      cells_.assign(window_.size(), {});
      highest_.assign(run_.input->size(), -1);
      run_.progress("reading the input", static_cast<double>(n) / passes);
      TM_TRY(read_input(n == 0));
      run_.progress("reading the store", (n + 0.3) / passes);
      TM_TRY(read_rows(n == 0));
      run_.progress("reading the dead letters", (n + 0.8) / passes);
      TM_TRY(read_dead_letters(n == 0));
      judge();
    }
    finish();
    return ok_status();
  }

 private:
  std::string say(size_t n, int64_t offset) const {
    return "partition " + std::to_string(run_.input->span(n).partition) + " offset " + std::to_string(offset);
  }
  PlaceCounts* cell(size_t n, int64_t offset) {
    if (!run_.input->holds(n, offset)) return nullptr;
    int64_t place = run_.input->place(n, offset);
    return window_.holds(place) ? &cells_[window_.index(place)] : nullptr;
  }
  Status read_input(bool first);
  Status read_rows(bool first);
  Status check_row(const StoredRow& row, size_t n);
  Status read_dead_letters(bool first);
  void judge();
  void judge_cell(const PlaceCounts& counts, size_t n, int64_t offset);
  void finish();

  Run& run_;
  KeyRule keys_;
  InputDecoder fields_decoder_;  // for single records, out of their order
  Window window_;
  std::vector<PlaceCounts> cells_;
  std::vector<int64_t> highest_;
  std::vector<std::string> dead_reasons_;
  Found found_;
  int64_t dropped_by_dedup_ = 0;
  int64_t missing_behind_filter_ = 0;
};

Status ByPosition::read_input(bool first) {
  InputDecoder decoder(run_);
  std::string wrong;
  for (size_t n = 0; n < run_.input->size(); ++n) {
    decoder.new_partition();
    RecordReader reader(run_.input->files(n));
    TM_TRY(reader.seek(run_.input->span(n).start));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      if (first) ++found_.input_records[n];
      PlaceCounts* counts = cell(n, record->offset);
      if (counts == nullptr && run_.request.topology.dedup.kind == DedupKind::kNone) continue;
      Fate fate = decoder.decide(*record, &wrong);
      if (counts == nullptr) continue;
      counts->record = true;
      counts->fate = fate;
      if (fate == Fate::kDropped && !run_.input->pending(n, record->offset)) ++dropped_by_dedup_;
    }
  }
  return ok_status();
}

Status ByPosition::check_row(const StoredRow& row, size_t n) {
  TM_ASSIGN(const LogRecord* record, run_.input->at(n, *row.offset));
  if (record == nullptr) return ok_status();  // counted as unexpected
  std::string wrong;
  fields_decoder_.new_partition();
  Fate fate = fields_decoder_.decide(*record, &wrong);
  const StoreShape& shape = run_.rows->shape();
  std::vector<FieldValue> expected = fields_decoder_.values();
  bool altered = !row.wrong.empty();
  if (altered) wrong = row.wrong;
  std::optional<int64_t> created_us;
  std::deque<std::string> texts;
  for (size_t f = 0; f < expected.size(); ++f) {
    const FieldSpec& spec = run_.fields[f];
    if (spec.name == run_.request.time_field && expected[f].kind == FieldValue::Kind::kTimestamp) {
      created_us = expected[f].integer;
    }
    if (altered || fate == Fate::kDead || fate == Fate::kUnsure || shape.has_field[f] == 0) continue;
    const FieldValue value = shape.as_stored(f, expected[f], &texts);
    if (row.unreadable[f] == 0 && same_value(row.fields[f], value)) continue;
    altered = true;
    wrong = spec.name + " is " + display(row.fields[f]) + " instead of " + display(value);
  }
  if (!altered && fate != Fate::kDead && fate != Fate::kUnsure) {
    std::optional<RecordKey> key;
    if (keys_.known()) key = keys_.of(record->has_key, record->key, expected);
    wrong = differs_beside(row, fields_decoder_.further(), key);
    altered = !wrong.empty();
  }
  std::optional<int64_t> enqueued_us = row.enqueued_us;
  if (record->append_time) {
    enqueued_us = record->timestamp_ms * 1000;
    if (!altered && shape.enqueued_at && row.enqueued_us != enqueued_us) {
      altered = true;
      wrong = run_.request.store.columns.enqueued_at + " is " +
              (row.enqueued_us ? display(FieldValue::of_timestamp(*row.enqueued_us)) : "NULL") +
              ", the log took the event in at " + display(FieldValue::of_timestamp(*enqueued_us));
    }
  }
  if (altered) {
    run_.faults.add(FaultKind::kAltered, 1,
                    [&] { return run_.rows->describe(row) + ", " + say(n, *row.offset) + ": " + wrong; });
  }
  run_.measure(row, created_us, enqueued_us);
  return ok_status();
}

Status ByPosition::read_rows(bool first) {
  TM_ASSIGN(auto rows, run_.rows->rows(first));
  StoredRow row;
  for (;;) {
    TM_ASSIGN(bool more, rows->next(&row));
    if (!more) return ok_status();
    size_t n = run_.input->find(row.partition);
    if (n != Input::kNone && row.offset && *row.offset < run_.input->span(n).start)
      continue;  // of an earlier run
    if (first) ++run_.verdict.stored;
    if (n == Input::kNone || !row.offset || !run_.input->holds(n, *row.offset)) {
      if (first) {
        run_.faults.add(FaultKind::kUnexpected, 1, [&] {
          return run_.rows->describe(row) + ": partition " + std::to_string(row.partition.value_or(-1)) +
                 " offset " + std::to_string(row.offset.value_or(-1)) + " is no position of the input";
        });
      }
      continue;
    }
    if (first) TM_TRY(check_row(row, n));
    PlaceCounts* counts = cell(n, *row.offset);
    if (counts != nullptr) {
      if (counts->stored == 0 && *row.offset < highest_[n] && !run_.rows->shape().unordered) {
        run_.faults.add(FaultKind::kOutOfOrder, 1, [&] {
          return run_.rows->describe(row) + ": " + say(n, *row.offset) + " comes after a later one";
        });
      }
      count_up(&counts->stored);
    }
    highest_[n] = std::max(highest_[n], *row.offset);
  }
}

Status ByPosition::read_dead_letters(bool first) {
  if (!run_.dead) return ok_status();
  TM_ASSIGN(auto letters, run_.dead->rows());
  DeadLetter letter;
  for (;;) {
    TM_ASSIGN(bool more, letters->next(&letter));
    if (!more) return ok_status();
    size_t n = run_.input->find(letter.partition);
    bool known = n != Input::kNone && letter.topic == run_.request.input.topic;
    if (known && letter.offset < run_.input->span(n).start) continue;
    if (first) ++run_.verdict.dead_letters;
    auto say_letter = [&] {
      return "dead letter of partition " + std::to_string(letter.partition) + " offset " +
             std::to_string(letter.offset) + " (" + std::string(letter.reason) + ")";
    };
    if (!known || !run_.input->holds(n, letter.offset)) {
      if (first)
        run_.faults.add(FaultKind::kUnexpected, 1,
                        [&] { return say_letter() + ": no position of the input"; });
      continue;
    }
    if (first) {
      TM_ASSIGN(const LogRecord* record, run_.input->at(n, letter.offset));
      if (record == nullptr || !letter.holds(run_.dead_value(record->value))) {
        run_.faults.add(FaultKind::kAltered, 1,
                        [&] { return say_letter() + ": the input holds other bytes there"; });
      } else if (letter.reason.empty()) {
        run_.faults.add(FaultKind::kAltered, 1, [&] { return say_letter() + ": it gives no reason"; });
      }
    }
    PlaceCounts* counts = cell(n, letter.offset);
    if (counts == nullptr) continue;
    count_up(&counts->dead);
    if ((counts->fate == Fate::kStored || counts->fate == Fate::kDropped) &&
        dead_reasons_.size() < run_.request.examples) {
      dead_reasons_.push_back(say_letter() + ": the event is well-formed");
    }
  }
}

void ByPosition::judge() {
  for (size_t n = 0; n < run_.input->size(); ++n) {
    int64_t start = run_.input->span(n).start;
    int64_t from = std::max(start, start + window_.begin - run_.input->place(n, start));
    int64_t to = std::min(run_.input->files(n).end(), start + window_.end - run_.input->place(n, start));
    for (int64_t offset = from; offset < to; ++offset) judge_cell(*cell(n, offset), n, offset);
  }
}

void ByPosition::judge_cell(const PlaceCounts& counts, size_t n, int64_t offset) {
  auto told = [&] { return say(n, offset); };
  if (!counts.record) {
    run_.faults.add(FaultKind::kUnexpected, counts.stored + counts.dead,
                    [&] { return told() + " is stored, though the input has no record there"; });
    return;
  }
  bool dead_due = counts.fate == Fate::kDead || (counts.fate == Fate::kUnsure && counts.dead > 0);
  uint64_t want = dead_due || counts.fate == Fate::kDropped ? 0 : 1;
  uint64_t want_dead = dead_due ? 1 : 0;
  run_.verdict.expected += want;
  run_.verdict.dead_letters_expected += want_dead;
  if (run_.input->pending(n, offset) && counts.stored + counts.dead == 0) {
    run_.verdict.expected -= want;
    run_.verdict.dead_letters_expected -= want_dead;
    return;
  }
  if (counts.stored < want) {
    if (counts.dead == 0 && run_.request.topology.filter) {
      ++missing_behind_filter_;
    } else {
      run_.faults.add(FaultKind::kLost, 1,
                      [&] { return told() + (counts.dead > 0 ? " is a dead letter" : " is not stored"); });
    }
  } else if (counts.stored > want) {
    bool copy = want == 1 || counts.fate == Fate::kDropped;
    run_.faults.add(copy ? FaultKind::kDuplicated : FaultKind::kUnexpected, counts.stored - want, [&] {
      return told() + (dead_due ? " is stored though malformed"
                                : " is stored " + std::to_string(counts.stored) + " instead of " +
                                      std::to_string(want) + " times");
    });
  }
  if (counts.dead < want_dead && run_.dead != nullptr) {
    run_.faults.add(FaultKind::kLost, 1, [&] { return told() + " is malformed, and no dead letter"; });
  } else if (dead_due && counts.dead > 1) {
    run_.faults.add(FaultKind::kDuplicated, counts.dead - 1u,
                    [&] { return told() + " is a dead letter too often"; });
  } else if (!dead_due && counts.dead > 0 && (counts.stored >= want)) {
    run_.faults.add(FaultKind::kUnexpected, counts.dead, [&] { return told() + " is a dead letter too"; });
  }
}

void ByPosition::finish() {
  for (const std::string& reason : dead_reasons_) run_.faults.reason(reason);
  found_.stored = static_cast<int64_t>(run_.verdict.stored);
  found_.dead = static_cast<int64_t>(run_.verdict.dead_letters);
  run_.verdict.dropped = static_cast<uint64_t>(dropped_by_dedup_);
  if (run_.request.topology.filter) {
    auto accepted = static_cast<uint64_t>(filtered_out(run_, dropped_by_dedup_, missing_behind_filter_));
    run_.verdict.dropped += accepted;
    run_.verdict.expected -= accepted;
  }
  check_counters(run_, found_);
}

}  // namespace

Status account_by_position(Run& run) {
  return ByPosition(run).go();
}

}  // namespace tidemill::verify
