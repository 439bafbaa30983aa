// The guarantee of a pipeline, computed from what its parts can do. A pure function.
#pragma once

#include <string>
#include <vector>

#include "pipeline/sink.h"
#include "pipeline/source.h"

namespace tidemill::pipeline {

enum class Guarantee { kAtMostOnce, kAtLeastOnce, kEffectivelyOnce, kExactlyOnce };
std::string guarantee_name(Guarantee guarantee);  // "exactly-once"

struct GuaranteeFacts {
  SourceTraits source;
  SinkTraits sink;
  bool stateful = false;
  // What weakens the changelog (its durability), as SourceTraits::weakness; empty: nothing.
  std::string changelog_weakness;
};

struct GuaranteeReport {
  Guarantee guarantee = Guarantee::kExactlyOnce;
  // Why it is what it is, one sentence each; where it is weaker than exactly-once, the part and the reason
  // come first.
  std::vector<std::string> reasons;
  // What may be lost in a power cut although everything else holds.
  std::vector<std::string> limits;
};

GuaranteeReport compute_guarantee(const GuaranteeFacts& facts);

}  // namespace tidemill::pipeline
