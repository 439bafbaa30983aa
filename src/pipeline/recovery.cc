#include "pipeline/recovery.h"

#include <algorithm>

#include "base/canary.h"

namespace tidemill::pipeline {
namespace {

std::string frame_name(Epoch epoch, Incarnation incarnation) {
  return "frame " + std::to_string(epoch.value()) + " of owner " + std::to_string(incarnation.value());
}

// The frames that no later owner superseded, one per epoch, ascending. A snapshot tells of its owner as a
// frame does: it may have cut the frames that did.
std::vector<ChangelogFact> living_frames(const std::vector<ChangelogFact>& frames,
                                         const std::vector<ChangelogFact>& snapshots) {
  std::vector<ChangelogFact> chain;
  Incarnation newest;
  auto snapshot = snapshots.begin();
  for (const ChangelogFact& frame : frames) {
    for (; snapshot != snapshots.end() && snapshot->at < frame.at; ++snapshot) {
      newest = std::max(newest, snapshot->incarnation);
    }
    if (frame.incarnation < newest) continue;  // a fenced owner wrote after its successor
    // Stored twice, by a producer that is not idempotent, and late.
    if (!chain.empty() && chain.back().incarnation == frame.incarnation && chain.back().epoch > frame.epoch)
      continue;
    newest = frame.incarnation;
    // The same owner may have written a frame again after an append whose answer was lost.
    while (!chain.empty() && chain.back().epoch >= frame.epoch) chain.pop_back();
    chain.push_back(frame);
  }
  return chain;
}

// The newest snapshot, and the frames that follow it without a hole.
void plan_newest(const RecoveryFacts& facts, const std::vector<ChangelogFact>& chain, RecoveryPlan* plan) {
  plan->approximate = true;
  plan->snapshot.reset();
  plan->frames.clear();
  if (!facts.snapshots.empty()) plan->snapshot = facts.snapshots.back();
  Epoch have = plan->snapshot ? plan->snapshot->epoch : Epoch(0);
  for (const ChangelogFact& frame : chain) {
    if (frame.epoch != have.next()) continue;
    plan->frames.push_back(frame);
    have = frame.epoch;
  }
}

const ChangelogFact* find_epoch(const std::vector<ChangelogFact>& chain, Epoch epoch) {
  for (const ChangelogFact& frame : chain) {
    if (frame.epoch == epoch) return &frame;
  }
  return nullptr;
}

}  // namespace

Result<RecoveryPlan> plan_recovery(const RecoveryFacts& facts) {
  RecoveryPlan plan;
  if (!facts.sink.position.has_value()) return plan;
  plan.resume = facts.sink.position;
  if (!facts.stateful) return plan;

  std::vector<ChangelogFact> chain = living_frames(facts.frames, facts.snapshots);
  for (const ChangelogFact& snapshot : facts.snapshots) {
    if (snapshot.epoch > facts.sink.epoch) continue;
    const ChangelogFact* frame = find_epoch(chain, snapshot.epoch);
    if (frame != nullptr && frame->incarnation != snapshot.incarnation) continue;
    if (snapshot.epoch == facts.sink.epoch && snapshot.incarnation != facts.sink.incarnation) continue;
    if (!plan.snapshot || snapshot.epoch >= plan.snapshot->epoch) plan.snapshot = snapshot;
  }

  Epoch have = plan.snapshot ? plan.snapshot->epoch : Epoch(0);
  for (const ChangelogFact& frame : chain) {
    if (frame.epoch <= have) continue;
    if (frame.epoch > facts.sink.epoch && !canary(Canary::kUncommittedFrame)) break;  // never committed
    if (frame.epoch != have.next()) break;  // a hole: reported below
    plan.frames.push_back(frame);
    have = frame.epoch;
  }
  if (canary(Canary::kUncommittedFrame) && have > facts.sink.epoch) return plan;
  const bool last_matches = plan.frames.empty() || plan.frames.back().epoch != facts.sink.epoch ||
                            plan.frames.back().incarnation == facts.sink.incarnation;
  const bool leads_there = have == facts.sink.epoch && last_matches;
  if (!leads_there && facts.in_steps) {
    plan_newest(facts, chain, &plan);
  } else if (!leads_there) {
    return internal_error(
        facts.source.to_string() + ": the sink has committed " +
            frame_name(facts.sink.epoch, facts.sink.incarnation) +
            ", but the changelog does not lead to it (it ends or has a hole after epoch " +
            std::to_string(have.value()) +
            "): state was lost, or log and store are of different runs; restore both from the "
            "same moment, or start a new run",
        Code::kCorrupt);
  }
  return plan;
}

}  // namespace tidemill::pipeline
