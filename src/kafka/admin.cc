#include "kafka/admin.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>

#include "base/clock.h"
#include "kafka/group_commit.h"
#include "kafka/topic_pattern.h"

namespace tidemill::kafka {
namespace {

constexpr int64_t kLookAgainUs = 20'000;
constexpr int64_t kNewMs = 3'000;  // how long brokers may not yet know a new topic
constexpr int kTurnMs = 500;
constexpr int kShortMs = 1'000;  // of what is asked again and again
constexpr int kSlackMs = 5'000;  // of the client's own timeouts
constexpr std::array kStaleLeader = {
    RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,      RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,    RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
};

template <class T, auto Destroy>
struct Destroyer {
  void operator()(T* pointer) const { (api().*Destroy)(pointer); }
};
template <class T, auto Destroy>
using Owned = std::unique_ptr<T, Destroyer<T, Destroy>>;

using OwnedEvent = Owned<rd_kafka_event_t, &Api::event_destroy>;
using OwnedQueue = Owned<rd_kafka_queue_t, &Api::queue_destroy>;
using OwnedOptions = Owned<rd_kafka_AdminOptions_t, &Api::AdminOptions_destroy>;

}  // namespace

Result<std::unique_ptr<Admin>> Admin::open(const Connection& connection, int timeout_ms) {
  Client::Options options;
  options.properties = {{"reconnect.backoff.max.ms", "1000"}};
  TM_ASSIGN(auto client, Client::open(connection, std::move(options)));
  return std::unique_ptr<Admin>(new Admin(connection, std::move(client), timeout_ms));
}

Status Admin::request(const std::string& what, rd_kafka_admin_op_t operation, int isolation, const Ask& ask,
                      const Take& take, std::optional<int> timeout_ms) {
  const int patience_ms = timeout_ms.value_or(timeout_ms_);
  OwnedQueue queue(api().queue_new(client_->get()));
  OwnedOptions wanted(api().AdminOptions_new(client_->get(), operation));
  char why[256];
  if (api().AdminOptions_set_request_timeout(wanted.get(), patience_ms, why, sizeof why) !=
      RD_KAFKA_RESP_ERR_NO_ERROR) {
    return internal_error(what + ": " + why);
  }
  auto check = [&](rd_kafka_error_t* error) -> Status {
    if (error == nullptr) return {};
    return client_->error(what, error);
  };
  if (isolation >= 0) {
    TM_TRY(check(api().AdminOptions_set_isolation_level(wanted.get(),
                                                        static_cast<rd_kafka_IsolationLevel_t>(isolation))));
  }
  ask(wanted.get(), queue.get());
  OwnedEvent event;
  const int64_t start_ns = Clock::system().steady_ns();
  while (event == nullptr) {
    event.reset(api().queue_poll(queue.get(), kTurnMs));
    api().poll(client_->get(), 0);  // errors of connections
    const int64_t passed_ms = (Clock::system().steady_ns() - start_ns) / 1'000'000;
    if (event == nullptr && (passed_ms > patience_ms + kSlackMs || client_->hopeless(start_ns))) {
      return client_->error(what, RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
  }
  if (auto code = api().event_error(event.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return client_->error(what, code, api().event_error_string(event.get()));
  }
  client_->got_through();
  return take(event.get());
}

Status Admin::request_leaders(const std::function<Status(rd_kafka_resp_err_t*)>& ask) {
  const int64_t begun_ns = Clock::system().steady_ns();
  while (true) {
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;
    Status asked = ask(&code);
    if (asked.ok()) return asked;
    const int64_t passed_ms = (Clock::system().steady_ns() - begun_ns) / 1'000'000;
    const bool is_new = asked.error().code == Code::kNotFound && passed_ms < kNewMs;
    if (!is_new && (!asked.error().retryable || passed_ms > timeout_ms_)) return asked;
    if (std::find(kStaleLeader.begin(), kStaleLeader.end(), code) != kStaleLeader.end()) {
      TM_ASSIGN(const rd_kafka_metadata_t* metadata, client_->metadata("list of topics", true, timeout_ms_));
      api().metadata_destroy(metadata);
    }
    Clock::system().sleep_us(kLookAgainUs);
  }
}

Result<std::string> Admin::cluster_id() {
  char* id = api().clusterid(client_->get(), timeout_ms_);
  api().poll(client_->get(), 0);
  if (id == nullptr) return client_->error("the cluster's id", RD_KAFKA_RESP_ERR__TIMED_OUT);
  std::string text = id;
  api().mem_free(client_->get(), id);
  return text;
}

Result<int32_t> Admin::partition_count(const std::string& topic) {
  // A list without the topic: metadata of one name would have a broker create it where it may.
  TM_ASSIGN(const rd_kafka_metadata_t* metadata, client_->metadata("list of topics", true, timeout_ms_));
  int32_t count = 0;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    if (metadata->topics[i].topic == topic) count = metadata->topics[i].partition_cnt;
  }
  api().metadata_destroy(metadata);
  return count;
}

Result<int32_t> Admin::partitions_now(const std::string& topic) {
  const std::string what = "partitions of topic " + topic;
  const char* name = topic.c_str();
  rd_kafka_TopicCollection_t* one = api().TopicCollection_of_topic_names(&name, 1);
  int32_t count = 0;
  Status asked = request(
      what, RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, -1,
      [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
        api().DescribeTopics(client_->get(), one, options, queue);
      },
      [&](rd_kafka_event_t* event) -> Status {
        size_t topics = 0, partitions = 0;
        const rd_kafka_TopicDescription_t** told =
            api().DescribeTopics_result_topics(api().event_DescribeTopics_result(event), &topics);
        if (topics == 0) return {};
        rd_kafka_error_t* error = const_cast<rd_kafka_error_t*>(api().TopicDescription_error(told[0]));
        const auto code = error == nullptr ? RD_KAFKA_RESP_ERR_NO_ERROR : api().error_code(error);
        if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return {};
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error(what, code);
        (void)api().TopicDescription_partitions(told[0], &partitions);
        count = static_cast<int32_t>(partitions);
        return {};
      },
      kShortMs);
  api().TopicCollection_destroy(one);
  TM_TRY(asked);
  return count;
}

Result<std::map<std::string, int32_t>> Admin::matching(const std::string& pattern) {
  TM_ASSIGN(const rd_kafka_metadata_t* metadata, client_->metadata("list of topics", true, timeout_ms_));
  std::map<std::string, int32_t> found;
  for (int i = 0; i < metadata->topic_cnt; ++i) {
    const rd_kafka_metadata_topic_t& topic = metadata->topics[i];
    if (topic.partition_cnt > 0 && matches_pattern(pattern, topic.topic))
      found[topic.topic] = topic.partition_cnt;
  }
  api().metadata_destroy(metadata);
  return found;
}

Result<TopicDescription> Admin::describe(const std::string& topic) {
  TopicDescription description;
  TM_ASSIGN(description.partitions, partition_count(topic));
  if (description.partitions == 0) {
    return user_error("Kafka at " + address() + ": there is no topic " + topic +
                          "; create it, or let the solution create it (create: true)",
                      Code::kNotFound);
  }
  auto told = settings(topic);
  // Who may not read a topic's settings reads its events all the same; they are then taken for CreateTime.
  if (!told.ok() && told.error().retryable) return std::move(told).error();
  if (told.ok() && (*told)["message.timestamp.type"] == "LogAppendTime")
    description.timestamp_type = TimestampType::kLogAppendTime;
  return description;
}

Result<std::map<std::string, std::string>> Admin::settings(const std::string& topic) {
  return settings_of("settings of topic " + topic, RD_KAFKA_RESOURCE_TOPIC, topic);
}

Result<std::string> Admin::broker_setting(const std::string& name) {
  TM_ASSIGN(const rd_kafka_metadata_t* metadata, client_->metadata("list of brokers", false, timeout_ms_));
  const std::string id = metadata->broker_cnt > 0 ? std::to_string(metadata->brokers[0].id) : "0";
  api().metadata_destroy(metadata);
  TM_ASSIGN(auto all, settings_of("settings of broker " + id, RD_KAFKA_RESOURCE_BROKER, id));
  return all[name];
}

Result<std::map<std::string, std::string>> Admin::settings_of(const std::string& what,
                                                              rd_kafka_ResourceType_t type,
                                                              const std::string& name) {
  std::map<std::string, std::string> found;
  rd_kafka_ConfigResource_t* resource = api().ConfigResource_new(type, name.c_str());
  Status asked = request(
      what, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, -1,
      [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
        api().DescribeConfigs(client_->get(), &resource, 1, options, queue);
      },
      [&](rd_kafka_event_t* event) -> Status {
        size_t count = 0;
        const auto* result = api().event_DescribeConfigs_result(event);
        const rd_kafka_ConfigResource_t** resources = api().DescribeConfigs_result_resources(result, &count);
        for (size_t i = 0; i < count; ++i) {
          if (auto code = api().ConfigResource_error(resources[i]); code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return client_->error(what, code);
          size_t entries = 0;
          const rd_kafka_ConfigEntry_t** entry = api().ConfigResource_configs(resources[i], &entries);
          for (size_t e = 0; e < entries; ++e) {
            if (const char* value = api().ConfigEntry_value(entry[e]))
              found[api().ConfigEntry_name(entry[e])] = value;
          }
        }
        return {};
      });
  api().ConfigResource_destroy(resource);
  TM_TRY(asked);
  return found;
}

Result<TopicLimits> Admin::limits(const std::string& topic) {
  TopicLimits limits;
  limits.bytes = most_bytes_of(connection_);
  auto told = settings(topic);
  if (!told.ok() && told.error().retryable) return std::move(told).error();
  if (!told.ok()) return limits;
  auto lower = [&](const char* name, auto* limit) {
    const std::string& text = (*told)[name];
    std::decay_t<decltype(*limit)> value = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
    if (parsed.ec == std::errc()) *limit = std::min(*limit, value);
  };
  lower("max.message.bytes", &limits.bytes);
  if ((*told)["message.timestamp.type"] == "LogAppendTime") return limits;
  lower("message.timestamp.before.max.ms", &limits.behind_ms);
  lower("message.timestamp.after.max.ms", &limits.ahead_ms);
  lower("message.timestamp.difference.max.ms", &limits.behind_ms);  // of brokers before 3.6
  lower("message.timestamp.difference.max.ms", &limits.ahead_ms);
  return limits;
}

Result<int32_t> Admin::ensure_topic(const NewTopic& topic) {
  TM_ASSIGN(int32_t there, partition_count(topic.name));
  if (there == 0) {
    char why[512];
    rd_kafka_NewTopic_t* made =
        api().NewTopic_new(topic.name.c_str(), topic.partitions, topic.replication, why, sizeof why);
    if (made == nullptr) return user_error("topic " + topic.name + ": " + why);
    for (const auto& [name, value] : topic.configs)
      api().NewTopic_set_config(made, name.c_str(), value.c_str());
    Status created = request(
        "creating topic " + topic.name, RD_KAFKA_ADMIN_OP_CREATETOPICS, -1,
        [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
          api().CreateTopics(client_->get(), &made, 1, options, queue);
        },
        [&](rd_kafka_event_t* event) -> Status {
          size_t count = 0;
          const auto** results =
              api().CreateTopics_result_topics(api().event_CreateTopics_result(event), &count);
          for (size_t i = 0; i < count; ++i) {
            auto code = api().topic_result_error(results[i]);
            // Another process was quicker: its partitions are counted below.
            if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
              continue;
            const char* text = api().topic_result_error_string(results[i]);
            return client_->error("creating topic " + topic.name, code, text == nullptr ? "" : text);
          }
          return {};
        });
    api().NewTopic_destroy(made);
    TM_TRY(created);
    TM_ASSIGN(there, known_partitions(topic.name, 1));
  }
  return there;
}

// A created topic, or partition, is known to every broker a moment later.
Result<int32_t> Admin::known_partitions(const std::string& topic, int32_t at_least) {
  const int64_t deadline = Clock::system().steady_ns() + int64_t{timeout_ms_} * 1'000'000;
  while (true) {
    TM_ASSIGN(int32_t there, partition_count(topic));
    if (there >= at_least) return there;
    if (Clock::system().steady_ns() > deadline) {
      return client_->error("waiting for the partitions of topic " + topic, RD_KAFKA_RESP_ERR__TIMED_OUT);
    }
    Clock::system().sleep_us(kLookAgainUs);
  }
}

Status Admin::create_topic(const NewTopic& topic) {
  TM_ASSIGN(int32_t there, ensure_topic(topic));
  if (there == topic.partitions) return {};
  return user_error("Kafka at " + address() + ": topic " + topic.name + " has " + std::to_string(there) +
                    " partitions, and " + std::to_string(topic.partitions) +
                    " are asked for; give their number, or another topic");
}

Status Admin::grow_topic(const std::string& name, int32_t partitions) {
  TM_ASSIGN(int32_t there, partition_count(name));
  if (there >= partitions) return {};
  const std::string what = "adding partitions to topic " + name;
  char why[512];
  rd_kafka_NewPartitions_t* more =
      api().NewPartitions_new(name.c_str(), static_cast<size_t>(partitions), why, sizeof why);
  if (more == nullptr) return user_error(what + ": " + why);
  Status grown = request(
      what, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, -1,
      [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
        api().CreatePartitions(client_->get(), &more, 1, options, queue);
      },
      [&](rd_kafka_event_t* event) -> Status {
        size_t count = 0;
        const auto** results =
            api().CreatePartitions_result_topics(api().event_CreatePartitions_result(event), &count);
        for (size_t i = 0; i < count; ++i) {
          auto code = api().topic_result_error(results[i]);
          // Another process was quicker: they are counted below.
          if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_INVALID_PARTITIONS) continue;
          const char* text = api().topic_result_error_string(results[i]);
          return client_->error(what, code, text == nullptr ? "" : text);
        }
        return {};
      });
  api().NewPartitions_destroy(more);
  TM_TRY(grown);
  auto known = known_partitions(name, partitions);
  return known.ok() ? Status() : Status(std::move(known).error());
}

Status Admin::delete_topic(const std::string& name) {
  rd_kafka_DeleteTopic_t* topic = api().DeleteTopic_new(name.c_str());
  Status deleted = request(
      "deleting topic " + name, RD_KAFKA_ADMIN_OP_DELETETOPICS, -1,
      [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
        api().DeleteTopics(client_->get(), &topic, 1, options, queue);
      },
      [&](rd_kafka_event_t* event) -> Status {
        size_t count = 0;
        const auto** results =
            api().DeleteTopics_result_topics(api().event_DeleteTopics_result(event), &count);
        for (size_t i = 0; i < count; ++i) {
          auto code = api().topic_result_error(results[i]);
          if (code != RD_KAFKA_RESP_ERR_NO_ERROR && code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
            return client_->error("deleting topic " + name, code);
        }
        return {};
      });
  api().DeleteTopic_destroy(topic);
  return deleted;
}

Result<std::vector<Position>> Admin::offsets(const std::vector<TopicPartition>& partitions,
                                             const OffsetQuery& query) {
  std::vector<Position> found(partitions.size(), Position{Offset(-1), LeaderEpoch(-1)});
  if (partitions.empty()) return found;
  auto spec = [&]() -> int64_t {
    switch (query.kind) {
      case OffsetQuery::kEarliest:
        return RD_KAFKA_OFFSET_SPEC_EARLIEST;
      case OffsetQuery::kEnd:
      case OffsetQuery::kStableEnd:
        return RD_KAFKA_OFFSET_SPEC_LATEST;
      case OffsetQuery::kTime:
        return std::max<int64_t>(query.time_ms, 0);
    }
    return RD_KAFKA_OFFSET_SPEC_LATEST;
  };
  PartitionList list(static_cast<int>(partitions.size()));
  std::map<TopicPartition, size_t> places;
  for (size_t i = 0; i < partitions.size(); ++i) {
    list.add(partitions[i].topic, partitions[i].partition.value(), spec());
    places[partitions[i]] = i;
  }
  const int isolation = query.kind == OffsetQuery::kStableEnd ? RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED
                                                              : RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED;
  const std::string what = "offsets of topic " + partitions.front().topic;
  rd_kafka_resp_err_t failed = RD_KAFKA_RESP_ERR_NO_ERROR;
  auto ask = [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
    api().ListOffsets(client_->get(), list.get(), options, queue);
  };
  auto take = [&](rd_kafka_event_t* event) -> Status {
    size_t count = 0;
    const auto** infos = api().ListOffsets_result_infos(api().event_ListOffsets_result(event), &count);
    size_t answered = 0;
    for (size_t i = 0; i < count; ++i) {
      const rd_kafka_topic_partition_t* one = api().ListOffsetsResultInfo_topic_partition(infos[i]);
      failed = one->err;
      // The client's own view of a partition without a leader.
      if (failed == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) failed = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
      if (failed != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error(what, failed);
      auto place = places.find({one->topic, Partition(one->partition)});
      if (place == places.end()) continue;
      found[place->second] = {Offset(one->offset), LeaderEpoch(api().topic_partition_get_leader_epoch(one))};
      answered += one->offset >= 0 || query.kind == OffsetQuery::kTime ? 1 : 0;
    }
    // What a broker that is going down was asked for is left out, without an error.
    if (answered < partitions.size()) failed = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
    return failed == RD_KAFKA_RESP_ERR_NO_ERROR ? Status() : client_->error(what, failed);
  };
  TM_TRY(request_leaders([&](rd_kafka_resp_err_t* code) {
    failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    Status asked = request(what, RD_KAFKA_ADMIN_OP_LISTOFFSETS, isolation, ask, take);
    *code = failed;
    return asked;
  }));
  std::vector<TopicPartition> beyond;
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (found[i].offset >= Offset(0)) continue;
    if (query.kind != OffsetQuery::kTime) return client_->error(what, RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION);
    beyond.push_back(partitions[i]);
  }
  if (beyond.empty()) return found;
  TM_ASSIGN(std::vector<Position> ends, offsets(beyond, {OffsetQuery::kEnd, 0}));
  for (size_t i = 0, next = 0; i < partitions.size(); ++i) {
    if (found[i].offset < Offset(0)) found[i] = ends[next++];
  }
  return found;
}

Status Admin::delete_before(const TopicPartition& partition, Offset offset) {
  PartitionList list(1);
  list.add(partition.topic, partition.partition.value(), offset.value());
  rd_kafka_DeleteRecords_t* records = api().DeleteRecords_new(list.get());
  const std::string what = "deleting the start of " + partition.to_string();
  auto ask = [&](const rd_kafka_AdminOptions_t* options, rd_kafka_queue_t* queue) {
    api().DeleteRecords(client_->get(), &records, 1, options, queue);
  };
  Status deleted = request_leaders([&](rd_kafka_resp_err_t* code) {
    return request(what, RD_KAFKA_ADMIN_OP_DELETERECORDS, -1, ask, [&](rd_kafka_event_t* event) -> Status {
      const auto* result = api().DeleteRecords_result_offsets(api().event_DeleteRecords_result(event));
      for (int i = 0; i < result->cnt; ++i) {
        *code = result->elems[i].err;
        if (*code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error(what, *code);
      }
      return {};
    });
  });
  api().DeleteRecords_destroy(records);
  return deleted;
}

Result<Client*> Admin::group_client(const std::string& group, bool stable) {
  std::lock_guard lock(mutex_);
  std::unique_ptr<Client>& client = groups_[{group, stable}];
  if (client == nullptr) {
    Client::Options options;
    options.role = Role::kConsumer;
    options.properties = {{"group.id", group},
                          {"enable.auto.commit", "false"},
                          {"reconnect.backoff.max.ms", "1000"},
                          {"isolation.level", stable ? "read_committed" : "read_uncommitted"}};
    TM_ASSIGN(client, Client::open(connection_, std::move(options)));
  }
  return client.get();
}

Result<std::vector<std::optional<GroupOffset>>> Admin::group_offsets(
    const std::string& group, const std::vector<TopicPartition>& partitions, int patience_ms,
    bool else_former) {
  std::vector<std::optional<GroupOffset>> found(partitions.size());
  if (partitions.empty()) return found;
  PartitionList list(static_cast<int>(partitions.size()));
  for (const TopicPartition& tp : partitions) list.add(tp.topic, tp.partition.value());
  const std::string what = "positions of group " + group;
  TM_ASSIGN(Client * client, group_client(group, true));
  const int64_t deadline = Clock::system().steady_ns() + int64_t{patience_ms} * 1'000'000;
  for (bool former = false;;) {
    auto code = api().committed(client->get(), list.get(), former ? timeout_ms_ : patience_ms);
    api().poll(client->get(), 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) break;
    Error error = client->error(what, code);
    const bool over = Clock::system().steady_ns() > deadline;
    if (over && else_former && !former) {
      former = true;
      TM_ASSIGN(client, group_client(group, false));
      continue;
    }
    // A coordinator that is being found, or a transaction that is not decided.
    if (!error.retryable || over) return error;
    Clock::system().sleep_us(kLookAgainUs);
  }
  for (int i = 0; i < list.get()->cnt; ++i) {
    const rd_kafka_topic_partition_t& one = list.get()->elems[i];
    if (one.err != RD_KAFKA_RESP_ERR_NO_ERROR) return client->error(what, one.err);
    if (one.offset < 0) continue;
    GroupOffset offset;
    offset.position = {Offset(one.offset), LeaderEpoch(api().topic_partition_get_leader_epoch(&one))};
    if (one.metadata != nullptr)
      offset.metadata.assign(static_cast<const char*>(one.metadata), one.metadata_size);
    found[static_cast<size_t>(i)] = std::move(offset);
  }
  return found;
}

Status Admin::commit_offsets(const std::string& group, const GroupOffsets& offsets, int timeout_ms) {
  TM_ASSIGN(Client * client, group_client(group, true));
  return commit_positions(*client, "positions of group " + group, offsets, timeout_ms);
}

}  // namespace tidemill::kafka
