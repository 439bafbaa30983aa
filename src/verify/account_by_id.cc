// Telemetry events, each by its identity: (instance, i), decoded from its id.
//
// Per event one cell of counts, for as many events as the memory allows; input, store and dead
// letters are gone through once for every such window. What needs no cell is done in the first pass.
#include <algorithm>

#include "verify/by_id.h"
#include "verify/dedup_model.h"
#include "verify/stored_json.h"

namespace tidemill::verify {

constexpr size_t kDeviceFromEnd = 4;  // deviceId, deviceSequenceNumber, type, createdAt

std::string ById::wrong_time(const StoredRow& row, int64_t due_us) const {
  return run_.request.store.columns.enqueued_at + " is " +
         (row.enqueued_us ? display(FieldValue::of_timestamp(*row.enqueued_us)) : "NULL") +
         ", the log took the event in at " + display(FieldValue::of_timestamp(due_us));
}

std::string ById::say(const Instance& of, int64_t i) const {
  int64_t device = of.schedule.device_of(i);
  return "event " + std::to_string(i) + " of instance " + std::to_string(of.manifest->instance) + " (" +
         of.events.device_id(device) + " number " + std::to_string(of.schedule.sequence_of(i)) + ", id " +
         ids_.encode({of.manifest->instance, i}) + ")";
}

Instance* ById::find(std::string_view id, int64_t* i) {
  auto name = ids_.decode(id);
  if (!name || name->instance >= static_cast<int64_t>(instances_.size())) return nullptr;
  Instance* of = instances_[static_cast<size_t>(name->instance)].get();
  if (name->i >= of->extent) return nullptr;
  *i = name->i;
  return of;
}

Status ById::find_extents() {
  instances_.resize(run_.manifests.size());
  for (const Manifest& manifest : run_.manifests) {
    auto made = std::make_unique<Instance>(manifest);
    Instance& of = *made;
    size_t devices = of.schedule.order().size();
    of.ranges.resize(devices);
    std::unordered_map<int64_t, size_t> position;
    for (size_t n = 0; n < devices; ++n) position[of.schedule.order()[n]] = n;
    int64_t open = 0;
    for (const DeviceRange& range : manifest.ranges) {
      auto at = position.find(range.device);
      if (at == position.end()) {
        return user_error(manifest.path + ": device " + std::to_string(range.device) +
                          " is not of this instance");
      }
      of.ranges[at->second] = range;
      int64_t events = of.schedule.events();
      auto n = static_cast<int64_t>(at->second), all = static_cast<int64_t>(devices);
      int64_t scheduled = events < 0 ? -1 : events / all + (n < events % all ? 1 : 0);
      if (manifest.finished && scheduled >= 0 &&
          range.acknowledged + range.in_doubt + range.not_sent != scheduled) {
        return user_error(manifest.path + ": the ranges of device " + std::to_string(range.device) +
                          " add up to " +
                          std::to_string(range.acknowledged + range.in_doubt + range.not_sent) +
                          " events, its schedule has " + std::to_string(scheduled));
      }
      open += range.acknowledged + range.in_doubt;
    }
    SendOrder order(of.schedule);
    std::vector<int64_t> ranks(devices, 0);
    while (open > 0) {
      auto i = order.next();
      if (!i) return user_error(manifest.path + ": its ranges hold more events than its schedule");
      size_t n = of.schedule.position_of(*i);
      if (ranks[n]++ >= of.ranges[n].acknowledged + of.ranges[n].in_doubt) continue;
      of.extent = std::max(of.extent, *i + 1);
      --open;
    }
    instances_[static_cast<size_t>(manifest.instance)] = std::move(made);
  }
  return ok_status();
}

// Where a manifest is not finished, the simulator may be ahead of it: as far as the input shows.
Status ById::extend_to_input() {
  bool ahead = std::any_of(run_.manifests.begin(), run_.manifests.end(),
                           [](const Manifest& m) { return !m.finished; });
  if (!ahead) return ok_status();
  run_.progress("reading the input", 0);
  for (size_t n = 0; n < run_.input->size(); ++n) {
    RecordReader reader(run_.input->files(n));
    TM_TRY(reader.seek(run_.input->span(n).start));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      auto name = ids_.decode(find_event_id(record->value));
      if (!name || name->instance >= static_cast<int64_t>(instances_.size())) continue;
      Instance& of = *instances_[static_cast<size_t>(name->instance)];
      bool scheduled = of.schedule.events() < 0 || name->i < of.schedule.events();
      if (!of.manifest->finished && scheduled) of.extent = std::max(of.extent, name->i + 1);
    }
  }
  return ok_status();
}

void ById::plan_windows() {
  for (auto& of : instances_) {
    auto devices = static_cast<int64_t>(std::max<size_t>(1, of->schedule.order().size()));
    stride_ = std::max(stride_, (of->extent + devices - 1) / devices);
  }
  for (auto& of : instances_) {
    of->stride = stride_;
    of->base = slots_total_;
    slots_total_ += stride_ * static_cast<int64_t>(of->schedule.order().size());
  }
  uint64_t per_slot = sizeof(Cell) + (positions_ ? 0 : sizeof(int64_t));
  if (!rekeyed_by_.empty()) per_slot += 48;  // of a hash map with one way for each event, at worst
  uint64_t bytes = static_cast<uint64_t>(slots_total_) * per_slot;
  if (positions_) bytes += static_cast<uint64_t>(run_.input->places()) * sizeof(Place);
  uint64_t limit = std::max<uint64_t>(run_.request.memory_bytes, 64 << 10);
  passes_ = static_cast<int>(std::min<uint64_t>(100'000, (bytes + limit - 1) / limit));
  passes_ = std::max(passes_, 1);
  run_.verdict.passes = passes_;
}

Status ById::go() {
  TM_TRY(find_extents());
  TM_TRY(extend_to_input());
  plan_windows();
  found_.input_records.assign(run_.input->size(), 0);
  for (int n = 0; n < passes_; ++n) TM_TRY(pass(n));
  finish();
  return ok_status();
}

Status ById::pass(int number) {
  bool first = number == 0;
  slots_ = window_of(slots_total_, number, passes_, positions_ ? 1 : stride_);
  cells_.assign(slots_.size(), {});
  if (positions_) {
    places_ = window_of(run_.input->places(), number, passes_);
    place_cells_.assign(places_.size(), {});
  } else {
    first_places_.assign(slots_.size(), -1);
  }
  highest_.assign(run_.input->size(), -1);
  highest_of_way_.clear();
  run_.progress("reading the input", static_cast<double>(number) / passes_);
  TM_TRY(read_input(first));
  run_.progress("reading the store", (number + 0.3) / passes_);
  TM_TRY(read_rows(first));
  run_.progress("reading the dead letters", (number + 0.8) / passes_);
  TM_TRY(read_dead_letters(first));
  run_.progress("accounting", (number + 0.9) / passes_);
  judge_window();
  if (positions_) judge_places();
  return ok_status();
}

void ById::check_input_record(const LogRecord& record, size_t partition, Instance& of, int64_t i) {
  auto where = [&] {
    return run_.request.input.topic + "-" + std::to_string(run_.input->span(partition).partition) +
           " offset " + std::to_string(record.offset);
  };
  auto told = [&] { return where() + ", " + say(of, i); };
  if (record.value != of.events.bytes(i))
    run_.faults.reason("the input holds other bytes than were sent", told);
  std::string device = of.events.device_id(of.schedule.device_of(i));
  if (!record.has_key || record.key != device) {
    run_.faults.reason("the input holds events under another key than their device", told);
  } else if (partition_of(device, of.manifest->partitions) != run_.input->span(partition).partition) {
    run_.faults.reason("the input holds events in another partition than their key's", told);
  }
  input_sum_ += content_hash(record.value);
}

Status ById::read_input(bool first) {
  const Topology& topology = run_.request.topology;
  DedupModel model(topology.dedup);
  for (size_t n = 0; n < run_.input->size(); ++n) {
    model.clear();
    RecordReader reader(run_.input->files(n));
    TM_TRY(reader.seek(run_.input->span(n).start));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      if (first) ++found_.input_records[n];
      int64_t place = run_.input->place(n, record->offset);
      Place* due = places_.holds(place) ? &place_cells_[places_.index(place)] : nullptr;
      int64_t i = 0;
      Instance* of = find(find_event_id(record->value), &i);
      if (of == nullptr) {
        if (due != nullptr) due->due = Due::kForeign;
        if (first) foreign_input_ = true;
        if (first) {
          run_.faults.add(FaultKind::kUnexpected, 1, [&] {
            return "the input holds at partition " + std::to_string(run_.input->span(n).partition) +
                   " offset " + std::to_string(record->offset) +
                   " what no manifest knows: " + display(FieldValue::of_text(record->value));
          });
        }
        continue;
      }
      if (first) check_input_record(*record, n, *of, i);
      bool too_long = run_.too_long(*record);
      bool malformed = too_long || of->schedule.fault(i) == Fault::kMalformed;
      bool pending = run_.input->pending(n, record->offset);
      bool copy = false;
      int64_t slot = of->slot(i);
      Cell* counts = cell(slot);
      if (counts != nullptr && too_long) counts->too_long = true;
      if (dedup_ && topology.dedup.ways == 0 && !malformed)
        copy = model.seen(record->key, name_of(slot), record->timestamp_ms);
      if (counts != nullptr) {
        count_up(&counts->input);
        if (!copy && !malformed && topology.dedup.ways == 0) count_up(&counts->kept);
        if (pending) count_up(&counts->pending);
        if (!positions_) {
          int64_t& place_of = first_places_[slots_.index(slot)];
          if (place_of < 0) place_of = place;
        }
      }
      if (due == nullptr) continue;
      due->due = malformed ? Due::kDead : copy ? Due::kDropped : Due::kStored;
      due->pending = pending;
    }
  }
  return read_ways(first);
}

// What is still on its way is pending. A dedup behind ways sees the records in the order that they have
// there.
Status ById::read_ways(bool first) {
  const Dedup& dedup = run_.request.topology.dedup;
  DedupModel model(dedup);
  size_t partition = 0;
  return verify::read_ways(run_, first ? &found_ : nullptr, [&](const WayRecord& at) -> Status {
    int64_t i = 0;
    Instance* of = find(find_event_id(at.record.value), &i);
    if (of == nullptr) return ok_status();
    Cell* counts = cell(of->slot(i));
    if (counts != nullptr && at.waiting) count_up(&counts->pending);
    if (!dedup_ || dedup.ways != at.way + 1) return ok_status();
    if (partition != at.partition) model.clear();
    partition = at.partition;
    const bool copy = model.seen(at.record.key, name_of(of->slot(i)), at.record.timestamp_ms);
    if (counts != nullptr && !copy) count_up(&counts->kept);
    return ok_status();
  });
}

// An object of no members is one of these: "complexData":{}.
const std::string& ById::further_of(Instance& of, int64_t i) {
  if (further_) return *further_;
  further_.emplace();
  if (!run_.rows->shape().whole) return *further_;
  const Store& store = run_.request.store;
  JsonFields json(run_.fields);
  std::vector<FieldValue> values;
  std::vector<uint8_t> unreadable;
  std::string wrong;
  json.decode(of.events.well_formed(i), &values, &unreadable, &wrong);
  *further_ = json.further_members(JsonLayout(store.columns, store.added_members).added, true);
  return *further_;
}

// The row's fields against the event's, and its position against the input. Whether it is as it should be.
Result<bool> ById::check_row(const StoredRow& row, Instance& of, int64_t i) {
  const std::vector<FieldValue>& expected = of.events.values(i);
  std::string wrong = row.wrong;
  bool altered = !row.wrong.empty();
  const StoreShape& shape = run_.rows->shape();
  std::deque<std::string> texts;
  for (size_t n = 0; n < expected.size() && !altered; ++n) {
    if (shape.has_field[n] == 0) continue;
    const FieldValue value = shape.as_stored(n, expected[n], &texts);
    if (row.unreadable[n] == 0 && same_value(row.fields[n], value)) continue;
    altered = true;
    wrong = run_.fields[n].name + " is " + display(row.fields[n]) + " instead of " + display(value);
  }
  if (!altered) {
    std::optional<RecordKey> key;
    if (keys_.known()) key = keys_.of(true, expected[expected.size() - kDeviceFromEnd].text, expected);
    wrong = differs_beside(row, further_of(of, i), key);
    altered = !wrong.empty();
  }
  std::optional<int64_t> enqueued_us = row.enqueued_us;
  if (positions_) {
    size_t n = run_.input->find(row.partition);
    const LogRecord* record = nullptr;
    if (n != Input::kNone && row.offset) {
      TM_ASSIGN(record, run_.input->at(n, *row.offset));
    }
    if (record == nullptr || find_event_id(record->value) != expected[0].text) {
      ++misplaced_;
      run_.faults.add(FaultKind::kOutOfOrder, 1, [&] {
        return run_.rows->describe(row) + ": " + say(of, i) + " under partition " +
               std::to_string(row.partition.value_or(-1)) + " offset " +
               std::to_string(row.offset.value_or(-1)) + ", where the input holds something else";
      });
    } else if (record->append_time) {
      if (!altered && shape.enqueued_at && row.enqueued_us != record->timestamp_ms * 1000) {
        altered = true;
        wrong = wrong_time(row, record->timestamp_ms * 1000);
      }
      enqueued_us = record->timestamp_ms * 1000;
    }
  }
  if (altered) {
    run_.faults.add(FaultKind::kAltered, 1,
                    [&] { return run_.rows->describe(row) + ", " + say(of, i) + ": " + wrong; });
  }
  run_.measure(row, expected.back().integer, enqueued_us);
  return !altered;
}

// Without positions: the first row of an event is that of its first record in the input.
Status ById::check_time(const StoredRow& row, Instance& of, int64_t i) {
  const int64_t place = first_places_[slots_.index(of.slot(i))];
  if (place < 0 || !run_.rows->shape().enqueued_at || run_.request.rekeyed() || run_.request.topology.upsert)
    return ok_status();
  size_t n = 0;
  while (n + 1 < run_.input->size() && place >= run_.input->place(n + 1, run_.input->span(n + 1).start)) ++n;
  const int64_t start = run_.input->span(n).start;
  TM_ASSIGN(const LogRecord* record, run_.input->at(n, start + place - run_.input->place(n, start)));
  if (record == nullptr || !record->append_time) return ok_status();
  const int64_t due_us = record->timestamp_ms * 1000;
  if (row.enqueued_us == due_us) return ok_status();
  run_.faults.add(FaultKind::kAltered, 1, [&] {
    return run_.rows->describe(row) + ", " + say(of, i) + ": " + wrong_time(row, due_us);
  });
  return ok_status();
}

// A row that comes after one that was accepted later. Copies of what is there already do not count:
// they are doubles.
void ById::check_order(const StoredRow& row, size_t partition, Instance& of, int64_t i, bool again) {
  if (!ordered_ || run_.request.topology.upsert || run_.rows->shape().unordered)
    return;  // a replaced row stands where the first one stood
  auto report = [&] {
    run_.faults.add(FaultKind::kOutOfOrder, 1, [&] {
      return run_.rows->describe(row) + ": " + say(of, i) + " comes after an event that was accepted later";
    });
  };
  if (positions_) {
    int64_t& highest = highest_[partition];
    int64_t place = run_.input->place(partition, *row.offset);
    if (places_.holds(place) && !again && *row.offset < highest) report();
    highest = std::max(highest, *row.offset);
    return;
  }
  int64_t slot = of.slot(i);
  if (!slots_.holds(slot) || again) return;
  int64_t place = first_places_[slots_.index(slot)];
  if (place < 0) return;
  size_t from = 0;
  while (from + 1 < run_.input->size() &&
         place >= run_.input->place(from + 1, run_.input->span(from + 1).start))
    ++from;
  uint64_t way = static_cast<uint64_t>(of.base) + of.schedule.position_of(i);
  way = way * run_.input->size() + from;
  if (!rekeyed_by_.empty()) {
    const std::vector<FieldValue>& values = of.events.values(i);
    std::vector<FieldValue> keys{FieldValue::of_integer(static_cast<int64_t>(way))};
    for (size_t field : rekeyed_by_) keys.push_back(values[field]);
    way = static_cast<uint64_t>(content_hash(keys));
  }
  int64_t& highest = highest_of_way_[way];
  if (place < highest) report();
  highest = std::max(highest, place);
}

Status ById::read_rows(bool first) {
  TM_ASSIGN(auto rows, run_.rows->rows(first));
  StoredRow row;
  for (;;) {
    TM_ASSIGN(bool more, rows->next(&row));
    if (!more) return ok_status();
    size_t partition = run_.input->find(row.partition);
    bool placed = positions_ && partition != Input::kNone && row.offset;
    if (placed && *row.offset < run_.input->span(partition).start) continue;  // of an earlier run
    if (first) ++run_.verdict.stored;
    int64_t i = 0;
    Instance* of = nullptr;
    if (!row.fields.empty() && row.fields[0].kind == FieldValue::Kind::kText)
      of = find(row.fields[0].text, &i);
    if (of == nullptr) {
      if (first) {
        run_.measure(row, std::nullopt, row.enqueued_us);
        run_.faults.add(FaultKind::kUnexpected, 1, [&] {
          return run_.rows->describe(row) + ": id " +
                 (row.fields.empty() ? "missing" : display(row.fields[0])) + " is not of this run" +
                 (row.wrong.empty() ? "" : " (" + row.wrong + ")");
        });
      }
      continue;
    }
    bool right = true;
    if (first) {
      TM_ASSIGN(right, check_row(row, *of, i));
    }
    Cell* counts = cell(of->slot(i));
    bool again = counts != nullptr && counts->stored > 0;
    if (!positions_ && counts != nullptr && !again && right) TM_TRY(check_time(row, *of, i));
    if (placed && run_.input->holds(partition, *row.offset)) {
      int64_t place = run_.input->place(partition, *row.offset);
      again = false;
      if (places_.holds(place)) {
        Place& due = place_cells_[places_.index(place)];
        again = due.stored > 0;
        count_up(&due.stored);
      }
      check_order(row, partition, *of, i, again);
    } else if (!positions_) {
      check_order(row, 0, *of, i, again);
    }
    if (counts != nullptr) {
      if (counts->stored == kFull) run_.faults.add(FaultKind::kDuplicated, 1, [&] { return say(*of, i); });
      count_up(&counts->stored);
    }
  }
}

Status ById::read_dead_letters(bool first) {
  if (!run_.dead) return ok_status();
  TM_ASSIGN(auto letters, run_.dead->rows());
  DeadLetter letter;
  for (;;) {
    TM_ASSIGN(bool more, letters->next(&letter));
    if (!more) return ok_status();
    auto say_letter = [&] {
      return "dead letter of partition " + std::to_string(letter.partition) + " offset " +
             std::to_string(letter.offset) + " (" + std::string(letter.reason) + ")";
    };
    size_t n = run_.input->find(letter.partition);
    bool ours = !run_.request.rekeyed();
    if (ours && n != Input::kNone && letter.topic == run_.request.input.topic &&
        letter.offset < run_.input->span(n).start)
      continue;
    if (first) ++run_.verdict.dead_letters;
    int64_t i = 0;
    Instance* of = find(find_event_id(letter.value), &i);
    if (of == nullptr) {
      if (first)
        run_.faults.add(FaultKind::kUnexpected, 1,
                        [&] { return say_letter() + ": not an event of this run"; });
      continue;
    }
    if (first) {
      const LogRecord* record = nullptr;
      if (ours && n != Input::kNone && letter.topic == run_.request.input.topic) {
        TM_ASSIGN(record, run_.input->at(n, letter.offset));
      }
      const std::string_view sent = of->events.bytes(i);
      if (!letter.holds(run_.dead_value(sent))) {
        run_.faults.add(FaultKind::kAltered, 1,
                        [&] { return say_letter() + ": other bytes than were sent"; });
      } else if (ours && (record == nullptr || !letter.holds(run_.dead_value(record->value)))) {
        run_.faults.add(FaultKind::kAltered, 1,
                        [&] { return say_letter() + ": the input holds something else there"; });
      } else if (letter.reason.empty()) {
        run_.faults.add(FaultKind::kAltered, 1, [&] { return say_letter() + ": it gives no reason"; });
      }
      if (of->schedule.fault(i) != Fault::kMalformed && sent.size() <= run_.request.event_limit_bytes &&
          dead_reasons_.size() < run_.request.examples) {
        dead_reasons_.push_back(say_letter() + ": " + say(*of, i) + " was sent well-formed");
      }
    }
    if (Cell* counts = cell(of->slot(i))) count_up(&counts->dead);
  }
}

Status account_by_id(Run& run) {
  return ById(run).go();
}

}  // namespace tidemill::verify
