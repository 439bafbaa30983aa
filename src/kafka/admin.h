// What a cluster is asked besides reading and writing: topics, offsets, groups' positions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "event/position.h"
#include "event/record_batch.h"
#include "kafka/client.h"

namespace tidemill::kafka {

struct NewTopic {
  std::string name;
  int32_t partitions = 1;
  int32_t replication = -1;  // -1: the cluster's default
  Properties configs;        // retention.ms …
};

struct TopicDescription {
  int32_t partitions = 0;
  TimestampType timestamp_type = TimestampType::kCreateTime;
};

// What a topic takes.
struct TopicLimits {
  size_t bytes = 0;  // of a batch; more than that the client does not send either
  // How far a record's time may be behind and ahead of the broker's clock; INT64_MAX: as far as it likes.
  int64_t behind_ms = INT64_MAX, ahead_ms = INT64_MAX;
};

// Where in a partition.
struct OffsetQuery {
  enum Kind {
    kEarliest,
    kEnd,        // the high watermark
    kStableEnd,  // behind the last event that read_committed readers see
    kTime,       // the first event of this time or later; where there is none, the high watermark
  } kind = kEarliest;
  int64_t time_ms = 0;
};

struct GroupOffset {
  Position position;
  std::string metadata;
};
using GroupOffsets = std::vector<std::pair<TopicPartition, GroupOffset>>;

// Thread-safe. Every call waits at most `timeout`, and says what it waited for.
class Admin {
 public:
  static Result<std::unique_ptr<Admin>> open(const Connection& connection, int timeout_ms = 30'000);

  // Which cluster this is, however it is reached.
  Result<std::string> cluster_id();
  // Creates the topic where it is missing, and returns when it can be used. One that exists must have as many
  // partitions: kInvalid else.
  Status create_topic(const NewTopic& topic);
  // The same, but for the number of an existing one: that is returned.
  Result<int32_t> ensure_topic(const NewTopic& topic);
  // Gives an existing topic more partitions, up to so many in all; where it has them, nothing. Returns when
  // they can be used.
  Status grow_topic(const std::string& name, int32_t partitions);
  Status delete_topic(const std::string& name);
  // Errors: kNotFound, naming the topics that there are.
  Result<TopicDescription> describe(const std::string& topic);
  // The topic's settings by name, as they hold there, the cluster's defaults with them. Errors: the user may
  // not see them, or the endpoint tells none.
  Result<std::map<std::string, std::string>> settings(const std::string& topic);
  // Of one of the brokers; empty where it has none of that name. Errors: as settings().
  Result<std::string> broker_setting(const std::string& name);
  // As far as somebody tells; else the client's own. Errors: retryable ones only.
  Result<TopicLimits> limits(const std::string& topic);
  // Partitions of the topic; 0: there is none.
  Result<int32_t> partition_count(const std::string& topic);
  // The same, of this topic alone, for whoever asks again and again. Its request has a second; where no
  // broker answers at all, it waits five more.
  Result<int32_t> partitions_now(const std::string& topic);
  // The topics that match (topic_pattern.h), with their partitions.
  Result<std::map<std::string, int32_t>> matching(const std::string& pattern);
  // In the order asked for.
  Result<std::vector<Position>> offsets(const std::vector<TopicPartition>& partitions,
                                        const OffsetQuery& query);
  // Deletes the events before an offset.
  Status delete_before(const TopicPartition& partition, Offset offset);
  // What a group has committed, in the order asked for. Waits while transactions that are not decided hold
  // such positions; after `patience_ms` what was committed before them is given where `else_former`, and else
  // an error.
  Result<std::vector<std::optional<GroupOffset>>> group_offsets(const std::string& group,
                                                                const std::vector<TopicPartition>& partitions,
                                                                int patience_ms = 60'000,
                                                                bool else_former = false);
  // Commits positions for a group that has no members, as commit_positions().
  Status commit_offsets(const std::string& group, const GroupOffsets& offsets, int timeout_ms);
  const std::string& address() const { return client_->address(); }

 private:
  Admin(Connection connection, std::unique_ptr<Client> client, int timeout_ms)
      : connection_(std::move(connection)), client_(std::move(client)), timeout_ms_(timeout_ms) {}
  using Ask = std::function<void(const rd_kafka_AdminOptions_t*, rd_kafka_queue_t*)>;
  using Take = std::function<Status(rd_kafka_event_t*)>;
  // `isolation`: of offsets; -1: it does not matter. `timeout_ms`: instead of timeout_ms_.
  Status request(const std::string& what, rd_kafka_admin_op_t operation, int isolation, const Ask& ask,
                 const Take& take, std::optional<int> timeout_ms = std::nullopt);
  // A request to partitions' leaders, until they are there: a new topic has them a moment later. librdkafka
  // keeps to those that it knows until it is told to look again, which is done here where they have changed.
  Status request_leaders(const std::function<Status(rd_kafka_resp_err_t* of_a_partition)>& ask);
  Result<std::map<std::string, std::string>> settings_of(const std::string& what,
                                                         rd_kafka_ResourceType_t type,
                                                         const std::string& name);
  Result<int32_t> known_partitions(const std::string& topic, int32_t at_least);
  Result<Client*> group_client(const std::string& group, bool stable);

  const Connection connection_;
  std::unique_ptr<Client> client_;
  int timeout_ms_;
  // Clients that read positions, by group and whether only those that are decided. (librdkafka 2.15.1's
  // request for any group's positions ends the process where a coordinator has moved.)
  std::mutex mutex_;
  std::map<std::pair<std::string, bool>, std::unique_ptr<Client>> groups_;
};

}  // namespace tidemill::kafka
