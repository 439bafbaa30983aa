#include "solution/stage_observer.h"

#include <string>

#include "base/logging.h"

namespace tidemill::solution {

void StageObserver::on_commit(const pipeline::CommitReport& report) {
  if (metrics_ == nullptr) return;
  observe::Commit commit;
  commit.events_in = report.events_in;
  commit.bytes_in = report.bytes_in;
  commit.dead_letters = report.dead;
  commit.dropped = report.dropped;
  commit.epochs = report.partitions.size();
  commit.committed_us = report.committed_us;
  commit.took_us = report.commit_ns / 1000;
  if (last_) {
    commit.rows = report.rows;
    commit.bytes = report.bytes_out;
    commit.created_us = report.created_us;
    commit.enqueued_us = report.enqueued_us;
  }
  metrics_->on_commit(commit);
  if (into_topic_) metrics_->on_incoming(report.rows, report.bytes_out);
}

void StageObserver::on_retry(const std::string& what) {
  if (metrics_ != nullptr) metrics_->on_retry();
  log_warning(what);
}

void StageObserver::on_restore(const TopicPartition& source, uint64_t changelog_bytes) {
  // A line for every 64 MB of changelog read: long restores show that they move.
  if ((changelog_bytes >> 26) != (last_bytes_.exchange(changelog_bytes) >> 26)) {
    log_info("restoring the state of " + source.to_string() + ": " + std::to_string(changelog_bytes >> 20) +
             " MB of changelog read");
  }
}

void StageObserver::on_dead_letter(const std::string& reason) {
  if (warned_.fetch_add(1) < 3) log_warning("dead letter: " + reason);
}

}  // namespace tidemill::solution
