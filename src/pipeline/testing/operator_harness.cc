#include "pipeline/testing/operator_harness.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "base/random.h"
#include "event/json_decoder.h"
#include "event/json_splice.h"
#include "pipeline/changelog.h"

namespace tidemill::pipeline {
namespace {

constexpr TimestampUs kNoonUs = 1'795'262'400'000'000;
constexpr int kMostRetries = 100'000;  // an operator that needs more calls for one batch makes no progress
constexpr uint64_t kMutationSeed = 20'260;
constexpr int kMutations = 300;

Error broken(const std::string& what) {
  return internal_error("operator harness: " + what);
}

// Takes one batch; refuses the first `refusals` offers of each.
class OneSlot final : public Outbox {
 public:
  explicit OneSlot(int refusals) : refusals_(refusals), left_(refusals) {}
  bool push(BatchPtr& batch) override {
    if (slot_ != nullptr || left_ > 0) {
      was_full = true;
      if (left_ > 0) --left_;
      return false;
    }
    slot_ = std::move(batch);
    left_ = refusals_;
    return true;
  }
  BatchPtr take() { return std::move(slot_); }
  bool was_full = false;

 private:
  int refusals_;
  int left_;
  BatchPtr slot_;
};

std::string cell(const Column& column, size_t row) {
  if (!column.valid(row)) return "null";
  if (column.is_text()) return "'" + std::string(column.text_at(row)) + "'";
  if (column.type() == Type::kBoolean) return column.bool_at(row) ? "true" : "false";
  if (column.type() != Type::kDouble) return std::to_string(column.int64_at(row));
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", column.double_at(row));
  return text;
}

HarnessRow describe_row(const Batch& batch, uint32_t row) {
  HarnessRow out;
  out.offset = batch.records()[row].offset.value();
  out.value = batch.records()[row].value;
  for (const Column& column : batch.columns) out.columns += column.name() + "=" + cell(column, row) + " ";
  append_added_members(batch, row, &out.added);
  return out;
}

// One operator and what to feed it.
class Bench {
 public:
  explicit Bench(const OperatorCase& test_case) : case_(test_case) {}

  Status bind() {
    TM_ASSIGN(operator_, case_.make());
    Schema schema = case_.schema;
    TM_TRY(operator_->bind(&schema));
    for (const std::string& name : operator_->needs()) {
      int index = case_.schema.find(name);
      if (index >= 0) plan_.fields.push_back(case_.schema.fields[static_cast<size_t>(index)]);
    }
    plan_.added_names = operator_->adds();
    return {};
  }

  size_t size() const { return case_.events.size(); }
  bool stateful() const { return operator_->stateful(); }
  std::unique_ptr<OperatorInstance> fresh() { return operator_->open(case_.source); }

  BatchPtr batch(size_t from, size_t to) {
    auto batch = std::make_unique<Batch>();
    batch->source = case_.source;
    batch->first = Offset(case_.first_offset + static_cast<int64_t>(from));
    batch->end = Position{Offset(case_.first_offset + static_cast<int64_t>(to)), LeaderEpoch(0)};
    batch->timestamp_type = TimestampType::kLogAppendTime;
    std::vector<Record> records;
    for (size_t i = from; i < to; ++i) {
      const HarnessEvent& event = case_.events[i];
      Record record;
      record.offset = Offset(case_.first_offset + static_cast<int64_t>(i));
      record.timestamp_ms = event.timestamp_ms;
      record.has_key = event.key.has_value();
      if (event.key) record.key = *event.key;
      record.has_value = true;
      record.value = event.value;
      record.leader_epoch = 0;
      records.push_back(record);
    }
    batch->set_records(std::move(records), nullptr);
    batch->select_all();
    JsonDecoder(plan_).decode(*batch);
    batch->dead_letters.clear();
    return batch;
  }

 private:
  const OperatorCase& case_;
  std::unique_ptr<Operator> operator_;
  DecodePlan plan_;
};

std::string snapshot_of(OperatorInstance& instance) {
  std::string deltas;
  DeltaWriter writer(&deltas, 0);
  instance.snapshot(writer);
  return deltas;
}

Status apply_all(OperatorInstance& instance, std::string_view deltas) {
  return for_each_delta(deltas, [&](uint32_t, std::string_view delta) { return instance.apply(delta); });
}

struct RunOptions {
  size_t batch_size = 1;
  TimestampUs now_us = kNoonUs;
  int refusals = 0;
  enum Restart { kNever, kFromSnapshots, kFromDeltas, kFromAllDeltas } restart = kNever;
};

struct RunTrace {
  HarnessOutput output;
  std::vector<std::string> snapshots;  // after each step
  std::vector<std::string> deltas;     // of each step
  size_t selected = 0;                 // rows that went in
};

class Run {
 public:
  Run(Bench& bench, const RunOptions& options) : bench_(bench), options_(options) {}

  Result<RunTrace> all() {
    auto instance = bench_.fresh();
    auto shadow = bench_.fresh();
    int64_t latest_ms = 0;
    for (size_t at = 0; at < bench_.size(); at += options_.batch_size) {
      BatchPtr batch = bench_.batch(at, std::min(bench_.size(), at + options_.batch_size));
      for (const Record& record : batch->records()) latest_ms = std::max(latest_ms, record.timestamp_ms);
      trace_.selected += batch->selected.size();
      std::string deltas;
      TM_TRY(feed(*instance, std::move(batch), &deltas));
      TM_TRY(advance(*instance, {INT64_MIN, options_.now_us}, &deltas));
      TM_TRY(end_step(&instance, &shadow, std::move(deltas)));
    }
    std::string deltas;
    TM_TRY(advance(*instance, {latest_ms * 1000 + 86'400'000'000, options_.now_us}, &deltas));
    TM_TRY(end_step(&instance, &shadow, std::move(deltas)));
    trace_.output.snapshot = trace_.snapshots.back();
    std::sort(trace_.output.dead.begin(), trace_.output.dead.end());
    return std::move(trace_);
  }

 private:
  Status feed(OperatorInstance& instance, BatchPtr batch, std::string* deltas) {
    const Batch* same = batch.get();
    return drive(
        [&](OperatorContext& context, Outbox& out) -> Result<Progress> {
          TM_ASSIGN(Progress progress, instance.process(batch, context, out));
          if (progress == Progress::kDone && batch != nullptr)
            return broken("kDone, but the batch was left behind");
          if (progress == Progress::kAgain && batch.get() != same)
            return broken("kAgain, but the batch is gone");
          return progress;
        },
        deltas);
  }

  Status advance(OperatorInstance& instance, const Times& times, std::string* deltas) {
    return drive([&](OperatorContext& context, Outbox& out) { return instance.advance(times, context, out); },
                 deltas);
  }

  // Calls `step` until it is done, emptying the outbox in between.
  template <class Step>
  Status drive(Step&& step, std::string* deltas) {
    OneSlot out(options_.refusals);
    for (int i = 0; i < kMostRetries; ++i) {
      DeltaWriter writer(deltas, 0);
      OperatorContext context{options_.now_us, &writer};
      out.was_full = false;
      TM_ASSIGN(Progress progress, step(context, out));
      if (BatchPtr made = out.take()) collect(*made);
      if (progress == Progress::kDone) return {};
      if (!out.was_full) return broken("kAgain, although the outbox had room");
    }
    return broken("no progress: the outbox was emptied again and again");
  }

  void collect(const Batch& batch) {
    for (uint32_t row : batch.selected) trace_.output.rows.push_back(describe_row(batch, row));
    for (const DeadLetter& dead : batch.dead_letters) {
      trace_.output.dead.push_back({dead.offset.value(), dead.reason});
    }
    trace_.output.dropped += batch.dropped;
  }

  Status end_step(std::unique_ptr<OperatorInstance>* instance, std::unique_ptr<OperatorInstance>* shadow,
                  std::string deltas) {
    std::string snapshot = snapshot_of(**instance);
    TM_TRY(apply_all(**shadow, deltas));
    if (snapshot_of(**shadow) != snapshot) {
      return broken("step " + std::to_string(trace_.snapshots.size() + 1) +
                    ": its deltas, applied to a copy, give another snapshot");
    }
    trace_.snapshots.push_back(std::move(snapshot));
    trace_.deltas.push_back(std::move(deltas));
    switch (options_.restart) {
      case RunOptions::kNever:
        break;
      case RunOptions::kFromSnapshots:
        *instance = bench_.fresh();
        TM_TRY(apply_all(**instance, trace_.snapshots.back()));
        break;
      case RunOptions::kFromDeltas:  // the copy goes on, the original follows its deltas
        std::swap(*instance, *shadow);
        break;
      case RunOptions::kFromAllDeltas:
        *instance = bench_.fresh();
        for (const std::string& step : trace_.deltas) TM_TRY(apply_all(**instance, step));
        break;
    }
    if (snapshot_of(**instance) != trace_.snapshots.back()) {
      return broken("a restart after step " + std::to_string(trace_.snapshots.size()) +
                    " gives another snapshot");
    }
    return {};
  }

  Bench& bench_;
  RunOptions options_;
  RunTrace trace_;
};

std::string differing(const HarnessRow& expected, const HarnessRow& got) {
  return "offset " + std::to_string(expected.offset) + " {" + expected.columns + "} {" + expected.added +
         "} was expected, offset " + std::to_string(got.offset) + " {" + got.columns + "} {" + got.added +
         "} came";
}

// Compares what came out; `decisions_only` leaves the rows' contents out.
Status compare(const HarnessOutput& expected, const HarnessOutput& got, const std::string& how,
               bool decisions_only = false) {
  for (size_t i = 0; i < std::min(expected.rows.size(), got.rows.size()); ++i) {
    const HarnessRow& a = expected.rows[i];
    const HarnessRow& b = got.rows[i];
    bool same = a.offset == b.offset &&
                (decisions_only || (a.value == b.value && a.columns == b.columns && a.added == b.added));
    if (!same) return broken(how + ": row " + std::to_string(i) + ": " + differing(a, b));
  }
  if (expected.rows.size() != got.rows.size()) {
    return broken(how + ": " + std::to_string(got.rows.size()) + " rows came instead of " +
                  std::to_string(expected.rows.size()));
  }
  if (expected.dead != got.dead) return broken(how + ": other dead letters");
  if (expected.dropped != got.dropped) {
    return broken(how + ": " + std::to_string(got.dropped) + " rows were dropped instead of " +
                  std::to_string(expected.dropped));
  }
  return {};
}

Status check_accounting(const RunTrace& trace) {
  size_t accounted = trace.output.rows.size() + trace.output.dead.size() + trace.output.dropped;
  if (accounted != trace.selected) {
    return broken(std::to_string(trace.selected) + " rows went in, " + std::to_string(accounted) +
                  " are accounted for (emitted, dead, dropped)");
  }
  std::map<int64_t, int> seen;
  for (const HarnessRow& row : trace.output.rows) ++seen[row.offset];
  for (const HarnessDead& dead : trace.output.dead) ++seen[dead.offset];
  for (const auto& [offset, count] : seen) {
    if (count > 1) return broken("offset " + std::to_string(offset) + " came out more than once");
  }
  return {};
}

// Stored bytes are checked by checksums before they get here; what still comes must not be able to harm.
void apply_mutated(Bench& bench, const RunTrace& trace) {
  SeededRandom random(kMutationSeed);
  std::vector<std::string> pool = trace.deltas;
  pool.push_back(trace.output.snapshot);
  for (int i = 0; i < kMutations; ++i) {
    std::string deltas = pool[random.below(pool.size())];
    std::vector<std::string> apart;
    // The frame around the deltas is not the operator's to check.
    Status split = for_each_delta(deltas, [&](uint32_t, std::string_view delta) -> Status {
      apart.emplace_back(delta);
      return {};
    });
    TM_CHECK(split.ok(), "deltas come from a DeltaWriter");
    auto instance = bench.fresh();
    for (std::string& delta : apart) {
      if (!delta.empty() && random.below(2) == 0) delta.resize(random.below(delta.size()));
      for (uint64_t flips = random.below(4); flips > 0 && !delta.empty(); --flips) {
        delta[random.below(delta.size())] = static_cast<char>(random.below(256));
      }
      if (!instance->apply(delta).ok()) break;
    }
    snapshot_of(*instance);
  }
}

std::string size_name(size_t batch_size) {
  return "batches of " + std::to_string(batch_size);
}

Status check_sizes(Bench& bench, const HarnessOutput& expected) {
  for (size_t size : {size_t{1}, size_t{2}, size_t{7}, std::max<size_t>(1, bench.size())}) {
    RunOptions options;
    options.batch_size = size;
    TM_ASSIGN(RunTrace plain, Run(bench, options).all());
    TM_TRY(compare(expected, plain.output, size_name(size)));
    const std::pair<RunOptions::Restart, const char*> restarts[] = {
        {RunOptions::kFromSnapshots, ", restart from the snapshot after every step"},
        {RunOptions::kFromDeltas, ", a copy that followed the deltas takes over after every step"},
        {RunOptions::kFromAllDeltas, ", restart from all deltas after every step"},
    };
    for (const auto& [restart, name] : restarts) {
      options.restart = restart;
      TM_ASSIGN(RunTrace restarted, Run(bench, options).all());
      TM_TRY(compare(expected, restarted.output, size_name(size) + name));
      if (restarted.snapshots != plain.snapshots) return broken(size_name(size) + name + ": other snapshots");
    }
    options.restart = RunOptions::kNever;
    for (int refusals : {1, 3}) {
      options.refusals = refusals;
      TM_ASSIGN(RunTrace refused, Run(bench, options).all());
      TM_TRY(compare(expected, refused.output, size_name(size) + ", full outbox"));
      if (refused.deltas != plain.deltas) return broken(size_name(size) + ", full outbox: other deltas");
    }
    options.refusals = 0;
    for (TimestampUs now_us : {TimestampUs{0}, kNoonUs + 86'400'000'000}) {
      options.now_us = now_us;
      TM_ASSIGN(RunTrace other, Run(bench, options).all());
      TM_TRY(compare(expected, other.output, size_name(size) + ", another wall clock", true));
    }
  }
  return {};
}

}  // namespace

Result<HarnessOutput> run_operator(const OperatorCase& test_case, size_t batch_size) {
  Bench bench(test_case);
  TM_TRY(bench.bind());
  RunOptions options;
  options.batch_size = std::max<size_t>(1, batch_size);
  TM_ASSIGN(RunTrace trace, Run(bench, options).all());
  return std::move(trace.output);
}

Status check_operator(const OperatorCase& test_case) {
  Bench bench(test_case);
  TM_TRY(bench.bind());
  TM_ASSIGN(RunTrace trace, Run(bench, RunOptions{}).all());
  if (test_case.one_to_one) TM_TRY(check_accounting(trace));
  if (!bench.stateful() && !trace.output.snapshot.empty())
    return broken("state, although it says that it has none");
  TM_TRY(check_sizes(bench, trace.output));
  if (bench.stateful()) apply_mutated(bench, trace);
  return {};
}

}  // namespace tidemill::pipeline
