// A transactional producer; one without transactions that does not double either; and one that may.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "event/position.h"
#include "event/record_batch.h"
#include "kafka/admin.h"
#include "kafka/client.h"

namespace tidemill::kafka {

struct ProducerOptions {
  std::string transactional_id;  // empty: no transactions
  // Without transactions. False: one request of a connection is under way at a time, so that order is kept;
  // what is sent again may be there twice.
  bool idempotent = true;
  int transaction_timeout_ms = 60'000;
  Compression compression = Compression::kNone;
  size_t queue_bytes = 64u << 20;  // without transactions: what may wait for an answer
  double linger_ms = 5;            // without transactions
  bool grouped = false;            // without transactions: what is produced goes when flush() is called
  Properties properties;
  Client::Delivery on_delivery;
};

// One that is larger than the cluster takes.
Error too_large(const TopicPartition& to, const Record& record);

// Used by one thread at a time.
class Producer {
 public:
  static constexpr size_t kBatchBytes = 1'000'000;  // what brokers take, if they are not told otherwise

  // Errors: Client::open's.
  static Result<std::unique_ptr<Producer>> open(const Connection& connection, const ProducerOptions& options);
  ~Producer();

  // Fences every other producer of this transactional id, and waits until its transaction has ended.
  Status init(int timeout_ms);
  Status begin();
  // Copies the record into librdkafka's queue; waits where that is full. Errors: kInvalid for one that is
  // larger than the cluster takes; kTimedOut, retryable, where the queue is still full after a minute.
  // `opaque` is given to on_delivery.
  Status produce(const TopicPartition& to, const Record& record, void* opaque = nullptr) {
    return produce(to, record, opaque, true);
  }
  // In a transaction: without a copy of the value, which must stay until the transaction has ended, and until
  // the producer has where that is not known.
  Status produce_kept(const TopicPartition& to, const Record& record) {
    return produce(to, record, nullptr, false);
  }
  // Adds positions of a group to the transaction.
  struct GroupCommit {
    std::string group;
    GroupOffsets offsets;
  };
  Status send_offsets(const GroupCommit& commit, int timeout_ms);
  // What an end of a transaction came to.
  enum class End {
    kDone,
    kAborted,  // by this call, because it could not be committed: nothing of it is there
    kFenced,   // another producer has this id now
    kUnknown,  // no answer, or none that decides: this producer can be used no more
  };
  // Commits; aborts where the transaction has failed. `why` says what went wrong.
  End commit(int timeout_ms, Error* why);
  // Ends a transaction after `why`, the error of one of the calls above, so that nothing of it is there.
  End abort(int timeout_ms, const Error& why);
  // Waits until everything that was produced is acknowledged. Without transactions.
  Status flush(int timeout_ms);
  // Why nothing is acknowledged, as far as it is known.
  Error silent(const std::string& what) const { return client_->error(what, RD_KAFKA_RESP_ERR__TIMED_OUT); }
  // Calls on_delivery for what was answered. Any thread.
  void poll(int timeout_ms) { api().poll(client_->get(), timeout_ms); }
  // Gives up what is not acknowledged. Any thread.
  void purge();
  // What a record with its key and headers may take, librdkafka's own bytes included.
  size_t max_record_bytes() const;
  // Records that were produced and are not yet acknowledged.
  int pending() const { return api().outq_len(client_->get()); }

 private:
  Producer(std::unique_ptr<Client> client, bool transactional)
      : client_(std::move(client)), transactional_(transactional) {}
  Error failed(const std::string& what, rd_kafka_error_t* error);
  rd_kafka_topic_t* topic(const std::string& name);
  Status produce(const TopicPartition& to, const Record& record, void* opaque, bool copy);
  void count_in(rd_kafka_topic_t* topic, int32_t partition, const Record& record);
  int64_t rest() const;
  void wait_for_whole_batches(int64_t deadline_ns);

  std::unique_ptr<Client> client_;
  const bool transactional_;
  std::map<std::string, rd_kafka_topic_t*> topics_;
  // What the transaction holds, by partition, and where the last record went.
  struct Sent {
    size_t records = 0;
    size_t bytes = 0;
  };
  std::map<std::pair<rd_kafka_topic_t*, int32_t>, Sent> sent_;
  rd_kafka_topic_t* last_topic_ = nullptr;
  int32_t last_partition_ = -1;
  Sent* last_sent_ = nullptr;
  bool fatal_ = false;       // it can be used no more
  bool must_abort_ = false;  // the transaction cannot commit
  bool fenced_ = false;
};

}  // namespace tidemill::kafka
