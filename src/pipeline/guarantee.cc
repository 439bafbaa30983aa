#include "pipeline/guarantee.h"

#include <algorithm>

namespace tidemill::pipeline {

std::string guarantee_name(Guarantee guarantee) {
  switch (guarantee) {
    case Guarantee::kAtMostOnce:
      return "at-most-once";
    case Guarantee::kAtLeastOnce:
      return "at-least-once";
    case Guarantee::kEffectivelyOnce:
      return "effectively-once";
    case Guarantee::kExactlyOnce:
      return "exactly-once";
  }
  return "unknown";
}

GuaranteeReport compute_guarantee(const GuaranteeFacts& facts) {
  GuaranteeReport report;
  auto weaken = [&](Guarantee to, const std::string& why) {
    report.guarantee = std::min(report.guarantee, to);
    report.reasons.push_back(why);
  };
  if (!facts.source.replayable) {
    weaken(Guarantee::kAtMostOnce, facts.source.system + " cannot be read again after a crash");
  }
  switch (facts.sink.capability) {
    case Capability::kTransactional:
      report.reasons.push_back(facts.sink.store + " commits rows and positions in one transaction");
      break;
    case Capability::kIdempotent:
      weaken(
          Guarantee::kEffectivelyOnce,
          facts.sink.store + " has no transactions, but writes by key: a replay writes the same rows again");
      break;
    case Capability::kAtLeastOnce:
      weaken(Guarantee::kAtLeastOnce,
             facts.sink.store + " takes rows apart from their positions: a replay repeats rows");
      break;
  }
  if (facts.stateful) {
    report.reasons.push_back(
        facts.sink.in_steps ? "keyed state is in the changelog after its rows, and before their positions"
        : facts.sink.changelog_in_transaction
            ? "keyed state commits in the same transaction"
            : "keyed state is in the changelog before the sink commits, which names its frame");
  }
  for (const std::string& weakness : {facts.source.weakness, facts.sink.weakness, facts.changelog_weakness}) {
    if (!weakness.empty()) report.limits.push_back(weakness);
  }
  return report;
}

}  // namespace tidemill::pipeline
