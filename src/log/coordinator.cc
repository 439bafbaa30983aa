#include "log/coordinator.h"

#include <algorithm>
#include <climits>

#include "base/logging.h"
#include "base/steps.h"

namespace tidemill::log {
namespace {

constexpr int64_t kIdBlock = 1000;  // producer ids reserved by one record
constexpr int16_t kLastEpoch = INT16_MAX - 1;
constexpr uint64_t kSnapshotBytes = 16u << 20;  // of __transactions, at which a snapshot replaces it

Error fenced(Producer producer, const std::string& why) {
  return user_error(
      "producer " + std::to_string(producer.id) + " epoch " + std::to_string(producer.epoch) + ": " + why,
      Code::kFenced);
}

std::string describe(const std::optional<Position>& position) {
  if (!position) return "none";
  return "offset " + std::to_string(position->offset.value()) + " (leader epoch " +
         std::to_string(position->leader_epoch.value()) + ")";
}

}  // namespace

// ---- producers

Result<int64_t> Coordinator::allocate_id(TransactionBatch& record) {
  if (next_id_ == state_.next_producer_id) {
    state_.next_producer_id += kIdBlock;
    record.next_producer_id(state_.next_producer_id);
  }
  return next_id_++;
}

Result<Producer> Coordinator::init_idempotent(const std::string& name) {
  Producer producer;
  uint64_t ticket = 0;
  {
    std::lock_guard lock(decision_);
    TM_TRY(shared_.fatal.check());
    auto known = state_.idempotent.find(name);
    if (!name.empty() && known != state_.idempotent.end()) return known->second;
    TM_TRY(snapshot_if_large());
    int64_t reserved_before = state_.next_producer_id;
    TransactionBatch record(shared_.now_ms());
    TM_ASSIGN(producer.id, allocate_id(record));
    producer.epoch = 0;
    if (!name.empty()) record.producer(name, producer, false);
    if (!name.empty() || state_.next_producer_id != reserved_before) {
      auto written = write_record(record);
      if (!written.ok()) {
        next_id_ = producer.id;
        state_.next_producer_id = reserved_before;
        return std::move(written).error();
      }
      ticket = *written;
    }
    if (!name.empty()) {
      state_.idempotent[name] = producer;
      std::lock_guard registry(registry_);
      named_ids_.insert(producer.id);
    }
  }
  // A name is synced under every durability: a producer that lost its id could not tell a retry from an
  // event.
  if (ticket > 0 && !name.empty()) TM_TRY(shared_.group.wait(ticket));
  if (ticket > 0) TM_TRY(wait_durable(ticket));
  return producer;
}

Result<Producer> Coordinator::init_transactional(const std::string& name) {
  if (name.empty()) return user_error("init_transactional: the transactional id is empty");
  Producer next{-1, 0};
  std::optional<Producer> old;
  uint64_t ticket = 0;
  {
    std::lock_guard lock(decision_);
    TM_TRY(shared_.fatal.check());
    auto known = state_.transactional.find(name);
    if (known != state_.transactional.end()) {
      old = known->second;
      TM_TRY(settle(old->id));
    }
    TM_TRY(snapshot_if_large());
    int64_t reserved_before = state_.next_producer_id;
    TransactionBatch record(shared_.now_ms());
    if (old && old->epoch < kLastEpoch) {
      next = {old->id, static_cast<int16_t>(old->epoch + 1)};
    } else {
      TM_ASSIGN(next.id, allocate_id(record));
    }
    record.producer(name, next, true);
    auto written = write_record(record);
    if (!written.ok()) {
      if (!old || next.id != old->id) next_id_ = next.id;
      state_.next_producer_id = reserved_before;
      return std::move(written).error();
    }
    ticket = *written;
    state_.transactional[name] = next;
    std::lock_guard registry(registry_);
    if (old) {
      Transaction& transaction = transactions_[old->id];
      transaction.epoch = next.id == old->id ? next.epoch : INT16_MAX;
      transaction.committed = false;
      transaction.phase = Phase::kMarking;
    }
    transactions_[next.id].epoch = next.epoch;
    named_ids_.insert(next.id);
  }
  if (Status durable = wait_durable(ticket); !durable.ok()) {
    phase_changed_.notify_all();
    return std::move(durable).error();
  }
  if (old) TM_TRY(write_markers(old->id));
  return next;
}

bool Coordinator::named(int64_t producer_id) const {
  std::lock_guard lock(registry_);
  return named_ids_.contains(producer_id);
}

// ---- transactions

Result<Coordinator::Transaction*> Coordinator::find_locked(Producer producer) {
  auto found = transactions_.find(producer.id);
  if (found == transactions_.end()) {
    return user_error("producer " + std::to_string(producer.id) +
                      ": no transactional id has this producer id");
  }
  int16_t epoch = found->second.epoch;
  if (producer.epoch < epoch)
    return fenced(producer, "a producer with epoch " + std::to_string(epoch) + " took over");
  if (producer.epoch > epoch) {
    return user_error("producer " + std::to_string(producer.id) + ": its epoch is " + std::to_string(epoch) +
                      ", not " + std::to_string(producer.epoch));
  }
  return &found->second;
}

Status Coordinator::enter(Producer producer, const TopicPartition& tp) {
  std::lock_guard lock(registry_);
  TM_ASSIGN(Transaction * transaction, find_locked(producer));
  switch (transaction->phase) {
    case Phase::kEmpty:
    case Phase::kOngoing:
      break;
    case Phase::kPending:
      return external_error("the markers of the producer's last transaction could not be written yet",
                            Code::kDiskFull, true);
    case Phase::kCommitting:
    case Phase::kMarking:
      return user_error("producer " + std::to_string(producer.id) +
                        ": appends while its transaction is being ended");
  }
  transaction->phase = Phase::kOngoing;
  transaction->partitions.insert(tp);
  return {};
}

Status Coordinator::settle(int64_t producer_id) {
  {
    std::unique_lock lock(registry_);
    Transaction& transaction = transactions_[producer_id];
    while (transaction.phase == Phase::kMarking) {
      TM_TRY(shared_.fatal.check());
      phase_changed_.wait(lock);
    }
    if (transaction.phase != Phase::kPending) return {};
    transaction.phase = Phase::kMarking;
  }
  return write_markers(producer_id);
}

Status Coordinator::begin_commit(Producer producer, CommittedTransaction* part, uint64_t* ticket) {
  std::set<TopicPartition> partitions;
  {
    std::unique_lock lock(registry_);
    TM_ASSIGN(Transaction * transaction, find_locked(producer));
    if (transaction->phase == Phase::kPending) {
      lock.unlock();
      TM_TRY(settle(producer.id));
      lock.lock();
      TM_ASSIGN(transaction, find_locked(producer));
    }
    if (transaction->phase != Phase::kEmpty && transaction->phase != Phase::kOngoing) {
      return user_error("producer " + std::to_string(producer.id) +
                        ": its transaction is already being ended");
    }
    transaction->phase = Phase::kCommitting;
    partitions = transaction->partitions;
  }
  part->producer = producer;
  for (const TopicPartition& tp : partitions) {
    // Taking the partition's lock waits for an append that entered before the phase changed.
    std::shared_ptr<PartitionLog> partition = find_(tp);
    auto extent = partition ? partition->open_transaction(producer.id) : std::nullopt;
    if (!extent) continue;  // nothing was written there after all, or the topic is gone
    part->extents.push_back({tp, extent->open.first, extent->open.last});
    *ticket = std::max(*ticket, extent->ticket);
  }
  return {};
}

void Coordinator::revert_commit(Producer producer) {
  std::lock_guard lock(registry_);
  Transaction& transaction = transactions_[producer.id];
  if (transaction.epoch == producer.epoch && transaction.phase == Phase::kCommitting) {
    transaction.phase = Phase::kOngoing;
  }
}

Status Coordinator::check_decision(const std::vector<CommittedTransaction>& transactions,
                                   std::span<const PositionCommit> positions) {
  {
    std::lock_guard lock(registry_);
    for (const CommittedTransaction& part : transactions) {
      TM_ASSIGN(Transaction * transaction, find_locked(part.producer));
      TM_CHECK(transaction->phase == Phase::kCommitting);
    }
  }
  std::set<TransactionState::PositionKey> seen;
  for (const PositionCommit& commit : positions) {
    if (!seen.insert({commit.group, commit.source}).second) {
      return user_error("commit: two positions of group " + commit.group + " in " +
                        commit.source.to_string());
    }
    auto found = state_.positions.find({commit.group, commit.source});
    std::optional<Position> now;
    if (found != state_.positions.end()) now = found->second.position;
    if (now != commit.expected) {
      return user_error("commit: group " + commit.group + " in " + commit.source.to_string() + " stands at " +
                            describe(now) + ", not at " + describe(commit.expected) +
                            ": another owner committed",
                        Code::kFenced);
    }
  }
  return {};
}

Result<uint64_t> Coordinator::decide(const std::vector<CommittedTransaction>& transactions,
                                     std::span<const PositionCommit> positions) {
  std::lock_guard lock(decision_);
  TM_TRY(check_decision(transactions, positions));
  TransactionBatch record(shared_.now_ms());
  std::vector<CommittedTransaction> with_data;
  for (const CommittedTransaction& part : transactions) {
    if (!part.extents.empty()) with_data.push_back(part);
  }
  uint64_t ticket = 0;
  if (!with_data.empty() || !positions.empty()) {
    TM_TRY(snapshot_if_large());
    if (!with_data.empty()) record.commit(with_data);
    for (const PositionCommit& commit : positions) record.position(commit.group, commit.source, commit.next);
    TM_ASSIGN(ticket, write_record(record));
    for (const PositionCommit& commit : positions)
      state_.positions[{commit.group, commit.source}] = commit.next;
  }
  std::lock_guard registry(registry_);
  for (const CommittedTransaction& part : transactions) {
    Transaction& transaction = transactions_[part.producer.id];
    transaction.phase = Phase::kMarking;
    transaction.committed = true;
    transaction.extents = part.extents;
  }
  return ticket;
}

Status Coordinator::commit(std::span<const TransactionCommit> transactions,
                           std::span<const PositionCommit> positions) {
  TM_TRY(shared_.fatal.check());
  std::vector<CommittedTransaction> parts(transactions.size());
  size_t begun = 0;
  uint64_t data_ticket = 0;
  auto give_up = [&](Error error) {
    for (size_t i = 0; i < begun; ++i) revert_commit(transactions[i].producer);
    return error;
  };
  for (; begun < transactions.size(); ++begun) {
    Status ready = begin_commit(transactions[begun].producer, &parts[begun], &data_ticket);
    if (!ready.ok()) return give_up(std::move(ready).error());
  }
  commit_step("log.txn.data.written");
  if (data_ticket > 0) {
    if (Status durable = wait_durable(data_ticket); !durable.ok()) return give_up(std::move(durable).error());
  }
  commit_step("log.txn.data.durable");

  auto unknown = [&](Error error) {
    phase_changed_.notify_all();
    return external_error("commit: whether it is durable is unknown: " + error.message, Code::kUnknown);
  };
  auto ticket = decide(parts, positions);
  if (!ticket.ok()) {
    // A record that was refused was also cut again, unless that failed and ended the log.
    if (!shared_.fatal.check().ok()) return unknown(std::move(ticket).error());
    return give_up(std::move(ticket).error());
  }
  commit_step("log.txn.record.written");
  if (*ticket > 0) {
    if (Status durable = wait_durable(*ticket); !durable.ok()) return unknown(std::move(durable).error());
  }
  commit_step("log.txn.record.durable");
  for (const CommittedTransaction& part : parts) {
    // Decided: a marker that cannot be written now is written later, by housekeeping or recovery.
    Status marked = write_markers(part.producer.id);
    if (!marked.ok() && shared_.fatal.check().ok()) {
      log_warning("commit marker of producer " + std::to_string(part.producer.id) +
                  " is delayed: " + marked.error().message);
    }
  }
  commit_step("log.txn.done");
  return {};
}

Status Coordinator::abort(Producer producer) {
  TM_TRY(shared_.fatal.check());
  {
    std::lock_guard lock(registry_);
    TM_TRY(find_locked(producer));
  }
  TM_TRY(settle(producer.id));
  {
    std::lock_guard lock(registry_);
    TM_ASSIGN(Transaction * transaction, find_locked(producer));
    if (transaction->phase == Phase::kEmpty) return {};
    if (transaction->phase != Phase::kOngoing) {
      return user_error("producer " + std::to_string(producer.id) +
                        ": its transaction is already being ended");
    }
    transaction->phase = Phase::kMarking;
    transaction->committed = false;
  }
  return write_markers(producer.id);
}

Status Coordinator::write_markers(int64_t producer_id) {
  Producer producer{producer_id, -1};
  bool committed = false;
  std::set<TopicPartition> partitions;
  {
    std::lock_guard lock(registry_);
    Transaction& transaction = transactions_[producer_id];
    TM_CHECK(transaction.phase == Phase::kMarking);
    producer.epoch = transaction.epoch;
    committed = transaction.committed;
    partitions = transaction.partitions;
  }
  Status result;
  bool first = true;
  while (!partitions.empty()) {
    if (std::shared_ptr<PartitionLog> partition = find_(*partitions.begin())) {
      auto marked = partition->append_marker(producer, committed);
      if (!marked.ok()) {
        result = std::move(marked).error();
        break;
      }
    }
    partitions.erase(partitions.begin());
    if (std::exchange(first, false) && committed) commit_step("log.txn.marker.written");
  }
  std::lock_guard lock(registry_);
  Transaction& transaction = transactions_[producer_id];
  transaction.phase = partitions.empty() ? Phase::kEmpty : Phase::kPending;
  if (partitions.empty()) transaction.extents.clear();
  transaction.partitions = std::move(partitions);
  phase_changed_.notify_all();
  return result;
}

Status Coordinator::finish_pending() {
  std::vector<int64_t> pending;
  {
    std::lock_guard lock(registry_);
    for (auto& [id, transaction] : transactions_) {
      if (transaction.phase == Phase::kPending) pending.push_back(id);
    }
  }
  for (int64_t id : pending) TM_TRY(settle(id));
  return {};
}

// ---- positions

std::optional<CommittedPosition> Coordinator::committed_position(const std::string& group,
                                                                 const TopicPartition& source) {
  uint64_t ticket = 0;
  std::optional<CommittedPosition> position;
  {
    std::lock_guard lock(decision_);
    auto found = state_.positions.find({group, source});
    if (found != state_.positions.end()) position = found->second;
    ticket = last_ticket_;
  }
  // What is told must stay true after a crash. After a failed sync nothing does; every other call says so.
  Status durable = wait_durable(ticket);
  static_cast<void>(durable.ok());
  return position;
}

Status Coordinator::forget_topic(const std::string& topic) {
  uint64_t ticket = 0;
  {
    std::lock_guard lock(decision_);
    TransactionBatch record(shared_.now_ms());
    record.forget_topic(topic);
    TM_ASSIGN(ticket, write_record(record));
    std::erase_if(state_.positions, [&](const auto& entry) { return entry.first.second.topic == topic; });
  }
  return wait_durable(ticket);
}

// ---- records

Status Coordinator::wait_durable(uint64_t ticket) {
  if (!shared_.sync_mode()) return shared_.fatal.check();
  TM_TRY(shared_.group.wait(ticket));
  return {};
}

Result<uint64_t> Coordinator::write_record(TransactionBatch& record) {
  std::string batch = record.finish();
  TM_ASSIGN(Appended appended, own_->append_own(batch));
  last_ticket_ = appended.sync_ticket;
  return last_ticket_;
}

// Bounds __transactions: a new segment begins with the whole state, then the older ones go.
Status Coordinator::snapshot_if_large() {
  uint64_t limit =
      std::max(std::min(kSnapshotBytes, shared_.options.segment_bytes), 2 * last_snapshot_bytes_);
  if (own_->size_bytes() < limit && !snapshot_due_) return {};
  TransactionState whole = state_;
  {
    // Before the sync: whoever is finished now has written its markers, and the sync covers them.
    std::lock_guard lock(registry_);
    for (const auto& [id, transaction] : transactions_) {
      if (transaction.phase == Phase::kEmpty || !transaction.committed || transaction.extents.empty())
        continue;
      if (transaction.phase != Phase::kMarking && transaction.phase != Phase::kPending) continue;
      whole.commits.push_back({{id, transaction.epoch}, transaction.extents});
    }
  }
  TM_TRY(shared_.group.wait(shared_.group.ticket()));
  snapshot_due_ = true;
  TM_TRY(own_->roll());
  TransactionBatch record(shared_.now_ms());
  record.snapshot(whole);
  std::string batch = record.finish();
  TM_ASSIGN(Appended appended, own_->append_own(batch));
  TM_TRY(shared_.group.wait(appended.sync_ticket));
  snapshot_due_ = false;
  last_snapshot_bytes_ = batch.size();
  TM_TRY(own_->delete_records(appended.first));
  return own_->remove_deleted();
}

// ---- recovery

// Under weak durability a power cut may lose records here and keep the batches that producers wrote
// under them. An id or epoch handed out again would have its new batches taken for retries of the old.
void Coordinator::skip_used_ids(std::span<const std::shared_ptr<PartitionLog>> partitions) {
  std::unordered_map<int64_t, int16_t> used;
  for (const auto& partition : partitions) {
    partition->for_each_producer([&](int64_t id, int16_t epoch) {
      // Only damage, or a foreign segment, has ids that no allocation reaches: none of ours can meet them.
      if (id < kLastProducerId) state_.next_producer_id = std::max(state_.next_producer_id, id + 1);
      auto [known, fresh] = used.try_emplace(id, epoch);
      if (!fresh) known->second = std::max(known->second, epoch);
    });
  }
  for (auto& [name, producer] : state_.transactional) {
    auto known = used.find(producer.id);
    if (known != used.end()) producer.epoch = std::max(producer.epoch, known->second);
  }
}

Status Coordinator::recover(std::shared_ptr<PartitionLog> own, bool may_forget,
                            std::span<const std::shared_ptr<PartitionLog>> partitions) {
  own_ = std::move(own);
  TM_TRY(own_->replay([&](const BatchHeader& header, std::string_view batch) {
    Status applied = state_.apply(header, batch);
    if (applied.ok()) return applied;
    return Status(std::move(applied).error().within(own_->id().to_string()));
  }));
  std::map<std::pair<Producer, TopicPartition>, std::vector<CommittedTransaction::Extent>> decided;
  for (const CommittedTransaction& commit : state_.commits) {
    for (const auto& extent : commit.extents) decided[{commit.producer, extent.tp}].push_back(extent);
  }
  state_.commits.clear();
  for (const auto& partition : partitions) {
    Offset end = partition->info().log_end;
    std::vector<std::pair<Producer, bool>> ends;
    std::optional<Offset> doubtful;
    for (const ProducerStates::Open& open : partition->open_transactions()) {
      auto found = decided.find({{open.producer_id, open.producer_epoch}, partition->id()});
      bool committed = found != decided.end() &&
                       std::any_of(found->second.begin(), found->second.end(), [&](const auto& extent) {
                         return extent.first <= open.first && open.first <= extent.last;
                       });
      if (!committed && may_forget) doubtful = std::min(doubtful.value_or(open.first), open.first);
      ends.push_back({{open.producer_id, open.producer_epoch}, committed});
    }
    if (doubtful) TM_TRY(partition->doubt_from(*doubtful));
    for (const auto& [producer, committed] : ends) TM_TRY(partition->append_marker(producer, committed));
    for (const auto& [key, extents] : decided) {
      if (key.second != partition->id() || extents.back().last < end) continue;
      log_warning(key.second.to_string() + ": offsets up to " + std::to_string(extents.back().last.value()) +
                  " were committed, but the log ends at " + std::to_string(end.value()) +
                  ": a power cut or a damaged disk lost them");
    }
  }
  skip_used_ids(partitions);
  next_id_ = state_.next_producer_id;
  std::lock_guard lock(registry_);
  for (const auto& [name, producer] : state_.transactional) {
    transactions_[producer.id].epoch = producer.epoch;
    named_ids_.insert(producer.id);
  }
  for (const auto& [name, producer] : state_.idempotent) named_ids_.insert(producer.id);
  return {};
}

}  // namespace tidemill::log
