#include "pipeline/committer.h"

#include <algorithm>

#include "base/canary.h"
#include "base/steps.h"

namespace tidemill::pipeline {
namespace {

constexpr int64_t kLookUpUs = 20'000;  // how often a wait looks whether it was abandoned
constexpr int kTooLongTries = 2;       // the first may have been halted, or the store

std::string seconds(int64_t us) {
  if (us < 1'000'000) return std::to_string((us + 999) / 1000) + " ms";
  std::string text = std::to_string(us / 1'000'000) + "." + std::to_string(us / 100'000 % 10);
  return text + " s";
}

}  // namespace

int64_t Backoff::next_us() {
  if (total_us_ >= policy_.give_up_us) return -1;
  wait_us_ = wait_us_ == 0 ? policy_.first_us : std::min(wait_us_ * 2, policy_.longest_us);
  // Half fixed, half random, so that tasks that failed together do not come back together.
  int64_t wait = wait_us_ / 2 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(wait_us_ / 2 + 1)));
  total_us_ += wait;
  return wait;
}

Status Committer::commit(EpochWork& work, const StopSignals& stop) {
  const int64_t begun_ns = parts_.clock->steady_ns();
  Retries retries{Backoff(parts_.retry, *parts_.random), stop};
  if (parts_.changelog != nullptr && !parts_.changelog_in_transaction) {
    for (Status written = write_frames(work); !written.ok(); written = write_frames(work)) {
      if (!written.error().retryable) return written;
      TM_TRY(wait_or_give_up(retries, "changelog: " + written.error().message, written.error()));
    }
  }
  TM_TRY(commit_rows(work, retries));
  commit_step("epoch.committed");

  if (parts_.listener != nullptr) {
    CommitReport report;
    report.task = parts_.task;
    report.partitions = work.request.partitions;
    report.events_in = work.events_in;
    report.bytes_in = work.bytes_in;
    report.rows = work.output->rows();
    report.bytes_out = work.output->bytes();
    report.dead = work.dead;
    report.dropped = work.dropped;
    report.created_us = work.created_us;
    report.enqueued_us = work.enqueued_us;
    report.committed_us = parts_.clock->wall_us();
    report.commit_ns = parts_.clock->steady_ns() - begun_ns;
    parts_.listener->on_commit(report);
  }
  return {};
}

Status Committer::write_frames(EpochWork& work) {
  // Every frame is written before one sync makes all of them durable. A frame that is written twice
  // because the first answer was an error does no harm: recovery takes the last.
  for (const PartitionEpoch& epoch : work.request.partitions) {
    TM_TRY(parts_.changelog->append(epoch.source, epoch.frame));
  }
  commit_step("changelog.frame.written");
  TM_TRY(parts_.changelog->sync());
  commit_step("changelog.frame.durable");
  return {};
}

Status Committer::commit_rows(EpochWork& work, Retries& retries) {
  const StopSignals& stop = retries.stop;
  while (true) {
    Status tried = try_once(work, retries);
    work.time_share = parts_.writer->time_share();
    if (tried.ok() || !tried.error().retryable) return tried;
    if (work.time_share >= 1) ++retries.too_long;
    const bool stops = stop.draining || stop.handing_back || stop.lost || stop.abandoned;
    if (work.divisible && retries.too_long >= kTooLongTries && !stops)
      return external_error(tried.error().message, Code::kTooLong);
    TM_TRY(wait_or_give_up(retries, "sink: " + tried.error().message, tried.error()));
  }
}

Status Committer::try_once(EpochWork& work, Retries& retries) {
  Status committed = parts_.writer->commit(*work.output, work.request);
  if (committed.ok() || committed.error().code != Code::kUnknown) return committed;
  if (canary(Canary::kBlindRetry)) return external_error(committed.error().message, Code::kFailed, true);
  return resolve_unknown(work, committed.error(), retries);
}

Status Committer::resolve_unknown(const EpochWork& work, const Error& why, Retries& retries) {
  std::vector<TopicPartition> sources;
  for (const PartitionEpoch& epoch : work.request.partitions) sources.push_back(epoch.source);
  auto asked = parts_.writer->committed(sources);
  // While the store does not even answer this it is still unknown. Only an answer decides; the same commit is
  // never sent again before it.
  while (!asked.ok()) {
    if (!asked.error().retryable && asked.error().code != Code::kUnknown) return std::move(asked).error();
    Status waited =
        wait_or_give_up(retries, "sink: is the last commit there? " + asked.error().message, asked.error());
    if (!waited.ok()) {
      return std::move(waited).error().within("a commit's answer was lost, and then the store was silent");
    }
    asked = parts_.writer->committed(sources);
  }
  size_t done = 0, absent = 0;
  for (size_t i = 0; i < sources.size(); ++i) {
    const PartitionEpoch& epoch = work.request.partitions[i];
    const Committed& held = (*asked)[i];
    if (held.position == epoch.next && held.epoch == epoch.epoch && held.incarnation == epoch.owner) ++done;
    if (held.position == epoch.expected && held.epoch < epoch.epoch) ++absent;
  }
  if (done == sources.size()) return {};
  if (absent == sources.size()) {
    Error again = why;
    again.code = Code::kFailed;
    again.retryable = true;
    return again;
  }
  return external_error("after a commit whose answer was lost the sink holds positions that are not ours",
                        Code::kFenced);
}

Status Committer::wait_or_give_up(Retries& retries, const std::string& what, const Error& why) {
  int64_t wait = retries.backoff.next_us();
  if (wait < 0) {
    Error error = why;
    error.retryable = false;
    return std::move(error).within("gave up after " + seconds(parts_.retry.give_up_us) + " of retries");
  }
  if (parts_.listener != nullptr) parts_.listener->on_retry(what + "; trying again in " + seconds(wait));
  for (; wait > 0; wait -= kLookUpUs) {
    const bool in_haste = retries.stop.draining || retries.stop.handing_back;
    const bool drained = in_haste && retries.draining_us >= parts_.retry.drain_us;
    if (retries.stop.abandoned || retries.stop.lost || drained) {
      return Error{Domain::kUser, Code::kStopped, false,
                   "stopped while it was tried again, nothing is lost: " + why.message};
    }
    const int64_t nap_us = std::min(wait, kLookUpUs);
    parts_.clock->sleep_us(nap_us);
    if (in_haste) retries.draining_us += nap_us;
  }
  return {};
}

}  // namespace tidemill::pipeline
