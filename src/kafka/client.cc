#include "kafka/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace tidemill::kafka {
namespace {

// Errors that another try may not meet: the cluster is on the move, or cannot be reached for a while.
constexpr std::array kPassing = {
    RD_KAFKA_RESP_ERR_UNKNOWN,  // a broker's own failure, as of a coordinator that is being asked twice at
                                // once
    RD_KAFKA_RESP_ERR__TIMED_OUT,
    RD_KAFKA_RESP_ERR__TRANSPORT,
    RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
    RD_KAFKA_RESP_ERR__RESOLVE,
    RD_KAFKA_RESP_ERR__WAIT_COORD,
    RD_KAFKA_RESP_ERR__WAIT_CACHE,
    RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
    RD_KAFKA_RESP_ERR__QUEUE_FULL,
    RD_KAFKA_RESP_ERR__PURGE_QUEUE,
    RD_KAFKA_RESP_ERR__PURGE_INFLIGHT,
    RD_KAFKA_RESP_ERR__RETRY,
    RD_KAFKA_RESP_ERR__DESTROY_BROKER,
    RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
    RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    RD_KAFKA_RESP_ERR_BROKER_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NETWORK_EXCEPTION,
    RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
    RD_KAFKA_RESP_ERR_NOT_COORDINATOR,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
    RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS,
    RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT,
    RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
    RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
    RD_KAFKA_RESP_ERR_THROTTLING_QUOTA_EXCEEDED,
    RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH,
    RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH,
    RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE,
};

constexpr std::array kFencing = {
    RD_KAFKA_RESP_ERR__FENCED,
    RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
    RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH,
    RD_KAFKA_RESP_ERR_INVALID_PRODUCER_ID_MAPPING,
    RD_KAFKA_RESP_ERR_TRANSACTION_COORDINATOR_FENCED,
};

template <size_t N>
bool contains(const std::array<rd_kafka_resp_err_t, N>& codes, rd_kafka_resp_err_t code) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

std::string way_out(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return "; the user of this connection needs more rights (docs/connectors/kafka.md lists them)";
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
      return "; check user and password, and that they have not expired";
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      return "; another process runs under the same name: give each its own ingest.kafka.member";
    case RD_KAFKA_RESP_ERR_UNRELEASED_INSTANCE_ID:
      return "; the session of the process before that had this ingest.kafka.member has not ended";
    default:
      return {};
  }
}

}  // namespace

std::string explain_trouble(const std::string& reason) {
  // "sasl_ssl://broker-1.internal:9093/1: Failed to resolve …": a number after the slash is a broker that the
  // cluster advertises; "/bootstrap" is one of those that were configured.
  const size_t colon = reason.find(": ");
  const size_t slash = reason.rfind('/', colon);
  if (colon == std::string::npos || slash == std::string::npos || slash + 1 >= colon) return reason;
  std::string id = reason.substr(slash + 1, colon - slash - 1);
  size_t begin = reason.find("://");
  begin = begin == std::string::npos || begin > slash ? 0 : begin + 3;
  const std::string name = reason.substr(begin, slash - begin);
  if (id.find_first_not_of("0123456789") != std::string::npos) return name + reason.substr(colon);
  const bool unreachable = reason.find("resolve") != std::string::npos ||
                           reason.find("Connect") != std::string::npos ||
                           reason.find("connect") != std::string::npos;
  if (!unreachable) return "broker " + id + " at " + name + reason.substr(colon);
  return "the cluster advertises broker " + id + " at " + name + ", which cannot be reached from here" +
         reason.substr(colon) + "; check its advertised.listeners, or this machine's network";
}

Result<std::unique_ptr<Client>> Client::open(const Connection& connection, Options options) {
  TM_ASSIGN(const Api* table, load_api());
  TM_ASSIGN(Properties given, connection_properties(connection));
  auto client = std::unique_ptr<Client>(new Client());
  client->address_ = address_of(connection);
  client->opaque_ = options.opaque;
  client->on_rebalance_ = options.on_rebalance;
  client->on_delivery_ = std::move(options.on_delivery);

  rd_kafka_conf_t* conf = table->conf_new();
  char why[512];
  auto set = [&](const std::string& name, const std::string& value) -> Status {
    if (table->conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) == RD_KAFKA_CONF_OK) return {};
    return user_error("properties." + name + ": " + why + "; see librdkafka's CONFIGURATION.md");
  };
  Status done = set("client.id", "tidemill");
  // Troubles are said once each, where they matter; not per connection on the program's output.
  if (done.ok()) done = set("log.connection.close", "false");
  for (const Properties* all : {&options.properties, &given}) {
    for (const auto& [name, value] : *all) {
      if (done.ok()) done = set(name, value);
    }
  }
  if (!done.ok()) {
    table->conf_destroy(conf);
    return std::move(done).error();
  }
  table->conf_set_opaque(conf, client.get());
  table->conf_set_error_cb(conf, &Client::on_error);
  table->conf_set_log_cb(conf, &Client::on_log);
  if (options.on_rebalance != nullptr) {
    table->conf_set_rebalance_cb(conf, [](rd_kafka_t* handle, rd_kafka_resp_err_t code,
                                          rd_kafka_topic_partition_list_t* partitions, void* self) {
      auto* owner = static_cast<Client*>(self);
      owner->on_rebalance_(handle, code, partitions, owner->opaque_);
    });
  }
  if (client->on_delivery_) {
    table->conf_set_dr_msg_cb(conf, [](rd_kafka_t*, const rd_kafka_message_t* message, void* self) {
      const bool delivered = message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
      static_cast<Client*>(self)->on_delivery_(message->_private, delivered,
                                               delivered ? std::string() : api().err2str(message->err));
    });
  }
  client->handle_ = table->new_client(options.role == Role::kConsumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER,
                                      conf, why, sizeof why);
  if (client->handle_ == nullptr) {
    table->conf_destroy(conf);
    return user_error("Kafka at " + client->address_ + ": " + why);
  }
  return client;
}

Client::~Client() {
  if (handle_ == nullptr) return;
  // A consumer that leaves its group has closed itself before; this waits for no answer.
  api().destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

void Client::on_error(rd_kafka_t*, int code, const char* reason, void* opaque) {
  auto* client = static_cast<Client*>(opaque);
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    client->all_down_ = true;
    return;  // the connections' own errors say more
  }
  client->note(reason == nullptr ? api().err2str(static_cast<rd_kafka_resp_err_t>(code)) : reason);
}

void Client::on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
  constexpr int kWarning = 4;
  auto* client = static_cast<Client*>(api().opaque(handle));
  const std::string_view about = facility == nullptr ? "" : facility;
  if (client != nullptr && level <= kWarning && about == "FAIL") {
    std::string line = text == nullptr ? "" : text;
    // "[thrd:host:port/id]: host:port/id: reason"
    if (size_t at = line.find("]: "); at != std::string::npos) line.erase(0, at + 3);
    client->note(line);
  }
}

void Client::note(const std::string& trouble) {
  std::lock_guard lock(mutex_);
  trouble_ = explain_trouble(trouble);
}

std::string Client::trouble() const {
  std::lock_guard lock(mutex_);
  return trouble_;
}

Error Client::error(const std::string& what, rd_kafka_resp_err_t code, const std::string& why) const {
  std::string text = "Kafka at " + address_ + ": " + what + ": " + (why.empty() ? api().err2str(code) : why);
  const bool unreachable = code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
                           code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN ||
                           code == RD_KAFKA_RESP_ERR__RESOLVE || code == RD_KAFKA_RESP_ERR__WAIT_COORD;
  if (std::string last = trouble(); unreachable && !last.empty()) text += " (" + last + ")";
  text += way_out(code);
  if (contains(kFencing, code)) return external_error(std::move(text), Code::kFenced);
  if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
      code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
    return external_error(std::move(text), Code::kNotFound);
  }
  if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return external_error(std::move(text), Code::kExists);
  if (code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE || code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
    return external_error(std::move(text), Code::kOutOfRange);
  }
  return external_error(std::move(text), Code::kFailed, contains(kPassing, code));
}

Error Client::error(const std::string& what, rd_kafka_error_t* error) const {
  const rd_kafka_resp_err_t code = api().error_code(error);
  Error made = this->error(what, code, api().error_string(error));
  if (api().error_is_retriable(error) != 0) made.retryable = true;
  api().error_destroy(error);
  return made;
}

}  // namespace tidemill::kafka
