// Rows that count events: those of a query over the events of each interval.
#include <algorithm>

#include "verify/json_fields.h"
#include "verify/run.h"

namespace tidemill::verify {
namespace {

struct Records {
  int64_t all = 0;      // of the input
  int64_t pending = 0;  // that the pipeline which reads them has not committed yet
  int64_t dropped = 0;  // on the way to the pipeline that has the query, by the committed counters
};

Status count_input(Run& run, Records* records) {
  for (size_t n = 0; n < run.input->size(); ++n) {
    const PartitionSpan& span = run.input->span(n);
    int64_t start = span.start;
    RecordReader reader(run.input->files(n));
    // A stranger's topic may be older than the run, which then says only how much of it was read.
    if (run.manifests.empty() && span.counters && span.committed) {
      records->all += span.counters->read;
      start = *span.committed;
    }
    TM_TRY(reader.seek(start));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      ++records->all;
      if (run.input->pending(n, record->offset)) ++records->pending;
    }
  }
  return ok_status();
}

Status count_pending(const Input& way, Records* records) {
  for (size_t n = 0; n < way.size(); ++n) {
    if (!way.span(n).committed) continue;
    RecordReader reader(way.files(n));
    TM_TRY(reader.seek(std::max(*way.span(n).committed, way.span(n).start)));
    for (;;) {
      TM_ASSIGN(const LogRecord* record, reader.next());
      if (record == nullptr) break;
      ++records->pending;
    }
  }
  return ok_status();
}

Result<Records> count_records(Run& run) {
  Records records;
  TM_TRY(count_input(run, &records));
  std::vector<const Input*> topics{run.input.get()};
  for (const auto& way : run.ways) {
    TM_TRY(count_pending(*way, &records));
    topics.push_back(way.get());
  }
  // Of the last one everything that came to the query counts as dropped, too.
  topics.pop_back();
  for (const Input* topic : topics) {
    for (size_t n = 0; n < topic->size(); ++n) {
      if (const auto& counters = topic->span(n).counters) records.dropped += counters->dropped;
    }
  }
  return records;
}

Result<int64_t> add_up(Run& run) {
  TM_ASSIGN(auto rows, run.rows->rows(true));
  int64_t sum = 0;
  StoredRow row;
  for (;;) {
    TM_ASSIGN(bool more, rows->next(&row));
    if (!more) return sum;
    const FieldValue& count = row.fields.front();
    if (count.kind == FieldValue::Kind::kInteger && count.integer >= 0) {
      sum += count.integer;
    } else {
      run.faults.reason("the column that counts has something that is no count",
                        [&] { return run.rows->describe(row) + ": " + display(count); });
    }
    run.measure(row, std::nullopt, row.enqueued_us);
  }
}

struct Letters {
  int64_t letters = 0;
  int64_t events = 0;  // a letter that is a row of the query stands for those that the row counts
};

Result<Letters> count_dead_letters(Run& run) {
  Letters dead;
  if (run.dead == nullptr) return dead;
  const std::string& count = run.request.topology.counts->column;
  JsonFields rows({{count, {count}, FieldType::kBigint, true}});
  std::vector<FieldValue> values;
  std::vector<uint8_t> unreadable;
  std::string wrong;
  TM_ASSIGN(auto letters, run.dead->rows());
  const auto is_of_run = [&](std::string_view topic) {
    const std::vector<Way>& ways = run.request.ways;
    return topic == run.request.input.topic ||
           std::any_of(ways.begin(), ways.end(), [&](const Way& way) { return way.topic.topic == topic; });
  };
  DeadLetter letter;
  for (;;) {
    TM_ASSIGN(bool more, letters->next(&letter));
    if (!more) return dead;
    if (!is_of_run(letter.topic)) continue;
    ++dead.letters;
    const bool row = letter.reason.starts_with("process.sql: ") &&
                     rows.decode(letter.value, &values, &unreadable, &wrong) == Decoded::kOk &&
                     values[0].kind == FieldValue::Kind::kInteger;
    dead.events += row ? values[0].integer : 1;
  }
}

}  // namespace

Status account_by_count(Run& run) {
  const Counts& counts = *run.request.topology.counts;
  run.faults.note("rows of process.sql are no events: it is checked that the events that they count (" +
                  counts.column + ") are those of the input, and nothing else of them");
  TM_ASSIGN(Records records, count_records(run));
  TM_ASSIGN(int64_t sum, add_up(run));
  TM_ASSIGN(Letters dead, count_dead_letters(run));
  int64_t expected = records.all - dead.events - records.dropped;
  if (counts.replaced && sum < expected && sum > 0) {
    run.faults.note(
        "events that are lost cannot be told from those of rows that others of the same key replaced");
    expected = sum;
  }
  if (!counts.dropped_apart && sum <= expected) {
    run.faults.note("events that are lost cannot be told from those that were dropped before the query");
    expected = sum;
  }
  if (records.pending > 0) {
    run.faults.reason(std::to_string(records.pending) +
                      " records of the input are still to be processed; verify when the run is done");
    expected -= std::clamp<int64_t>(expected - sum, 0, records.pending);
  }
  run.verdict.expected = static_cast<uint64_t>(std::max<int64_t>(0, expected));
  run.verdict.stored = static_cast<uint64_t>(sum);
  run.verdict.dropped = static_cast<uint64_t>(records.dropped);
  run.verdict.dead_letters = run.verdict.dead_letters_expected = static_cast<uint64_t>(dead.letters);
  const std::string counted = "the rows count " + std::to_string(sum) + " events";
  if (sum < expected)
    run.faults.add(FaultKind::kLost, static_cast<uint64_t>(expected - sum), [&] { return counted; });
  if (sum > expected)
    run.faults.add(FaultKind::kDuplicated, static_cast<uint64_t>(sum - expected), [&] { return counted; });
  return {};
}

}  // namespace tidemill::verify
