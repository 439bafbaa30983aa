#include "pipeline/restore.h"

#include <map>

#include "pipeline/recovery.h"

namespace tidemill::pipeline {
namespace {

// Collects complete frames and snapshots: those whose parts 0 … last all came, in order. Parts of
// one frame are never interleaved with another of the same owner; an owner that died in the middle
// leaves an incomplete one, which counts for nothing.
class FactCollector {
 public:
  explicit FactCollector(RecoveryFacts* facts) : facts_(facts) {}

  void add(int64_t at, const ChangelogRecord& record) {
    auto& open = open_[{record.kind, record.incarnation.value()}];
    // A part that was stored twice, as its first answer was lost.
    if (record.part > 0 && open.epoch == record.epoch && record.part < open.next_part &&
        open.next_part != UINT32_MAX) {
      return;
    }
    if (record.part == 0) {
      open = {record.epoch, at, 0};
    } else if (open.epoch != record.epoch || open.next_part != record.part) {
      open = {};  // its beginning is missing
      return;
    }
    open.next_part = record.part + 1;
    if (!record.last_part) return;
    ChangelogFact fact{record.epoch, record.incarnation, open.at};
    (record.kind == ChangelogRecord::kFrame ? facts_->frames : facts_->snapshots).push_back(fact);
  }

 private:
  struct Open {
    Epoch epoch;
    int64_t at = -1;
    uint32_t next_part = UINT32_MAX;
  };
  RecoveryFacts* facts_;
  std::map<std::pair<uint8_t, int32_t>, Open> open_;
};

Status apply_from(Lane& lane, const RecoveryPlan& plan, Changelog& changelog,
                  const RestoreProgress& progress) {
  // Records of a chosen frame or snapshot: those at or after its first part with its epoch, owner
  // and kind. A snapshot may stand behind frames that come after it, so it is applied in a pass of
  // its own.
  uint64_t bytes = 0;
  auto pass = [&](auto&& wants) {
    return changelog.read(lane.source(), [&](int64_t at, std::string_view value) -> Status {
      bytes += value.size();
      progress(lane.source(), bytes);
      TM_ASSIGN(ChangelogRecord record, decode_changelog(value));
      if (!wants(at, record)) return {};
      // What was read now would be read again: it counts towards the next snapshot.
      (record.kind == ChangelogRecord::kFrame ? lane.frame_bytes_since_snapshot : lane.snapshot_bytes) +=
          value.size();
      return lane.apply(record.deltas);
    });
  };
  uint32_t part = 0;  // the next one; one that is there twice is applied once
  if (plan.snapshot) {
    bool done = false;
    TM_TRY(pass([&](int64_t at, const ChangelogRecord& record) {
      bool wanted = !done && record.kind == ChangelogRecord::kSnapshot && at >= plan.snapshot->at &&
                    record.epoch == plan.snapshot->epoch &&
                    record.incarnation == plan.snapshot->incarnation && record.part == part;
      if (wanted) ++part;
      if (wanted && record.last_part) done = true;
      return wanted;
    }));
  }
  part = 0;
  size_t next = 0;
  TM_TRY(pass([&](int64_t at, const ChangelogRecord& record) {
    if (next == plan.frames.size()) return false;
    const ChangelogFact& frame = plan.frames[next];
    bool wanted = record.kind == ChangelogRecord::kFrame && at >= frame.at && record.epoch == frame.epoch &&
                  record.incarnation == frame.incarnation && record.part == part;
    if (!wanted) return false;
    part = record.last_part ? 0 : part + 1;
    if (record.last_part) ++next;
    return true;
  }));
  if (next != plan.frames.size()) {
    return internal_error(lane.source().to_string() + ": the changelog changed while it was read",
                          Code::kCorrupt);
  }
  return {};
}

// The sink holds nothing of a pipeline: frames that are there were never committed, or the sink was told to
// forget what was. They must not be taken for this pipeline's when it has owners of the same numbers.
Status forget(const TopicPartition& source, Changelog& changelog) {
  TM_ASSIGN(int64_t end, changelog.end(source));
  return end > 0 ? changelog.truncate_before(source, end) : Status();
}

}  // namespace

Status restore_lane(Lane& lane, const Committed& committed, bool stateful, bool in_steps,
                    SourceReader& reader, Changelog* changelog, const RestoreProgress& progress) {
  RecoveryFacts facts;
  facts.source = lane.source();
  facts.sink = committed;
  facts.stateful = stateful;
  facts.in_steps = in_steps;
  std::optional<Position> resume;
  if (committed.position) {
    TM_ASSIGN(resume, reader.resume_position(lane.source(), *committed.position));
  }
  if (stateful && committed.position) {
    TM_CHECK(changelog != nullptr);
    FactCollector collector(&facts);
    TM_TRY(changelog->read(lane.source(), [&](int64_t at, std::string_view value) -> Status {
      TM_ASSIGN(ChangelogRecord record, decode_changelog(value));
      collector.add(at, record);
      return {};
    }));
  }
  TM_ASSIGN(RecoveryPlan plan, plan_recovery(facts));
  if (stateful && plan.resume) TM_TRY(apply_from(lane, plan, *changelog, progress));
  // The chain of frames that comes now does not lead to this state; a snapshot does.
  if (plan.approximate) lane.frame_bytes_since_snapshot = UINT64_MAX / 2;
  if (plan.resume) {
    lane.begin_at(committed, *resume);
  } else {
    if (stateful) TM_TRY(forget(lane.source(), *changelog));
    TM_ASSIGN(Position start, reader.start_position(lane.source()));
    lane.begin_at(committed, start);
  }
  return {};
}

}  // namespace tidemill::pipeline
