// What every part of a simulation shares: chance, clock, disk, trace, and the verdict.
#pragma once

#include <fmt/format.h>

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/random.h"
#include "base/result.h"
#include "base/testing/memory_files.h"
#include "scenario.h"
#include "sim_clock.h"
#include "trace.h"

namespace tidemill::sim {

struct World {
  World(const Scenario& drawn, std::FILE* trace_out)
      : scenario(drawn),
        chance(drawn.seed),
        disk_chance(drawn.seed ^ 0x5151),
        ids(drawn.seed + 7),
        trace(trace_out) {}

  const Scenario scenario;
  SeededRandom chance;       // the scheduler's
  SeededRandom disk_chance;  // the faults'
  SeededRandom ids;          // given to the log and the pipeline
  Trace trace;
  SimClock clock;
  MemoryFiles disk;
  bool disk_errors = false;  // some change or read of the disk failed in this life
  bool observing = false;    // a model looks: its own reads do not fail

  template <class... Args>
  void note(fmt::format_string<Args...> text, Args&&... args) {
    line_.clear();
    fmt::format_to(std::back_inserter(line_), text, std::forward<Args>(args)...);
    trace.line({line_.data(), line_.size()});
  }
  // The claim that was broken; the first one counts.
  template <class... Args>
  void violation(fmt::format_string<Args...> text, Args&&... args) {
    std::string what = fmt::format(text, std::forward<Args>(args)...);
    trace.line("VIOLATION: " + what);
    if (!violation_) violation_ = std::move(what);
  }
  bool violated() const { return violation_.has_value(); }
  const std::optional<std::string>& violation() const { return violation_; }
  // One of 10,000.
  bool happens(int rate) { return rate > 0 && chance.below(10'000) < static_cast<uint64_t>(rate); }

 private:
  fmt::memory_buffer line_;
  std::optional<std::string> violation_;
};

class Observing {
 public:
  explicit Observing(World& world) : world_(world), before_(std::exchange(world.observing, true)) {}
  ~Observing() { world_.observing = before_; }
  Observing(const Observing&) = delete;
  Observing& operator=(const Observing&) = delete;

 private:
  World& world_;
  bool before_;
};

inline std::string answer(const Status& status) {
  return status.ok() ? "ok" : status.error().message;
}

}  // namespace tidemill::sim
