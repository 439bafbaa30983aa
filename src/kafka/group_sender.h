// Sends records outside of transactions, group by group: what comes while one group is under way makes the
// next, so that a broker is asked as often as it can answer, and no more.
//
// librdkafka has one batch of a partition of an idempotent producer under way at a time (it compares a number
// of records with the requests that it may have), and its thread polls without a pause while another one is
// due. On a machine that it shares with the broker, 5,000 records a second then came seconds late. A group
// has one batch of a partition at most.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kafka/producer.h"

namespace tidemill::kafka {

// add(), send() and wait_for_room() by one thread at a time; the rest by any.
class GroupSender {
 public:
  // `options` without a transaction. options.on_delivery is called by a thread of the sender's own.
  // options.queue_bytes is what wait_for_room() goes by.
  static Result<std::unique_ptr<GroupSender>> open(const Connection& connection, ProducerOptions options);
  // Gives up what is under way; nobody hears of it.
  ~GroupSender();
  GroupSender(const GroupSender&) = delete;
  GroupSender& operator=(const GroupSender&) = delete;

  // Copies the record, which goes with the next send(). Errors: kInvalid for one that is larger than the
  // producer takes.
  Status add(const TopicPartition& to, const Record& record, void* opaque);
  void send();
  // Until what waits is less than options.queue_bytes; false: it was more for that long.
  bool wait_for_room(int timeout_ms);

  Error silent(const std::string& what) const { return producer_->silent(what); }

 private:
  struct Item {
    const std::string* topic = nullptr;
    Partition partition;
    int64_t timestamp_ms = 0;
    void* opaque = nullptr;
    size_t at = 0;  // in bytes: key, headers, value
    size_t key_size = 0, headers_size = 0, value_size = 0;
    bool has_key = false, has_value = false;
  };
  struct Block {
    std::string bytes;
    std::vector<Item> items;
    size_t next = 0;  // the first that is not under way
  };

  GroupSender(std::unique_ptr<Producer> producer, ProducerOptions options);
  void run();
  size_t begin_group();
  void hand_over(const Block& block, const Item& item);

  const std::unique_ptr<Producer> producer_;
  const ProducerOptions options_;
  const size_t max_record_bytes_;

  Block filling_;                 // of whoever adds
  std::set<std::string> topics_;  // theirs, too; what items name

  std::mutex mutex_;
  std::condition_variable wake_, room_;
  std::deque<Block> waiting_;
  size_t waiting_bytes_ = 0;  // of those and of the group under way
  std::atomic<bool> stopping_{false};

  std::map<std::pair<const std::string*, int32_t>, size_t> group_;  // bytes of each partition; the thread's
  std::thread thread_;
};

}  // namespace tidemill::kafka
