// Rows that go to Kafka outside of transactions, before the commit that accounts for them: as they come
// (`delivery: at-least-once`), or to an endpoint without transactions. What is sent once is there once where
// the producer is idempotent, and the first of each is in its order; what a crash keeps from being committed
// is sent again by whoever reads it again.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kafka/group_sender.h"

namespace tidemill::serve {

// begin(), add() and send() by one thread, wait() and done() by another.
class KafkaRows {
 public:
  // The rows of one output.
  class Sent {
   private:
    friend class KafkaRows;
    std::atomic<uint64_t> waiting{0};  // for an answer
    std::atomic<bool> done{false};     // nobody asks any more
  };

  // Asks no broker. Errors: Client::open's.
  static Result<std::unique_ptr<KafkaRows>> open(const kafka::Connection& connection, Compression compression,
                                                 bool idempotent);

  Sent* begin();
  // Copies the record, which goes with the next send(). What waits for an answer is bounded by the epochs
  // that are not committed.
  Status add(const TopicPartition& to, const Record& record, Sent* sent);
  void send() { sender_->send(); }
  // Until the brokers have all of them. Errors: kTimedOut, retryable, where they have not after `timeout_ms`;
  // a record was refused, and this object can be used no more.
  Status wait(const Sent& sent, int timeout_ms);
  // `sent` is not used any more, whatever its rows have come to.
  void done(Sent* sent) { sent->done = true; }

 private:
  KafkaRows() = default;

  std::mutex mutex_;
  std::condition_variable answered_;
  std::string refused_;                         // why
  std::vector<std::unique_ptr<Sent>> sent_;     // the sending thread's
  std::unique_ptr<kafka::GroupSender> sender_;  // last: what it calls is still there when it closes
};

}  // namespace tidemill::serve
