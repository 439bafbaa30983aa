#include "baseline/kafka.h"

#include <dlfcn.h>
#include <librdkafka/rdkafka.h>
#include <simdjson.h>
#include <time.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <unordered_set>
#include <utility>

#include "baseline/fail.h"
#include "baseline/timestamp.h"

namespace baseline {
namespace {

constexpr int kTimeoutMs = 60'000;
constexpr size_t kMessages = 10'000;  // of one call
constexpr size_t kIdText = 36;
constexpr char kEnqueued[] = R"(,"enqueuedAt":")";
constexpr char kProcessed[] = R"(","processedAt":")";
constexpr size_t kEnqueuedAt = sizeof kEnqueued - 1;
constexpr size_t kProcessedAt = kEnqueuedAt + kTimestampText + sizeof kProcessed - 1;
constexpr size_t kAdded = kProcessedAt + kTimestampText + 2;  // with the closing quote and brace

// The few functions that are needed, from the library that the program uses.
// clang-format off
#define BASELINE_KAFKA(F)                                                                                 \
  F(conf_new) F(conf_set) F(destroy) F(poll) F(flush) F(last_error) F(err2str)                            \
  F(poll_set_consumer) F(assign) F(queue_get_consumer) F(queue_destroy) F(consume_batch_queue)            \
  F(message_destroy) F(message_timestamp)                                                                 \
  F(consumer_group_metadata) F(consumer_group_metadata_destroy)                                           \
  F(topic_partition_list_new) F(topic_partition_list_destroy) F(topic_partition_list_add)                 \
  F(topic_new) F(topic_destroy) F(produce) F(metadata) F(metadata_destroy) F(query_watermark_offsets)     \
  F(init_transactions) F(begin_transaction) F(send_offsets_to_transaction) F(commit_transaction)          \
  F(error_string) F(queue_new) F(queue_poll) F(event_destroy) F(event_error) F(event_error_string)        \
  F(NewTopic_new) F(NewTopic_set_config) F(NewTopic_destroy) F(CreateTopics)                              \
  F(DeleteTopic_new) F(DeleteTopic_destroy) F(DeleteTopics)                                               \
  F(event_CreateTopics_result) F(CreateTopics_result_topics) F(topic_result_error)
// clang-format on

struct Api {
  decltype(&::rd_kafka_new) new_client;
#define BASELINE_MEMBER(name) decltype(&::rd_kafka_##name) name;
  BASELINE_KAFKA(BASELINE_MEMBER)
#undef BASELINE_MEMBER

  Api() {
    const char* chosen = std::getenv("TIDEMILL_LIBRDKAFKA");
    void* library = ::dlopen(chosen != nullptr ? chosen : TIDEMILL_LIBRDKAFKA_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) fail("load librdkafka.so.1");
    new_client = reinterpret_cast<decltype(new_client)>(::dlsym(library, "rd_kafka_new"));
#define BASELINE_LOAD(name)                                                     \
  name = reinterpret_cast<decltype(name)>(::dlsym(library, "rd_kafka_" #name)); \
  if (name == nullptr) fail("find rd_kafka_" #name);
    BASELINE_KAFKA(BASELINE_LOAD)
#undef BASELINE_LOAD
  }
};
const Api& api() {
  static const Api loaded;
  return loaded;
}

void expect(rd_kafka_error_t* error) {
  if (error != nullptr) fail(api().error_string(error));
}
void expect(rd_kafka_resp_err_t code) {
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) fail(api().err2str(code));
}

int64_t now_us() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

using Settings = std::vector<std::pair<const char*, std::string>>;

rd_kafka_t* client(rd_kafka_type_t type, const std::string& brokers, const Settings& settings) {
  char why[512];
  rd_kafka_conf_t* conf = api().conf_new();
  auto set = [&](const char* name, const std::string& value) {
    if (api().conf_set(conf, name, value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) fail(why);
  };
  set("bootstrap.servers", brokers);
  for (const auto& [name, value] : settings) set(name, value);
  rd_kafka_t* made = api().new_client(type, conf, why, sizeof why);
  if (made == nullptr) fail(why);
  return made;
}

int partition_count(rd_kafka_t* handle, const std::string& topic) {
  const rd_kafka_metadata_t* all = nullptr;
  expect(api().metadata(handle, 1, nullptr, &all, kTimeoutMs));
  int count = 0;
  for (int i = 0; i < all->topic_cnt; ++i) {
    if (topic == all->topics[i].topic) count = all->topics[i].partition_cnt;
  }
  api().metadata_destroy(all);
  if (count == 0) fail(("no topic " + topic).c_str());
  return count;
}

class Consumer {
 public:
  Consumer(const std::string& brokers, const std::string& topic, bool from_end) : topic_(topic) {
    handle_ = client(RD_KAFKA_CONSUMER, brokers,
                     {{"group.id", "bench-baseline"},
                      {"enable.auto.commit", "false"},
                      {"enable.auto.offset.store", "false"},
                      {"enable.partition.eof", from_end ? "false" : "true"},
                      {"isolation.level", "read_committed"},
                      {"check.crcs", "true"},
                      {"fetch.message.max.bytes", "8388608"},
                      {"queued.min.messages", "200000"},
                      {"queued.max.messages.kbytes", "262144"},
                      {"fetch.wait.max.ms", from_end ? "5" : "500"}});
    api().poll_set_consumer(handle_);
    partitions_ = partition_count(handle_, topic);
    auto* list = api().topic_partition_list_new(partitions_);
    for (int i = 0; i < partitions_; ++i) {
      auto* one = api().topic_partition_list_add(list, topic.c_str(), i);
      one->offset = from_end ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
      int64_t low = 0, high = 0;
      expect(api().query_watermark_offsets(handle_, topic.c_str(), i, &low, &high, kTimeoutMs));
      if (from_end) one->offset = high;
    }
    expect(api().assign(handle_, list));
    api().topic_partition_list_destroy(list);
    queue_ = api().queue_get_consumer(handle_);
    messages_.resize(kMessages);
  }
  ~Consumer() {
    api().queue_destroy(queue_);
    api().destroy(handle_);
  }
  Consumer(const Consumer&) = delete;
  Consumer& operator=(const Consumer&) = delete;

  // Calls each(message) for what comes within `wait_ms`; false once every partition was read to its end.
  template <class Each>
  bool poll(int wait_ms, const Each& each) {
    ssize_t count = api().consume_batch_queue(queue_, wait_ms, messages_.data(), messages_.size());
    for (ssize_t i = 0; i < count; ++i) {
      rd_kafka_message_t* message = messages_[static_cast<size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        ++ended_;
      } else {
        expect(message->err);
        each(message);
      }
      api().message_destroy(message);
    }
    return ended_ < partitions_;
  }
  int partitions() const { return partitions_; }
  rd_kafka_t* handle() const { return handle_; }

 private:
  std::string topic_;
  rd_kafka_t* handle_ = nullptr;
  rd_kafka_queue_t* queue_ = nullptr;
  int partitions_ = 0;
  int ended_ = 0;
  std::vector<rd_kafka_message_t*> messages_;
};

Settings producer_settings() {
  return {{"acks", "all"},
          {"enable.idempotence", "true"},
          {"linger.ms", "10"},
          {"batch.size", "1000000"},
          {"queue.buffering.max.messages", "500000"},
          {"queue.buffering.max.kbytes", "600000"},
          {"partitioner", "murmur2_random"}};
}

void produce(rd_kafka_t* handle, rd_kafka_topic_t* topic, int partition, std::string_view key,
             std::string_view value) {
  while (api().produce(topic, partition, RD_KAFKA_MSG_F_COPY, const_cast<char*>(value.data()), value.size(),
                       key.data(), key.size(), nullptr) != 0) {
    if (api().last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) expect(api().last_error());
    api().poll(handle, 10);
  }
}

class Relay {
 public:
  Relay(const std::string& brokers, const std::string& from, const std::string& to)
      : from_(from), consumer_(brokers, from, false), next_(static_cast<size_t>(consumer_.partitions()), -1) {
    Settings settings = producer_settings();
    settings.emplace_back("transactional.id", "bench-baseline-" + to);
    producer_ = client(RD_KAFKA_PRODUCER, brokers, settings);
    expect(api().init_transactions(producer_, kTimeoutMs));
    topic_ = api().topic_new(producer_, to.c_str(), nullptr);
    group_ = api().consumer_group_metadata(consumer_.handle());
    std::memcpy(added_, kEnqueued, kEnqueuedAt);
    std::memcpy(added_ + kEnqueuedAt + kTimestampText, kProcessed, sizeof kProcessed - 1);
    std::memcpy(added_ + kAdded - 2, "\"}", 2);
  }
  ~Relay() {
    api().consumer_group_metadata_destroy(group_);
    api().topic_destroy(topic_);
    api().destroy(producer_);
  }
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  uint64_t run(int commit_ms) {
    int64_t committed_us = now_us();
    for (bool more = true; more;) {
      const int64_t at_us = now_us();
      write_timestamp(at_us, added_ + kProcessedAt);
      more = consumer_.poll(5, [this](const rd_kafka_message_t* message) { one(message); });
      api().poll(producer_, 0);
      if (open_ && (!more || at_us - committed_us >= int64_t{commit_ms} * 1000)) {
        commit();
        committed_us = now_us();
      }
    }
    if (ids_ == 0) fail("parse");
    return records_;
  }

 private:
  void one(const rd_kafka_message_t* message) {
    // It is parsed in the copy that it is spliced in.
    const size_t need = message->len + std::max(kAdded, size_t{simdjson::SIMDJSON_PADDING});
    if (text_.size() < need) text_.resize(need);
    std::memcpy(text_.data(), message->payload, message->len);
    simdjson::ondemand::document event;
    std::string_view id;
    std::string_view device;
    if (parser_.iterate(text_.data(), message->len, text_.size()).get(event) != simdjson::SUCCESS ||
        event.find_field("eventId").get_string().get(id) != simdjson::SUCCESS ||
        event.find_field("deviceId").get_string().get(device) != simdjson::SUCCESS) {
      fail("an event that On-Demand does not read");
    }
    ids_ += static_cast<uint8_t>(id[0]) + static_cast<uint8_t>(device[0]);
    write_timestamp(api().message_timestamp(message, nullptr) * 1000, added_ + kEnqueuedAt);
    std::memcpy(text_.data() + message->len - 1, added_, kAdded);
    if (!open_) {
      expect(api().begin_transaction(producer_));
      open_ = true;
    }
    produce(producer_, topic_, message->partition, {static_cast<const char*>(message->key), message->key_len},
            {text_.data(), message->len - 1 + kAdded});
    next_[static_cast<size_t>(message->partition)] = message->offset + 1;
    ++records_;
  }

  void commit() {
    auto* list = api().topic_partition_list_new(consumer_.partitions());
    for (int i = 0; i < consumer_.partitions(); ++i) {
      const int64_t next = next_[static_cast<size_t>(i)];
      if (next >= 0) api().topic_partition_list_add(list, from_.c_str(), i)->offset = next;
    }
    expect(api().send_offsets_to_transaction(producer_, list, group_, kTimeoutMs));
    expect(api().commit_transaction(producer_, kTimeoutMs));
    api().topic_partition_list_destroy(list);
    open_ = false;
  }

  std::string from_;
  Consumer consumer_;
  std::vector<int64_t> next_;
  rd_kafka_t* producer_ = nullptr;
  rd_kafka_topic_t* topic_ = nullptr;
  rd_kafka_consumer_group_metadata_t* group_ = nullptr;
  simdjson::ondemand::parser parser_;
  std::string text_;
  char added_[kAdded];
  bool open_ = false;
  uint64_t records_ = 0;
  uint64_t ids_ = 0;
};

}  // namespace

void kafka_create(const std::string& brokers, const std::string& topic, int partitions) {
  rd_kafka_t* handle = client(RD_KAFKA_PRODUCER, brokers, {});
  char why[512];
  rd_kafka_NewTopic_t* made = api().NewTopic_new(topic.c_str(), partitions, -1, why, sizeof why);
  if (made == nullptr) fail(why);
  expect(api().NewTopic_set_config(made, "message.timestamp.type", "LogAppendTime"));
  rd_kafka_queue_t* queue = api().queue_new(handle);
  api().CreateTopics(handle, &made, 1, nullptr, queue);
  rd_kafka_event_t* event = api().queue_poll(queue, kTimeoutMs);
  if (event == nullptr) fail("create a topic: no answer");
  expect(api().event_error(event));
  size_t count = 0;
  const auto** topics = api().CreateTopics_result_topics(api().event_CreateTopics_result(event), &count);
  for (size_t i = 0; i < count; ++i) expect(api().topic_result_error(topics[i]));
  api().event_destroy(event);
  api().queue_destroy(queue);
  api().NewTopic_destroy(made);
  // Its partitions answer when they have leaders.
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::milliseconds(kTimeoutMs);
  for (int i = 0; i < partitions;) {
    int64_t low = 0, high = 0;
    const auto asked = api().query_watermark_offsets(handle, topic.c_str(), i, &low, &high, kTimeoutMs);
    if (asked == RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++i;
    } else if (std::chrono::steady_clock::now() > give_up) {
      expect(asked);
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
  api().destroy(handle);
}

void kafka_delete(const std::string& brokers, const std::string& topic) {
  rd_kafka_t* handle = client(RD_KAFKA_PRODUCER, brokers, {});
  rd_kafka_DeleteTopic_t* gone = api().DeleteTopic_new(topic.c_str());
  rd_kafka_queue_t* queue = api().queue_new(handle);
  api().DeleteTopics(handle, &gone, 1, nullptr, queue);
  rd_kafka_event_t* event = api().queue_poll(queue, kTimeoutMs);
  if (event == nullptr) fail("delete a topic: no answer");
  expect(api().event_error(event));
  api().event_destroy(event);
  api().queue_destroy(queue);
  api().DeleteTopic_destroy(gone);
  api().destroy(handle);
}

uint64_t kafka_relay(const std::string& brokers, const std::string& from, const std::string& to,
                     int commit_ms) {
  Relay relay(brokers, from, to);
  return relay.run(commit_ms);
}

uint64_t kafka_consume(const std::string& brokers, const std::string& from) {
  Consumer consumer(brokers, from, false);
  uint64_t records = 0;
  while (consumer.poll(5, [&](const rd_kafka_message_t*) { ++records; })) {
  }
  return records;
}

struct KafkaProducer::Impl {
  rd_kafka_t* handle = nullptr;
  rd_kafka_topic_t* topic = nullptr;
  uint64_t sent = 0;
};

KafkaProducer::KafkaProducer(const std::string& brokers, const std::string& topic)
    : impl_(std::make_unique<Impl>()) {
  impl_->handle = client(RD_KAFKA_PRODUCER, brokers, producer_settings());
  impl_->topic = api().topic_new(impl_->handle, topic.c_str(), nullptr);
}
KafkaProducer::~KafkaProducer() {
  api().topic_destroy(impl_->topic);
  api().destroy(impl_->handle);
}
void KafkaProducer::send(int partition, std::string_view key, std::string_view value) {
  produce(impl_->handle, impl_->topic, partition, key, value);
  if (++impl_->sent % 1024 == 0) api().poll(impl_->handle, 0);
}
void KafkaProducer::flush() {
  expect(api().flush(impl_->handle, kTimeoutMs));
}

KafkaContent kafka_content(const std::string& brokers, const std::string& topic) {
  Consumer consumer(brokers, topic, false);
  KafkaContent content;
  std::unordered_set<uint64_t> seen;
  while (consumer.poll(50, [&](const rd_kafka_message_t* message) {
    std::string_view value(static_cast<const char*>(message->payload), message->len);
    size_t at = value.find(':');
    at = value.find('"', at) + 1;
    if (!value.starts_with("{\"eventId\"") || at + kIdText > value.size()) fail("an event without eventId");
    const uint64_t id = XXH3_64bits(value.data() + at, kIdText);
    ++content.records;
    if (seen.insert(id).second) content.ids += id;
  })) {
  }
  content.distinct = seen.size();
  return content;
}

std::vector<double> kafka_latencies(const std::string& brokers, const std::string& topic, uint64_t records) {
  constexpr int64_t kPatienceUs = 10'000'000;
  constexpr std::string_view kCreated = "\"createdAt\":";
  Consumer consumer(brokers, topic, true);
  std::puts("ready");
  std::fflush(stdout);
  std::vector<double> all;
  int64_t last_us = now_us() + 20'000'000;
  while (all.size() < records && now_us() < last_us + kPatienceUs) {
    consumer.poll(1, [&](const rd_kafka_message_t* message) {
      std::string_view value(static_cast<const char*>(message->payload), message->len);
      size_t at = value.rfind(kCreated);
      if (at == std::string_view::npos) fail("an event without createdAt");
      at = value.find('"', at + kCreated.size()) + 1;
      last_us = now_us();
      all.push_back(static_cast<double>(last_us - parse_timestamp(value.data() + at)) / 1e3);
    });
  }
  return all;
}

}  // namespace baseline
