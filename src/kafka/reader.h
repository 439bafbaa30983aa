// Reads partitions, as batches: whole polls of librdkafka's, nothing copied.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "event/batch.h"
#include "kafka/client.h"

namespace tidemill::kafka {

// Membership of a consumer group, which says what is read.
struct Membership {
  std::string topic;  // or a pattern (topic_pattern.h)
  enum class Protocol {
    kClassic,   // cooperative-sticky, KIP-429
    kConsumer,  // KIP-848; the session's length is the broker's
  } protocol = Protocol::kClassic;
  int session_timeout_ms = 10'000;
  int heartbeat_ms = 300;
  std::string instance;  // not empty: a static member (KIP-345), which keeps its partitions while it is away
};

// What the group asks of a member.
struct GroupChange {
  enum Kind {
    kAssigned,  // answer with assign() or unassign()
    kRevoked,   // answer with unassign(), of exactly these; they may be read and committed until then
    kLost,      // the same, but somebody else has them by now
  } kind;
  std::vector<TopicPartition> partitions;
};

struct ReaderOptions {
  std::string group = "tidemill";
  std::optional<Membership> membership;  // else the caller says what is read
  bool committed_only = true;            // else events of open and aborted transactions too
  size_t queue_bytes = 24u << 20;        // fetched ahead, of all partitions together
  int fetch_wait_ms = 100;               // how long a broker waits for fetch_min_bytes to come together
  size_t batch_bytes = SIZE_MAX;         // about; a poll gives more of a partition as several batches
  Properties properties;
};

// Used by one thread.
class Reader {
 public:
  // Errors: Client::open's.
  static Result<std::unique_ptr<Reader>> open(const Connection& connection, ReaderOptions options);
  ~Reader();

  // Adds partitions, or moves them, to be read from a position on. A position with a leader epoch is checked
  // against the log: what was lost since then stops the reading.
  Status assign(const std::vector<std::pair<TopicPartition, Position>>& partitions);
  // No more of them is read. A member that the group has not asked to give them up keeps them, unread.
  void unassign(const std::vector<TopicPartition>& partitions);
  // Where it reads on, of each assigned partition.
  std::vector<std::pair<TopicPartition, Position>> positions() const;
  // At its end a static member gives its place up too, instead of keeping it for as long as its session. Not
  // under KIP-848's protocol, where librdkafka keeps it.
  void leave_for_good() { for_good_ = true; }
  // What the group asked since the last call, in its order. Each is answered before the next poll.
  std::vector<GroupChange> take_changes();

  struct Limits {
    size_t max_events = SIZE_MAX;
    size_t max_bytes = 4u << 20;  // about
    int64_t timeout_us = 0;       // how long to wait where nothing is there
  };
  // Batches in offset order per partition; one without records only moves the end. Errors: an offset that is
  // not there (kOutOfRange), a topic that is gone, rights; retryable: no broker can be reached. kExists: the
  // place of this static member is still taken, by the process before or by its own request; a new reader may
  // get it later.
  Result<std::vector<BatchPtr>> poll(const Limits& limits);

  // Tells the group how far its partitions are processed, for whoever looks at its lag; waits for no answer.
  void tell(const std::vector<std::pair<TopicPartition, Position>>& positions);
  // Every assigned partition was read to its end.
  bool at_end() const;
  // This one was, as far as the last fetch saw.
  bool at_end(const TopicPartition& tp) const {
    auto found = assigned_.find(tp);
    return found != assigned_.end() && read_to_end(*found);
  }
  // The last poll took everything that had been fetched, and of every partition something was.
  bool idle() const;
  // Events up to the end that the last fetch saw; -1: unknown.
  int64_t lag(const TopicPartition& tp, Offset from) const;
  Client& client() { return *client_; }
  // By which positions can be committed as this member (Members::find); empty: it is none.
  const std::string& member_token() const { return token_; }

 private:
  struct Assigned {
    Position next;
    bool at_end = false;
    bool heard = false;  // anything came since it was assigned
  };
  struct Kept;
  Reader(std::shared_ptr<Client> client, std::unique_ptr<Reader*> self, bool member, size_t batch_bytes);
  bool read_to_end(const std::pair<const TopicPartition, Assigned>& one) const;
  static void on_rebalance(rd_kafka_t*, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list,
                           void* self);
  Status join(const std::string& topic);
  void leave();
  Status give(const std::vector<std::pair<TopicPartition, Position>>& partitions);
  Status take_back(const std::vector<TopicPartition>& partitions);
  Status take(rd_kafka_message_t* message, const std::shared_ptr<Kept>& kept);
  Assigned* find(const rd_kafka_message_t* message);
  Status check_reachable();
  Status assign_all();

  std::shared_ptr<Client> client_;
  rd_kafka_queue_t* queue_ = nullptr;
  std::map<TopicPartition, Assigned> assigned_;
  const size_t batch_bytes_;
  size_t event_bytes_ = 512;  // about
  int64_t probe_ns_ = 0;      // not before
  bool drained_ = false;
  std::optional<Error> failed_;  // of a poll that had events to give
  // Of a member.
  std::unique_ptr<Reader*> self_;  // what the client's callback is given
  const bool member_;
  bool by_pattern_ = false;  // of topics
  std::string token_;
  bool joined_ = false;
  bool ever_assigned_ = false;  // anything, by the group
  bool leaving_ = false;
  bool for_good_ = false;
  bool gave_back_ = false;  // everything, while leaving
  std::vector<GroupChange> changes_;
  std::set<TopicPartition> given_;    // the client fetches them, or is told to pause
  std::set<TopicPartition> revoked_;  // to be given back at the next unassign()

  // Of the poll under way: the records of a partition, in the order in which partitions came up.
  struct Filling {
    TopicPartition tp;
    Assigned* assigned = nullptr;
    const rd_kafka_topic_t* topic = nullptr;
    Offset first;
    std::vector<Record> records;
    size_t bytes = 0;
    TimestampType timestamp_type = TimestampType::kCreateTime;
    Position end;
  };
  std::vector<Filling> filling_;
  size_t polled_bytes_ = 0;
  std::vector<rd_kafka_message_t*> messages_;
};

// Reads a partition from an offset to another, committed events only; both ends as they are, `to` exclusive.
// Waits for transactions that are open before `to`. Stops at the first error of `each`.
Status read_range(const Connection& connection, const TopicPartition& tp, Offset from, Offset to,
                  const std::function<Status(const Record&)>& each);

}  // namespace tidemill::kafka
