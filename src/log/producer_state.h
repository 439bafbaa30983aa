// What one partition knows of its producers: the last batches of each (so that a retry is
// recognised), and the transactions that are open. Not thread-safe: the partition's lock guards it.
//
// Rules, Kafka's own (kafka ProducerAppendInfo): per producer the epoch and the last five batches;
// an exact retry answers the first one's offsets; a lower epoch is fenced; a new epoch starts at
// sequence 0; else sequences follow one another, wrapping from INT32_MAX to 0; a producer without
// state may start anywhere.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/result.h"
#include "event/position.h"
#include "event/record_batch.h"
#include "log/index_files.h"

namespace tidemill::log {

// The sequence `by` after `sequence`.
int32_t advance_sequence(int32_t sequence, int32_t by);

class ProducerStates {
 public:
  static constexpr size_t kWindow = 5;

  struct Batch {
    int32_t last_sequence = -1;
    Offset last_offset;
    int32_t offset_delta = 0;  // last − first offset, and last − first sequence
    int64_t timestamp_ms = -1;
    int32_t first_sequence() const;
    Offset first_offset() const { return Offset(last_offset.value() - offset_delta); }
  };

  // Whether a batch with producer id may be appended. A value: it is a retry of this batch.
  // Errors: kFenced, kInvalid (sequence out of order; plain batch inside an open transaction).
  Result<std::optional<Batch>> check(const BatchHeader& header) const;

  // The batch stands in the log now, `header.base_offset` its first offset. A transactional one
  // opens its producer's transaction. Control batches go to complete().
  void appended(const BatchHeader& header);

  // The marker stands at `marker`: ends the producer's transaction. An aborted one is returned,
  // for the transaction index (last_stable is the caller's).
  std::optional<AbortedTransaction> completed(int64_t producer_id, int16_t producer_epoch, bool commit,
                                              Offset marker, int64_t timestamp_ms);

  struct Open {
    int64_t producer_id = -1;
    int16_t producer_epoch = -1;
    Offset first;
    Offset last;  // of the last batch so far
  };
  std::optional<Open> open_transaction(int64_t producer_id) const;
  std::vector<Open> open_transactions() const;
  // Of the oldest open transaction.
  std::optional<Offset> first_open() const;

  // Calls `each(producer id, its epoch)`.
  void for_each(const std::function<void(int64_t, int16_t)>& each) const;
  std::optional<int32_t> last_sequence(int64_t producer_id, int16_t producer_epoch) const;

  // Forgets producers that appended nothing since `before_ms`, have no open transaction, and that
  // `keep` does not want.
  void expire(int64_t before_ms, const std::function<bool(int64_t)>& keep);

  // Kafka's producer snapshot, with every batch of the window as an entry of its own (oldest
  // first): Kafka reads the last one of each producer.
  std::string encode() const;
  static Result<ProducerStates> decode(const std::string& path, std::string_view bytes);

  size_t size() const { return producers_.size(); }

 private:
  struct Producer {
    int16_t epoch = -1;
    std::array<Batch, kWindow> window;  // oldest first
    uint8_t count = 0;
    int64_t last_timestamp_ms = -1;
    std::optional<Offset> transaction_first;
    Offset transaction_last;

    const Batch* last() const { return count == 0 ? nullptr : &window[count - 1u]; }
    void push(const Batch& batch);
    void raise_epoch(int16_t to);
  };

  std::unordered_map<int64_t, Producer> producers_;
  std::map<Offset, int64_t> open_;  // first offset of each open transaction
};

}  // namespace tidemill::log
