// Events that have neither identity nor position in the store: what the input holds and what the
// store holds are compared as multisets of content hashes, and as sequences where partitions match.
#include <algorithm>
#include <functional>
#include <unordered_map>

#include "verify/input_decoder.h"
#include "verify/row_beside.h"

namespace tidemill::verify {
namespace {

using Fate = InputDecoder::Fate;
// Gives every hash of one side; called once per class of hashes.
using Source = std::function<Status(const std::function<void(Sum128)>&)>;

struct Difference {
  uint64_t missing = 0;  // in the first, not in the second
  uint64_t extra = 0;    // more often in the second than in the first
  uint64_t unknown = 0;  // in the second only
  uint64_t gone = 0;     // of missing, each once: not at all in the second
};

// Exact: sorts class after class of the hashes, as many as the memory allows at a time.
Result<Difference> compare(const Source& first, const Source& second, uint64_t total, uint64_t memory_bytes) {
  uint64_t classes = std::max<uint64_t>(
      1, (total * sizeof(Sum128) + memory_bytes - 1) / std::max<uint64_t>(1, memory_bytes));
  Difference out;
  for (uint64_t c = 0; c < classes; ++c) {
    std::vector<Sum128> a, b;
    auto into = [&](std::vector<Sum128>* to) {
      return [&, to](Sum128 hash) {
        if (static_cast<uint64_t>(hash >> 64) % classes == c) to->push_back(hash);
      };
    };
    TM_TRY(first(into(&a)));
    TM_TRY(second(into(&b)));
    std::sort(a.begin(), a.end());
    std::sort(b.begin(), b.end());
    size_t i = 0, j = 0;
    while (i < a.size() || j < b.size()) {
      bool from_a = j == b.size() || (i < a.size() && a[i] <= b[j]);
      Sum128 hash = from_a ? a[i] : b[j];
      uint64_t in_a = 0, in_b = 0;
      for (; i < a.size() && a[i] == hash; ++i) ++in_a;
      for (; j < b.size() && b[j] == hash; ++j) ++in_b;
      if (in_a > in_b) out.missing += in_a - in_b;
      if (in_a > 0 && in_b == 0) ++out.gone;
      if (in_b > in_a) (in_a > 0 ? out.extra : out.unknown) += in_b - in_a;
    }
  }
  return out;
}

// A sequence in short: equal for equal sequences, but for a chance of 2^-128.
struct Chain {
  Sum128 sum = 0;
  Sum128 links = 0;
  uint64_t count = 0;
  void add(Sum128 hash) {
    sum += hash;
    links = links * 6364136223846793005u + hash;
    ++count;
  }
};

class ByContent {
 public:
  explicit ByContent(Run& run) : run_(run), keys_(run) {}

  Status go() {
    run_.faults.note("the store does not keep the input's positions: contents are compared as a multiset");
    found_.input_records.assign(run_.input->size(), 0);
    for (size_t n = 0; n < run_.input->size(); ++n) input_chains_.emplace_back();
    TM_TRY(choose_times());
    run_.progress("reading the input", 0);
    uint64_t dead_due = 0;
    Sum128 dead_sum = 0;
    TM_TRY(read_input([&](size_t n, const LogRecord& record, Fate fate, Sum128 hash) {
      ++found_.input_records[n];
      const bool pending = run_.input->pending(n, record.offset);
      if (fate == Fate::kStored) input_chains_[n].add(hash);
      if (fate == Fate::kStored && pending) ++pending_;
      if (fate == Fate::kDead && pending) ++pending_dead_;
      if (fate == Fate::kDropped && !pending) ++dropped_by_dedup_;
      if (fate == Fate::kDead) {
        ++dead_due;
        dead_sum += content_hash(run_.dead_value(record.value));
      }
      if (fate == Fate::kUnsure)
        run_.faults.reason("an event that the verifier cannot decode needs positions in the store");
    }));
    TM_TRY(read_ways());
    run_.progress("reading the store", 0.4);
    TM_TRY(read_rows([&](const StoredRow& row, Sum128 hash) {
      ++run_.verdict.stored;
      output_chains_[row.output_partition].add(hash);
      run_.measure(row, created_us(row), row.enqueued_us);
    }));
    run_.verdict.dead_letters_expected = dead_due;
    TM_TRY(check_rows());
    TM_TRY(check_dead_letters(dead_due, dead_sum));
    TM_TRY(check_order());
    found_.stored = static_cast<int64_t>(run_.verdict.stored);
    found_.dead = static_cast<int64_t>(run_.verdict.dead_letters);
    check_counters(run_, found_);
    return ok_status();
  }

 private:
  using OnRecord = std::function<void(size_t, const LogRecord&, Fate, Sum128)>;
  using OnRow = std::function<void(const StoredRow&, Sum128)>;

  // What counts of a record or row beside its fields.
  struct Beside {
    std::string_view further;
    RecordKey key;
    int64_t enqueued_us = 0;
  };
  Sum128 hash_of(std::vector<FieldValue> values, const Beside& beside) const {
    const StoreShape& shape = run_.rows->shape();
    std::deque<std::string> texts;
    for (size_t f = 0; f < values.size(); ++f) {
      if (only_ && f != *only_) values[f] = {};
      if (shape.has_field[f] == 0) values[f] = {};
      values[f] = shape.as_stored(f, values[f], &texts);
    }
    if (only_) return content_hash(values);
    values.push_back(FieldValue::of_text(beside.further));
    if (keys_.known()) values.push_back(beside.key.has ? FieldValue::of_text(beside.key.text) : FieldValue{});
    if (times_) values.push_back(FieldValue::of_timestamp(beside.enqueued_us));
    return content_hash(values);
  }
  // Whether a row's enqueuedAt can be compared: what stands there is the time of a record of the input.
  Status choose_times();
  // The field that the dedup goes by, where the store keeps it.
  std::optional<size_t> stored_id() const {
    for (size_t f = 0; f < run_.fields.size(); ++f) {
      const bool its = run_.fields[f].path == run_.request.topology.dedup.id_path;
      if (its && run_.rows->shape().has_field[f] != 0) return f;
    }
    return std::nullopt;
  }
  Status read_input(const OnRecord& on_record);
  Status read_ways();
  Status read_rows(const OnRow& on_row);
  std::optional<int64_t> created_us(const StoredRow& row) const {
    for (size_t f = 0; f < run_.fields.size(); ++f) {
      if (run_.fields[f].name == run_.request.time_field &&
          row.fields[f].kind == FieldValue::Kind::kTimestamp) {
        return row.fields[f].integer;
      }
    }
    return std::nullopt;
  }
  Status check_rows();
  Status check_rows_of_ways(uint64_t in);
  Status check_dead_letters(uint64_t due, Sum128 due_sum);
  Status check_order();

  Run& run_;
  KeyRule keys_;
  bool times_ = false;  // enqueuedAt is compared
  std::vector<Chain> input_chains_;
  std::unordered_map<int32_t, Chain> output_chains_;
  Found found_;
  std::optional<size_t> only_;  // hashes are of this field alone
  uint64_t dropped_by_dedup_ = 0;
  uint64_t pending_ = 0, pending_dead_ = 0;  // of the input and the ways, what no pipeline has committed yet
};

Status ByContent::choose_times() {
  if (!run_.rows->shape().enqueued_at || run_.request.rekeyed()) return ok_status();
  for (size_t n = 0; n < run_.input->size(); ++n) {
    RecordReader reader(run_.input->files(n));
    TM_TRY(reader.seek(run_.input->span(n).start));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      if (record->append_time) continue;
      run_.faults.note(run_.request.store.columns.enqueued_at +
                       " is not compared: the input has times that are not the log's");
      return ok_status();
    }
  }
  times_ = true;
  return ok_status();
}

Status ByContent::read_input(const OnRecord& on_record) {
  InputDecoder decoder(run_);
  std::string wrong;
  for (size_t n = 0; n < run_.input->size(); ++n) {
    decoder.new_partition();
    RecordReader reader(run_.input->files(n));
    TM_TRY(reader.seek(run_.input->span(n).start));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      Fate fate = decoder.decide(*record, &wrong);
      if (fate != Fate::kStored) {
        on_record(n, *record, fate, 0);
        continue;
      }
      const std::vector<FieldValue> values = decoder.values();
      const std::string further = decoder.further();
      const Beside beside{further, keys_.of(record->has_key, record->key, values),
                          record->timestamp_ms * 1000};
      on_record(n, *record, fate, hash_of(values, beside));
    }
  }
  return ok_status();
}

// What is still on its way is pending. A dedup behind ways drops what it has seen there.
Status ByContent::read_ways() {
  const Dedup& dedup = run_.request.topology.dedup;
  JsonFields decoder(dedup_specs(run_), static_cast<size_t>(run_.request.event_limit_bytes));
  DedupModel model(dedup);
  std::vector<FieldValue> values;
  std::vector<uint8_t> unreadable;
  std::string wrong;
  size_t partition = 0;
  return verify::read_ways(run_, &found_, [&](const WayRecord& at) -> Status {
    if (at.waiting) {
      ++pending_;
      ++pending_dead_;
    }
    if (dedup.kind == DedupKind::kNone || dedup.ways != at.way + 1) return ok_status();
    if (partition != at.partition) model.clear();
    partition = at.partition;
    if (decoder.decode(at.record.value, &values, &unreadable, &wrong) != Decoded::kOk) {
      run_.faults.reason("offset " + std::to_string(at.record.offset) + " of " +
                         run_.request.ways[at.way].topic.topic + "-" + std::to_string(partition) + ": " +
                         wrong);
      return ok_status();
    }
    const bool copy = model.seen(dedup_text(values[1]), dedup_text(values[0]), at.record.timestamp_ms);
    if (copy && !at.waiting) ++dropped_by_dedup_;
    return ok_status();
  });
}

Status ByContent::read_rows(const OnRow& on_row) {
  TM_ASSIGN(auto rows, run_.rows->rows(true));
  StoredRow row;
  for (;;) {
    TM_ASSIGN(bool more, rows->next(&row));
    if (!more) return ok_status();
    std::vector<FieldValue> values = row.fields;
    // A row that is not what its schema says matches nothing.
    if (!row.wrong.empty()) values.push_back(FieldValue::of_text(row.wrong));
    for (size_t f = 0; f < row.unreadable.size(); ++f) {
      if (row.unreadable[f] != 0) values.push_back(FieldValue::of_integer(static_cast<int64_t>(f)));
    }
    if (values.size() == row.fields.size())
      on_row(row, hash_of(values,
                          {row.further, {row.has_key, std::string(row.key)}, row.enqueued_us.value_or(0)}));
    else
      on_row(row, content_hash(values));
  }
}

Status ByContent::check_rows() {
  Sum128 in_sum = 0, out_sum = 0;
  uint64_t in = 0;
  for (const Chain& chain : input_chains_) in_sum += chain.sum, in += chain.count;
  for (const auto& [partition, chain] : output_chains_) out_sum += chain.sum;
  run_.verdict.expected = in;
  run_.verdict.dropped = dropped_by_dedup_;
  bool filter = run_.request.topology.filter;
  if (run_.request.topology.dedup.ways > 0) return check_rows_of_ways(in);
  if (in == run_.verdict.stored && in_sum == out_sum && !filter) return ok_status();
  run_.progress("comparing contents", 0.6);
  Source from_input = [&](const std::function<void(Sum128)>& give) {
    return read_input([&](size_t, const LogRecord&, Fate fate, Sum128 hash) {
      if (fate == Fate::kStored) give(hash);
    });
  };
  Source from_store = [&](const std::function<void(Sum128)>& give) {
    return read_rows([&](const StoredRow&, Sum128 hash) { give(hash); });
  };
  TM_ASSIGN(Difference diff,
            compare(from_input, from_store, in + run_.verdict.stored, run_.request.memory_bytes));
  // What is gone and what nobody sent: as far as they pair up, events were changed.
  uint64_t altered = std::min(diff.missing, diff.unknown);
  uint64_t missing = diff.missing - altered;
  const uint64_t still_to_come = std::min(missing, pending_);
  missing -= still_to_come;
  run_.verdict.expected -= still_to_come;
  if (filter) {
    auto accepted = static_cast<uint64_t>(
        filtered_out(run_, static_cast<int64_t>(dropped_by_dedup_), static_cast<int64_t>(missing)));
    run_.verdict.dropped += accepted;
    run_.verdict.expected -= accepted;
    missing = 0;
  }
  run_.faults.add(FaultKind::kLost, missing, [] { return "contents of the input that the store lacks"; });
  run_.faults.add(FaultKind::kDuplicated, diff.extra,
                  [] { return "contents that the store holds more often"; });
  run_.faults.add(FaultKind::kUnexpected, diff.unknown - altered,
                  [] { return "contents that the input lacks"; });
  run_.faults.add(FaultKind::kAltered, altered,
                  [] { return "contents of the input are gone, as many others are there"; });
  return ok_status();
}

// Behind a dedup that reads a way: which copy it dropped its order says, and no content. So what is stored is
// of what was sent, each as often at most, and how many there are the dedup's model says.
Status ByContent::check_rows_of_ways(uint64_t in) {
  run_.progress("comparing contents", 0.6);
  Source from_input = [&](const std::function<void(Sum128)>& give) {
    return read_input([&](size_t, const LogRecord&, Fate fate, Sum128 hash) {
      if (fate == Fate::kStored) give(hash);
    });
  };
  Source from_store = [&](const std::function<void(Sum128)>& give) {
    return read_rows([&](const StoredRow&, Sum128 hash) { give(hash); });
  };
  const uint64_t stored = run_.verdict.stored;
  TM_ASSIGN(Difference diff, compare(from_input, from_store, in + stored, run_.request.memory_bytes));
  const uint64_t altered = std::min(diff.gone, diff.unknown);
  const uint64_t left = in - std::min(in, dropped_by_dedup_);
  uint64_t missing = left > stored ? left - stored : 0;
  const uint64_t still_to_come = std::min(missing, pending_);
  missing -= still_to_come;
  run_.verdict.expected = left - still_to_come;
  if (run_.request.topology.filter) {
    const auto accepted = static_cast<uint64_t>(
        filtered_out(run_, static_cast<int64_t>(dropped_by_dedup_), static_cast<int64_t>(missing)));
    run_.verdict.dropped += accepted;
    run_.verdict.expected -= accepted;
    missing = 0;
  } else {
    // Copies by their id may differ in the rest: then what was dropped is gone as a content, but not as an
    // id.
    uint64_t gone = diff.gone - altered, may_be = pending_ + dropped_by_dedup_;
    if (only_ = stored_id(); only_) {
      auto ids = compare(from_input, from_store, in + stored, run_.request.memory_bytes);
      only_.reset();
      if (!ids.ok()) return std::move(ids).error();
      gone = ids->gone - std::min(ids->gone, altered);
      may_be = pending_;
    }
    missing = std::max(missing, gone > may_be ? gone - may_be : 0);
  }
  const uint64_t more = stored > left ? stored - left : 0;
  run_.faults.add(FaultKind::kLost, missing, [] { return "contents of the input that the store lacks"; });
  run_.faults.add(FaultKind::kDuplicated, std::max(diff.extra, more),
                  [] { return "contents that the store holds more often"; });
  run_.faults.add(FaultKind::kUnexpected, diff.unknown - altered,
                  [] { return "contents that the input lacks"; });
  run_.faults.add(FaultKind::kAltered, altered,
                  [] { return "contents of the input are gone, as many others are there"; });
  return ok_status();
}

Status ByContent::check_dead_letters(uint64_t due, Sum128 due_sum) {
  if (!run_.dead) return ok_status();
  auto read = [&](const std::function<void(Sum128)>& give) -> Status {
    TM_ASSIGN(auto letters, run_.dead->rows());
    DeadLetter letter;
    for (;;) {
      TM_ASSIGN(bool more, letters->next(&letter));
      if (!more) return ok_status();
      size_t n = run_.input->find(letter.partition);
      bool placed = n != Input::kNone && letter.topic == run_.request.input.topic;
      if (placed && letter.offset < run_.input->span(n).start) continue;
      give(content_hash(letter.value));
    }
  };
  Sum128 sum = 0;
  TM_TRY(read([&](Sum128 hash) {
    sum += hash;
    ++run_.verdict.dead_letters;
  }));
  if (run_.verdict.dead_letters == due && sum == due_sum) return ok_status();
  Source from_input = [&](const std::function<void(Sum128)>& give) {
    return read_input([&](size_t, const LogRecord& record, Fate fate, Sum128) {
      if (fate == Fate::kDead) give(content_hash(run_.dead_value(record.value)));
    });
  };
  TM_ASSIGN(Difference diff,
            compare(from_input, read, due + run_.verdict.dead_letters, run_.request.memory_bytes));
  const uint64_t still_to_come = std::min(diff.missing, pending_dead_);
  run_.verdict.dead_letters_expected -= still_to_come;
  run_.faults.add(FaultKind::kLost, diff.missing - still_to_come,
                  [] { return "malformed events that are no dead letters"; });
  run_.faults.add(FaultKind::kDuplicated, diff.extra, [] { return "dead letters that are there too often"; });
  run_.faults.add(FaultKind::kUnexpected, diff.unknown,
                  [] { return "dead letters that are no malformed events of the input"; });
  return ok_status();
}

Status ByContent::check_order() {
  if (!run_.rows->shape().in_order || run_.request.topology.filter || run_.request.rekeyed()) {
    run_.faults.note("order is not compared: the store does not keep the input's positions");
    return ok_status();
  }
  bool same_parts = true;
  for (size_t n = 0; n < input_chains_.size(); ++n) {
    const Chain& out = output_chains_[run_.input->span(n).partition];
    same_parts = same_parts && out.count == input_chains_[n].count && out.sum == input_chains_[n].sum;
  }
  if (!same_parts) {
    run_.faults.note("order is not compared: the output's partitions do not hold what the input's do");
    return ok_status();
  }
  for (size_t n = 0; n < input_chains_.size(); ++n) {
    int32_t partition = run_.input->span(n).partition;
    if (output_chains_[partition].links == input_chains_[n].links) continue;
    // The places at which the two sequences differ, one after another.
    std::vector<Sum128> input;
    TM_TRY(read_input([&](size_t of, const LogRecord&, Fate fate, Sum128 hash) {
      if (of == n && fate == Fate::kStored) input.push_back(hash);
    }));
    size_t at = 0;
    TM_TRY(read_rows([&](const StoredRow& row, Sum128 hash) {
      if (row.output_partition != partition) return;
      if (input[at++] != hash) {
        run_.faults.add(FaultKind::kOutOfOrder, 1, [&] {
          return run_.rows->describe(row) + " holds another event than the input there";
        });
      }
    }));
  }
  return ok_status();
}

}  // namespace

Status account_by_content(Run& run) {
  return ByContent(run).go();
}

}  // namespace tidemill::verify
