// What the report shows of a running simulator. Written by one instance's threads, read by any.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>
#include <string>

namespace tidemill::simulate {

struct LiveCounters {
  static constexpr int64_t kNothingDue = std::numeric_limits<int64_t>::max();

  std::atomic<int64_t> events{0};   // acknowledged, with all their copies
  std::atomic<int64_t> records{0};  // acknowledged
  std::atomic<int64_t> bytes{0};    // of acknowledged values
  std::atomic<int64_t> worst_shortfall_us{0};
  // When the oldest event that is not appended yet was due, microseconds since 1970.
  std::atomic<int64_t> oldest_due_us{kNothingDue};
  std::atomic<int64_t> retries{0};
  std::atomic<bool> stalled{false};  // appending fails, and is tried again

  void set_problem(const std::string& text) {
    std::lock_guard lock(mutex);
    problem = text;
  }
  std::string last_problem() const {
    std::lock_guard lock(mutex);
    return problem;
  }

 private:
  mutable std::mutex mutex;
  std::string problem;
};

// Whether an instance is to go on sending.
class StopSignal {
 public:
  // `asked`: by the user; `aborted`: because another instance failed. Both outlive the signal.
  StopSignal(const std::atomic<bool>& asked, const std::atomic<bool>& aborted)
      : asked_(&asked), aborted_(&aborted) {}
  bool set() const { return asked_->load(std::memory_order_relaxed) || aborted(); }
  bool aborted() const { return aborted_->load(std::memory_order_relaxed); }

 private:
  const std::atomic<bool>* asked_;
  const std::atomic<bool>* aborted_;
};

}  // namespace tidemill::simulate
