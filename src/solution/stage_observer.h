// Turns what the pipeline of one stage tells into the run's metrics and into console lines.
#pragma once

#include <atomic>

#include "observe/metrics.h"
#include "pipeline/listener.h"

namespace tidemill::solution {

class StageObserver final : public pipeline::Listener {
 public:
  // `metrics` null: console lines only. `into_topic`: what the stage writes is appended to the run's log, and
  // counts as incoming there. `last`: what it stores is what the run serves; what an earlier stage writes,
  // the next one reads.
  StageObserver(observe::Metrics* metrics, bool into_topic, bool last)
      : metrics_(metrics), into_topic_(into_topic), last_(last) {}

  void on_commit(const pipeline::CommitReport& report) override;
  void on_retry(const std::string& what) override;
  void on_restore(const TopicPartition& source, uint64_t changelog_bytes) override;
  void on_dead_letter(const std::string& reason) override;

 private:
  observe::Metrics* metrics_;
  const bool into_topic_;
  const bool last_;
  std::atomic<uint64_t> last_bytes_{0};
  std::atomic<int> warned_{0};
};

}  // namespace tidemill::solution
