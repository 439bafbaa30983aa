// One librdkafka instance, with what it says about its troubles.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "kafka/api.h"
#include "kafka/connection.h"
#include "kafka/trouble.h"

namespace tidemill::kafka {

enum class Role { kConsumer, kProducer };

// Thread-safe as rd_kafka_t is. Closed (without waiting for what is on its way) by its destructor.
class Client {
 public:
  // `delivered`: acknowledged; else why it will not be.
  using Delivery = std::function<void(void* opaque, bool delivered, const std::string& why)>;
  using Rebalance = void (*)(rd_kafka_t*, rd_kafka_resp_err_t, rd_kafka_topic_partition_list_t*, void*);
  struct Options {
    Role role = Role::kProducer;
    Properties properties;             // the caller's own, before the connection's
    Rebalance on_rebalance = nullptr;  // consumers only; `opaque` is its last argument
    void* opaque = nullptr;
    Delivery on_delivery;  // producers only; called by whoever polls, for each record
    // What the property `debug` has the client say, on any of its threads until it is closed.
    std::function<void(std::string_view line)> on_debug;
  };
  // Loads the library. Errors: load_api's and connection_properties'; a property that librdkafka does not
  // take. Nothing is connected yet.
  static Result<std::unique_ptr<Client>> open(const Connection& connection, Options options);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  rd_kafka_t* get() const { return handle_; }
  const std::string& address() const { return address_; }

  // "Kafka at host:9092: <what>: <why>", with the most telling trouble of its connections where that is why.
  // Domain, code and whether a retry may help follow from the code.
  Error error(const std::string& what, rd_kafka_resp_err_t code, const std::string& why = {}) const;
  // The same of an error object, which it destroys.
  Error error(const std::string& what, rd_kafka_error_t* error) const;

  // No broker could be reached when one was last tried. Cleared by whoever got through.
  bool all_down() const { return all_down_; }
  void got_through();

  // Whether it is in vain to wait on, as is done since `since_ns` of the steady clock: refused credentials, a
  // certificate, a wrong protocol.
  bool hopeless(int64_t since_ns) const;
  // What the cluster is, of all topics or of those that this client uses; metadata_destroy is the caller's.
  // Ends before `timeout_ms` where waiting is in vain.
  Result<const rd_kafka_metadata_t*> metadata(const std::string& what, bool all_topics, int timeout_ms);

 private:
  Client() = default;
  static void on_error(rd_kafka_t*, int code, const char* reason, void* opaque);
  static void on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text);
  void note(const std::string& reason);

  rd_kafka_t* handle_ = nullptr;
  Role role_ = Role::kProducer;
  std::string address_;
  void* opaque_ = nullptr;
  Rebalance on_rebalance_ = nullptr;
  Delivery on_delivery_;
  std::function<void(std::string_view)> on_debug_;
  std::atomic<bool> all_down_{false};
  mutable std::mutex mutex_;
  Troubles troubles_;
};

// A list of partitions with offsets, destroyed at its end.
class PartitionList {
 public:
  explicit PartitionList(int size = 8) : list_(api().topic_partition_list_new(size)) {}
  ~PartitionList() { api().topic_partition_list_destroy(list_); }
  PartitionList(const PartitionList&) = delete;
  PartitionList& operator=(const PartitionList&) = delete;

  rd_kafka_topic_partition_t* add(const std::string& topic, int32_t partition,
                                  int64_t offset = RD_KAFKA_OFFSET_INVALID) {
    rd_kafka_topic_partition_t* one = api().topic_partition_list_add(list_, topic.c_str(), partition);
    one->offset = offset;
    return one;
  }
  rd_kafka_topic_partition_list_t* get() const { return list_; }

 private:
  rd_kafka_topic_partition_list_t* list_;
};

}  // namespace tidemill::kafka
