#include "pipeline/lane.h"

namespace tidemill::pipeline {
namespace {

class OneSlot final : public Outbox {
 public:
  bool push(BatchPtr& batch) override {
    if (slot_ != nullptr) return false;
    slot_ = std::move(batch);
    return true;
  }
  BatchPtr take() { return std::move(slot_); }

 private:
  BatchPtr slot_;
};

}  // namespace

Lane::Lane(const Plan& plan, TopicPartition source, size_t changelog_part_bytes, const Sink* sink)
    : plan_(plan), changelog_part_bytes_(changelog_part_bytes), sink_(sink), source_(std::move(source)) {
  for (const auto& op : plan.operators) instances_.push_back(op->open(source_));
}

void Lane::begin_at(const Committed& committed, const Position& start) {
  TM_CHECK(!epoch_open_);
  expected_ = committed.position;
  next_ = start;
  epoch_ = committed.epoch;
  has_own_epoch_ = false;
  owner_ = committed.owner;
  frame_owner_ = committed.incarnation;
  counters_ = committed.counters;
}

Status Lane::apply(std::string_view deltas) {
  return for_each_delta(deltas, [&](uint32_t index, std::string_view delta) -> Status {
    if (index >= instances_.size()) {
      return internal_error(source_.to_string() + ": the changelog holds state of operator " +
                                std::to_string(index + 1) + ", but the solution has " +
                                std::to_string(instances_.size()) +
                                "; restore the former process section, or start a new run",
                            Code::kCorrupt);
    }
    return instances_[index]->apply(delta);
  });
}

Status Lane::process(BatchPtr batch, TimestampUs now_us, TimestampUs interval_us,
                     const std::function<Status(BatchPtr)>& deliver) {
  TM_CHECK(batch->source == source_);
  TM_CHECK(batch->end.offset >= next_.offset, "a source gave events again without being asked to");
  now_us_ = now_us;
  interval_us_ = interval_us;
  epoch_open_ = true;
  counters_.read += batch->size();
  next_ = batch->end;
  return run_from(0, std::move(batch), deliver);
}

Status Lane::end_interval(const std::function<Status(BatchPtr)>& deliver) {
  // Only the last operator has them.
  Progress progress = instances_.empty() ? Progress::kDone : Progress::kAgain;
  while (progress == Progress::kAgain) {
    OneSlot out;
    DeltaWriter writer(&deltas_, static_cast<uint32_t>(instances_.size() - 1));
    OperatorContext context{now_us_, &writer, interval_us_};
    auto result = instances_.back()->end_interval(context, out);
    if (!result.ok()) return std::move(result).error().within("process." + plan_.operators.back()->name());
    progress = *result;
    BatchPtr made = out.take();
    if (made == nullptr) continue;
    // What the sink cannot hold of them are rows, not events that were read; the reasons tell the two apart.
    const size_t own = made->dead_letters.size();
    if (sink_ != nullptr) sink_->screen(*made);
    for (size_t i = own; i < made->dead_letters.size(); ++i)
      made->dead_letters[i].reason.insert(0, "process." + plan_.operators.back()->name() + ": ");
    counters_.stored += made->selected.size();
    TM_TRY(deliver(std::move(made)));
  }
  return {};
}

Status Lane::advance(const Times& times, const std::function<Status(BatchPtr)>& deliver) {
  for (size_t stage = 0; stage < instances_.size(); ++stage) {
    Progress progress = Progress::kAgain;
    while (progress == Progress::kAgain) {
      OneSlot out;
      DeltaWriter writer(&deltas_, static_cast<uint32_t>(stage));
      OperatorContext context{times.processing_us, &writer, interval_us_};
      TM_ASSIGN(progress, instances_[stage]->advance(times, context, out));
      if (BatchPtr made = out.take()) TM_TRY(run_from(stage + 1, std::move(made), deliver));
    }
  }
  if (!deltas_.empty()) epoch_open_ = true;
  return {};
}

Status Lane::run_from(size_t stage, BatchPtr batch, const std::function<Status(BatchPtr)>& deliver) {
  if (stage == instances_.size()) return out_of_chain(std::move(batch), deliver);
  Progress progress = Progress::kAgain;
  while (progress == Progress::kAgain) {
    OneSlot out;
    DeltaWriter writer(&deltas_, static_cast<uint32_t>(stage));
    OperatorContext context{now_us_, &writer, interval_us_};
    auto result = instances_[stage]->process(batch, context, out);
    if (!result.ok()) return std::move(result).error().within("process." + plan_.operators[stage]->name());
    progress = *result;
    if (BatchPtr made = out.take()) TM_TRY(run_from(stage + 1, std::move(made), deliver));
  }
  return {};
}

Status Lane::out_of_chain(BatchPtr batch, const std::function<Status(BatchPtr)>& deliver) {
  if (sink_ != nullptr) sink_->screen(*batch);
  counters_.stored += batch->selected.size();
  counters_.dead += batch->dead_letters.size();
  counters_.dropped += batch->dropped;
  return deliver(std::move(batch));
}

Result<PartitionEpoch> Lane::end_epoch() {
  TM_CHECK(epoch_open_);
  TM_CHECK(counters_.read == counters_.dead + counters_.dropped + (plan_.every_us > 0 ? 0 : counters_.stored),
           "every record that was read is stored, dead or dropped");
  PartitionEpoch ended;
  ended.source = source_;
  ended.epoch = epoch_ = epoch_.next();
  ended.owner = frame_owner_ = owner_;
  has_own_epoch_ = true;
  ended.expected = expected_;
  ended.next = next_;
  ended.counters = counters_;
  if (plan_.stateful) {
    ChangelogRecord record = snapshot_record();
    record.kind = ChangelogRecord::kFrame;
    TM_ASSIGN(ended.frame, encode_changelog(record, deltas_, changelog_part_bytes_));
    for (const std::string& part : ended.frame) frame_bytes_since_snapshot += part.size();
  }
  deltas_.clear();
  expected_ = next_;
  epoch_open_ = false;
  return ended;
}

std::string Lane::snapshot_deltas() {
  TM_CHECK(!epoch_open_);
  std::string deltas;
  for (size_t i = 0; i < instances_.size(); ++i) {
    DeltaWriter writer(&deltas, static_cast<uint32_t>(i));
    instances_[i]->snapshot(writer);
  }
  return deltas;
}

ChangelogRecord Lane::snapshot_record() const {
  ChangelogRecord record;
  record.kind = ChangelogRecord::kSnapshot;
  record.epoch = epoch_;
  record.incarnation = frame_owner_;
  record.end = next_;
  record.counters = counters_;
  return record;
}

size_t Lane::state_bytes() const {
  size_t bytes = 0;
  for (const auto& instance : instances_) bytes += instance->state_bytes();
  return bytes;
}

}  // namespace tidemill::pipeline
