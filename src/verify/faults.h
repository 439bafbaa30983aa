// What was found wrong: counts, and the first few of each kind in words.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "verify/verify.h"

namespace tidemill::verify {

enum class FaultKind { kLost, kDuplicated, kUnexpected, kAltered, kOutOfOrder };

class Faults {
 public:
  explicit Faults(size_t examples) : examples_(examples) {}
  // `example` is only called while there is room for more examples.
  void add(FaultKind kind, uint64_t count, const std::function<std::string()>& example);
  uint64_t count(FaultKind kind) const { return kinds_[static_cast<size_t>(kind)].count; }
  // A reason for FAIL that is no fault of a single event. The same text counts once.
  void reason(std::string text);
  // The same for what many events can have in common: `what` once, with the first few examples.
  void reason(std::string_view what, const std::function<std::string()>& example);
  void note(std::string text);
  // What is duplicated is counted, and is no reason for FAIL.
  void allow_duplicated() { duplicated_allowed_ = true; }
  // Counts into the verdict, words into why and notes.
  void write_to(Verdict* verdict) const;

 private:
  struct Kind {
    uint64_t count = 0;
    std::vector<std::string> examples;
  };
  static std::string with_examples(std::string line, const Kind& kind);
  size_t examples_;
  bool duplicated_allowed_ = false;
  std::array<Kind, 5> kinds_;
  std::vector<std::string> reasons_;
  std::map<std::string, Kind, std::less<>> common_reasons_;
  std::vector<std::string> notes_;
};

}  // namespace tidemill::verify
