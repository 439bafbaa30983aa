// Producer ids, transactions and committed positions, decided by the records of __transactions.
//
// A transaction's way:  kEmpty → kOngoing → kCommitting → (record durable: decided) → kMarking →
// kEmpty. A marker that cannot be written now (disk full) leaves it kPending; finish() goes on.
//
// Locks, in the order in which they may be taken: decision_ (one record at a time) → registry_
// (phases; also under a partition's lock, from enter()). Markers are written with neither held.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "log/partition.h"
#include "log/transaction_records.h"

namespace tidemill::log {

class Coordinator final : public TransactionGate {
 public:
  using Find = std::function<std::shared_ptr<PartitionLog>(const TopicPartition&)>;
  Coordinator(Shared& shared, Find find) : shared_(shared), find_(std::move(find)) {}

  // Reads __transactions, then ends every open transaction of `partitions` as it decided.
  // `may_forget`: a power cut may have taken commit records that readers had seen decide.
  Status recover(std::shared_ptr<PartitionLog> own, bool may_forget,
                 std::span<const std::shared_ptr<PartitionLog>> partitions);

  Result<Producer> init_idempotent(const std::string& name);
  Result<Producer> init_transactional(const std::string& name);
  Status commit(std::span<const TransactionCommit> transactions, std::span<const PositionCommit> positions);
  Status abort(Producer producer);
  std::optional<CommittedPosition> committed_position(const std::string& group, const TopicPartition& source);
  // The topic is gone: so are the positions in it.
  Status forget_topic(const std::string& topic);
  // Writes the markers that could not be written before.
  Status finish_pending();
  // Whether a producer id belongs to a name, so that its sequences are kept.
  bool named(int64_t producer_id) const;

  Status enter(Producer producer, const TopicPartition& tp) override;

 private:
  enum class Phase { kEmpty, kOngoing, kCommitting, kMarking, kPending };
  struct Transaction {
    int16_t epoch = -1;
    Phase phase = Phase::kEmpty;
    bool committed = false;                             // in kMarking and kPending: which markers
    std::set<TopicPartition> partitions;                // touched; while marking: those without a marker
    std::vector<CommittedTransaction::Extent> extents;  // of a decided commit, until its markers stand
  };

  // Needs registry_. Errors: kFenced, kInvalid.
  Result<Transaction*> find_locked(Producer producer);
  // Waits out a thread that writes the producer's markers; writes those that are pending.
  Status settle(int64_t producer_id);
  Status begin_commit(Producer producer, CommittedTransaction* transaction, uint64_t* ticket);
  void revert_commit(Producer producer);
  // Checks, writes the record and updates the state, under decision_. A ticket of 0: there was
  // nothing to record.
  Result<uint64_t> decide(const std::vector<CommittedTransaction>& transactions,
                          std::span<const PositionCommit> positions);
  // Writes the markers of a transaction in kMarking, and leaves it in kEmpty or kPending.
  Status write_markers(int64_t producer_id);

  // These need decision_.
  Status check_decision(const std::vector<CommittedTransaction>& transactions,
                        std::span<const PositionCommit> positions);
  Result<uint64_t> write_record(TransactionBatch& record);
  Status snapshot_if_large();
  Result<int64_t> allocate_id(TransactionBatch& record);
  Status wait_durable(uint64_t ticket);
  // For recovery, before anything else is done.
  void skip_used_ids(std::span<const std::shared_ptr<PartitionLog>> partitions);

  Shared& shared_;
  const Find find_;
  std::shared_ptr<PartitionLog> own_;

  std::mutex decision_;
  TransactionState state_;    // commits stays empty here: registry_ knows what is unfinished
  int64_t next_id_ = 0;       // below state_.next_producer_id: reserved, not yet handed out
  uint64_t last_ticket_ = 0;  // of the last record
  uint64_t last_snapshot_bytes_ = 0;
  bool snapshot_due_ = false;

  mutable std::mutex registry_;
  std::condition_variable phase_changed_;
  std::unordered_map<int64_t, Transaction> transactions_;  // by producer id, transactional ones
  std::set<int64_t> named_ids_;
};

}  // namespace tidemill::log
