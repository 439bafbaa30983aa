#include "verify/faults.h"

#include <algorithm>

namespace tidemill::verify {

void Faults::add(FaultKind kind, uint64_t count, const std::function<std::string()>& example) {
  if (count == 0) return;
  Kind& to = kinds_[static_cast<size_t>(kind)];
  to.count += count;
  if (to.examples.size() < examples_) to.examples.push_back(example());
}

void Faults::reason(std::string_view what, const std::function<std::string()>& example) {
  auto at = common_reasons_.find(what);
  if (at == common_reasons_.end()) at = common_reasons_.emplace(what, Kind{}).first;
  ++at->second.count;
  if (at->second.examples.size() < examples_) at->second.examples.push_back(example());
}

std::string Faults::with_examples(std::string line, const Kind& kind) {
  for (size_t n = 0; n < kind.examples.size(); ++n) line += (n == 0 ? ": " : "; ") + kind.examples[n];
  return kind.count > kind.examples.size() ? line + "; …" : line;
}

void Faults::reason(std::string text) {
  if (std::find(reasons_.begin(), reasons_.end(), text) == reasons_.end())
    reasons_.push_back(std::move(text));
}

void Faults::note(std::string text) {
  if (std::find(notes_.begin(), notes_.end(), text) == notes_.end()) notes_.push_back(std::move(text));
}

void Faults::write_to(Verdict* verdict) const {
  constexpr std::array<std::string_view, 5> kNames{"lost", "duplicated", "unexpected", "altered",
                                                   "out of order"};
  verdict->lost = count(FaultKind::kLost);
  verdict->duplicated = count(FaultKind::kDuplicated);
  verdict->unexpected = count(FaultKind::kUnexpected);
  verdict->altered = count(FaultKind::kAltered);
  verdict->out_of_order = count(FaultKind::kOutOfOrder);
  verdict->why.insert(verdict->why.end(), reasons_.begin(), reasons_.end());
  for (const auto& [what, kind] : common_reasons_) verdict->why.push_back(with_examples(what, kind));
  for (size_t kind = 0; kind < kinds_.size(); ++kind) {
    if (kinds_[kind].count == 0) continue;
    std::string line = std::to_string(kinds_[kind].count) + " " + std::string(kNames[kind]);
    if (kind == static_cast<size_t>(FaultKind::kDuplicated) && duplicated_allowed_) {
      verdict->notes.push_back(with_examples(line + ", as delivery at least once may", kinds_[kind]));
    } else {
      verdict->why.push_back(with_examples(line, kinds_[kind]));
    }
  }
  verdict->notes.insert(verdict->notes.end(), notes_.begin(), notes_.end());
}

}  // namespace tidemill::verify
