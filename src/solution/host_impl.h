// What the parts of the owner share. Internal to host*.cc.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/logging.h"
#include "solution/host.h"

namespace tidemill::solution {

// This process leaves the run, which is not over for whoever asks: the next owner may answer.
inline Error leaving() {
  return external_error("the run's owner has left", Code::kStopped, true);
}
inline Error was_stopped() {
  return Error{Domain::kUser, Code::kStopped, false, "the run was stopped"};
}

// Turns what pipelines tell into console lines and, where there are any, metrics. The output topic counts as
// incoming.
class Host::Observer final : public pipeline::Listener {
 public:
  Observer(observe::Metrics* metrics, bool sink_is_topic)
      : metrics_(metrics), sink_is_topic_(sink_is_topic) {}
  void on_commit(const pipeline::CommitReport& report) override {
    if (metrics_ == nullptr) return;
    metrics_->on_commit(report.events_in, report.bytes_in, report.rows, report.dead, report.dropped,
                        report.created_us, report.enqueued_us, report.committed_us);
    if (sink_is_topic_) metrics_->on_incoming(report.rows, report.bytes_out);
  }
  void on_retry(const std::string& what) override {
    if (metrics_ != nullptr) metrics_->on_retry();
    log_warning(what);
  }
  void on_restore(const TopicPartition& source, uint64_t bytes) override {
    // A line for every 64 MB of changelog read: long restores show that they move.
    if ((bytes >> 26) != (last_bytes_.exchange(bytes) >> 26)) {
      log_info("restoring the state of " + source.to_string() + ": " + std::to_string(bytes >> 20) +
               " MB of changelog read");
    }
  }
  void on_dead_letter(const std::string& reason) override {
    if (warned_.fetch_add(1) < 3) log_warning("dead letter: " + reason);
  }

 private:
  observe::Metrics* metrics_;
  bool sink_is_topic_;
  std::atomic<uint64_t> last_bytes_{0};
  std::atomic<int> warned_{0};
};

struct Host::Running {
  std::vector<Stage> stages;
  std::vector<std::unique_ptr<pipeline::Pipeline>> pipelines;

  void drain() {
    // In order: a later stage still takes in what an earlier one's last epoch writes.
    for (auto& pipeline : pipelines) {
      pipeline->drain();
      (void)pipeline->wait().ok();
    }
  }
};

}  // namespace tidemill::solution
