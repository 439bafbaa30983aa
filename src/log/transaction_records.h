// What the internal topic __transactions holds, and how: docs/formats/transactions.md.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "event/record_batch.h"
#include "log/log.h"

namespace tidemill::log {

// One producer's part of a durable commit: where its transaction's data stands.
struct CommittedTransaction {
  struct Extent {
    TopicPartition tp;
    Offset first;
    Offset last;
  };
  Producer producer;
  std::vector<Extent> extents;
};

// Ids beyond it are never handed out: a record that says so is damaged.
constexpr int64_t kLastProducerId = int64_t{1} << 62;

// What the records of __transactions add up to.
struct TransactionState {
  using PositionKey = std::pair<std::string, TopicPartition>;  // group, source

  int64_t next_producer_id = 0;  // ids below may be in use
  std::map<std::string, Producer> transactional;
  std::map<std::string, Producer> idempotent;
  std::map<PositionKey, CommittedPosition> positions;
  // Whose markers may be missing in the partitions.
  std::vector<CommittedTransaction> commits;

  // Applies every record of one batch. Errors: kCorrupt.
  Status apply(const BatchHeader& header, std::string_view batch);
};

// Builds one batch of records; what one batch holds is applied as a whole or not at all.
class TransactionBatch {
 public:
  explicit TransactionBatch(int64_t timestamp_ms) : timestamp_ms_(timestamp_ms) {}

  void next_producer_id(int64_t id);
  void producer(const std::string& name, Producer producer, bool transactional);
  void commit(const std::vector<CommittedTransaction>& transactions);
  void position(const std::string& group, const TopicPartition& source, const CommittedPosition& position);
  void forget_topic(const std::string& topic);
  // The whole state; what came before is dropped by readers.
  void snapshot(const TransactionState& state);

  std::string finish();

 private:
  void add(uint8_t kind, const std::string& fields);

  int64_t timestamp_ms_;
  RecordBatchBuilder builder_;
};

}  // namespace tidemill::log
