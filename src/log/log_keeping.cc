// Keeping a log: retention, background syncs, checkpoints, and its orderly end.
#include <algorithm>

#include "base/logging.h"
#include "log/log_impl.h"

namespace tidemill::log {
namespace {

constexpr int64_t kCheckpointIntervalUs = 5'000'000;
constexpr int64_t kExpiryIntervalUs = 600'000'000;
constexpr int64_t kProducerIdleMs = 24LL * 3600 * 1000;

}  // namespace

void LogImpl::hold_retention(const std::string& holder,
                             const std::vector<std::pair<TopicPartition, Offset>>& from) {
  std::lock_guard lock(holds_mutex_);
  if (from.empty()) {
    holds_.erase(holder);
    return;
  }
  auto& held = holds_[holder];
  held.clear();
  for (const auto& [tp, offset] : from) held.insert_or_assign(tp, offset);
}

std::optional<Offset> LogImpl::held(const TopicPartition& tp) const {
  std::lock_guard lock(holds_mutex_);
  std::optional<Offset> smallest;
  for (const auto& [holder, offsets] : holds_) {
    auto found = offsets.find(tp);
    if (found != offsets.end() && (!smallest || found->second < *smallest)) smallest = found->second;
  }
  return smallest;
}

Status LogImpl::delete_records(const TopicPartition& tp, Offset before) {
  TM_ASSIGN(auto partition, need(tp));
  std::lock_guard lock(keeping_mutex_);
  TM_TRY(partition->delete_records(before));
  TM_TRY(save_log_starts());
  return partition->remove_deleted();
}

Status LogImpl::save_log_starts() {
  OffsetMap starts;
  for (const auto& partition : all_partitions()) {
    Offset start = partition->log_start();
    if (start > Offset(0)) starts[partition->id()] = start;
  }
  return write_offset_checkpoint(shared_.files, path(kLogStartName), starts);
}

Status LogImpl::save_recovery_points() {
  OffsetMap points;
  for (const auto& partition : all_partitions()) points[partition->id()] = partition->durable_end();
  if (points == saved_recovery_points_) return {};
  TM_TRY(write_offset_checkpoint(shared_.files, path(kRecoveryPointName), points));
  saved_recovery_points_ = std::move(points);
  return {};
}

// Under kSync only what nobody waits for is left: markers, and appends without wait_durable.
Status LogImpl::sync_in_background() {
  if (shared_.options.durability == Durability::kNone) {
    for (const auto& partition : all_partitions()) {
      if (Status synced = partition->sync_sealed(); !synced.ok()) {
        return shared_.fatal.set(std::move(synced).error());
      }
    }
    return {};
  }
  int64_t now = shared_.clock.wall_us();
  if (now >= last_sync_us_ && now - last_sync_us_ < shared_.options.sync_interval_us) return {};
  TM_TRY(shared_.group.wait(shared_.group.ticket()));
  last_sync_us_ = now;
  return {};
}

// On a full disk this is what makes room: what fails for one partition does not stop the others,
// and files go even where log_start cannot be written (see PartitionLog::remove_deleted).
void LogImpl::retain_all(FirstError& errors) {
  bool raised = false;
  std::vector<std::shared_ptr<PartitionLog>> partitions = all_partitions();
  std::erase_if(partitions,
                [](const auto& partition) { return partition->id().topic == kTransactionsTopic; });
  for (const auto& partition : partitions) {
    errors.note(partition->roll_if_old());
    auto rose = partition->retain(held(partition->id()));
    raised = raised || (rose.ok() && *rose);
    if (!rose.ok()) errors.note(std::move(rose).error());
  }
  if (raised) errors.note(save_log_starts());
  for (const auto& partition : partitions) errors.note(partition->remove_deleted());
}

Status LogImpl::housekeep() {
  TM_TRY(usable());
  std::lock_guard lock(keeping_mutex_);
  FirstError errors;
  retain_all(errors);
  errors.note(coordinator_->finish_pending());
  errors.note(sync_in_background());
  int64_t now = shared_.clock.wall_us();
  if (now < last_checkpoint_us_ || now - last_checkpoint_us_ >= kCheckpointIntervalUs) {
    errors.note(save_recovery_points());
    last_checkpoint_us_ = now;
  }
  if (now < last_expiry_us_ || now - last_expiry_us_ >= kExpiryIntervalUs) {
    for (const auto& partition : all_partitions()) {
      partition->expire_producers(now / 1000 - kProducerIdleMs,
                                  [this](int64_t producer_id) { return coordinator_->named(producer_id); });
    }
    last_expiry_us_ = now;
  }
  return std::move(errors).first();
}

Status LogImpl::close() {
  TM_TRY(usable());
  std::lock_guard admin(admin_mutex_);
  std::lock_guard lock(keeping_mutex_);
  if (Status finished = coordinator_->finish_pending(); !finished.ok()) log_warning(finished.error().message);
  closed_.store(true, std::memory_order_release);
  CleanShutdown clean;
  clean.leader_epoch = shared_.leader_epoch;
  for (const auto& partition : all_partitions()) {
    TM_ASSIGN(CleanShutdown::End end, partition->close());
    clean.ends[partition->id()] = end;
    TM_TRY(shared_.files.sync_directory(path(partition->id().to_string())));
  }
  TM_TRY(save_recovery_points());
  return clean.save(shared_.files, path(kCleanShutdownName));
}

}  // namespace tidemill::log
