#include "kafka/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "base/clock.h"
#include "base/file_system.h"

namespace tidemill::kafka {
namespace {

constexpr int kFirstTurnMs = 500, kLongestTurnMs = 4'000;

// Errors that another try may not meet: the cluster is on the move, or cannot be reached for a while.
constexpr std::array kPassing = {
    RD_KAFKA_RESP_ERR_UNKNOWN,  // a broker's own failure, as of a coordinator that is being asked twice at
                                // once
    RD_KAFKA_RESP_ERR__TIMED_OUT,
    RD_KAFKA_RESP_ERR__TRANSPORT,
    RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
    RD_KAFKA_RESP_ERR__RESOLVE,
    // A start ends with them; what runs waits until they are put right.
    RD_KAFKA_RESP_ERR__AUTHENTICATION,
    RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
    RD_KAFKA_RESP_ERR__SSL,
    RD_KAFKA_RESP_ERR__WAIT_COORD,
    RD_KAFKA_RESP_ERR__WAIT_CACHE,
    RD_KAFKA_RESP_ERR__NOENT,  // no leader is known
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

// What is sent again is refused again, until somebody changes a setting or a right.
constexpr std::array kForGood = {
    RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
    RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
    RD_KAFKA_RESP_ERR_INVALID_RECORD,
    RD_KAFKA_RESP_ERR_INVALID_MSG,
    RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
    RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
    RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
};

// Those of a request that no connection carried; why, the connections' own troubles say.
constexpr std::array kUnconnected = {
    RD_KAFKA_RESP_ERR__TIMED_OUT,
    RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE,
    RD_KAFKA_RESP_ERR__TRANSPORT,
    RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN,
    RD_KAFKA_RESP_ERR__RESOLVE,
    RD_KAFKA_RESP_ERR__WAIT_COORD,
    RD_KAFKA_RESP_ERR__AUTHENTICATION,
    RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
    RD_KAFKA_RESP_ERR__SSL,
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

// Where no connection says more.
std::string silence(rd_kafka_resp_err_t code, int64_t waited_ms) {
  if (code != RD_KAFKA_RESP_ERR__TRANSPORT && code != RD_KAFKA_RESP_ERR__TIMED_OUT) return {};
  return fmt::format("no broker has answered for {} ms", waited_ms);
}

std::string way_out(rd_kafka_resp_err_t code) {
  switch (code) {
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
      return "; the user of this connection needs more rights (docs/connectors/kafka.md lists them)";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
      return "; raise max.message.bytes of the topic, or lower batch.size under properties where it is set";
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
      return "; a compacted topic takes no record without a key: set cleanup.policy=delete, or rekey";
    case RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP:
      return "; raise message.timestamp.before.max.ms or message.timestamp.after.max.ms of the topic, or set "
             "message.timestamp.type=LogAppendTime";
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
      return "; another process runs under the same name: give each its own ingest.kafka.member";
    case RD_KAFKA_RESP_ERR_UNRELEASED_INSTANCE_ID:
      return "; the session of the process before that had this ingest.kafka.member has not ended";
    default:
      return {};
  }
}

// librdkafka's words for such a file name its own setting.
std::string explain_new_client(const std::string& why, const Connection& connection) {
  for (const auto& [property, setting, path] :
       {std::tuple<std::string_view, const char*, const std::string&>{"ssl.ca.location", "tls_ca",
                                                                      connection.ca_file},
        {"ssl.certificate.location", "tls_certificate", connection.certificate_file},
        {"ssl.key.location", "tls_key", connection.key_file}}) {
    if (why.starts_with(property)) {
      return std::string(setting) + ": " + path + " cannot be used; give a PEM file (" + why + ")";
    }
  }
  return why;
}

Status check_files(const Connection& connection) {
  for (const auto& [setting, path] :
       {std::pair<const char*, const std::string&>{"tls_ca", connection.ca_file},
        {"tls_certificate", connection.certificate_file},
        {"tls_key", connection.key_file}}) {
    if (path.empty()) continue;
    auto opened = FileSystem::posix().open(path, OpenMode::kRead);
    if (!opened.ok()) {
      return user_error("Kafka at " + address_of(connection) + ": " + setting + ": " +
                        opened.error().message);
    }
  }
  return {};
}

// Only to say what is wrong: what OpenSSL found is what counts.
int on_certificate(rd_kafka_t*, const char*, int32_t, int* x509_error, int, const char*, size_t, char* why,
                   size_t why_size, void*) {
  if (*x509_error == 0) return 1;
  (void)snprintf(why, why_size, "%s", certificate_problem(*x509_error).c_str());
  return 0;
}

}  // namespace

Result<std::unique_ptr<Client>> Client::open(const Connection& connection, Options options) {
  TM_ASSIGN(const Api* table, load_api());
  TM_ASSIGN(Properties given, connection_properties(connection));
  TM_TRY(check_files(connection));
  auto client = std::unique_ptr<Client>(new Client());
  client->role_ = options.role;
  client->address_ = address_of(connection);
  client->opaque_ = options.opaque;
  client->on_rebalance_ = options.on_rebalance;
  client->on_delivery_ = std::move(options.on_delivery);
  client->on_debug_ = std::move(options.on_debug);

  rd_kafka_conf_t* conf = table->conf_new();
  char why[512];
  auto set = [&](const std::string& name, const std::string& value) -> Status {
    if (table->conf_set(conf, name.c_str(), value.c_str(), why, sizeof why) == RD_KAFKA_CONF_OK) return {};
    return user_error("properties." + name + ": " + why + "; see librdkafka's CONFIGURATION.md");
  };
  Status done = set("client.id", "tidemill");
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
  if (connection.tls || !connection.event_hubs.empty()) {
    (void)table->conf_set_ssl_cert_verify_cb(conf, &on_certificate);
  }
  // Tokens are renewed whether anybody polls or not.
  const bool tokens = connection.sasl == SaslMechanism::kOAuthBearer;
  if (tokens) table->conf_enable_sasl_queue(conf, 1);
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
    return user_error("Kafka at " + client->address_ + ": " + explain_new_client(why, connection));
  }
  if (rd_kafka_error_t* error = tokens ? table->sasl_background_callbacks_enable(client->handle_) : nullptr) {
    return client->error("tokens", error);
  }
  return client;
}

Client::~Client() {
  if (handle_ == nullptr) return;
  // A consumer that leaves its group has closed itself before; this waits for no answer.
  api().destroy_flags(handle_, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
}

// Called by whoever polls, long after it happened perhaps; so what on_log was told already is not taken here.
void Client::on_error(rd_kafka_t*, int code, const char* reason, void* opaque) {
  auto* client = static_cast<Client*>(opaque);
  if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
    client->all_down_ = true;
    return;  // the connections' own errors say more
  }
  const std::string why = reason == nullptr ? api().err2str(static_cast<rd_kafka_resp_err_t>(code)) : reason;
  const bool of_connection = contains(kUnconnected, static_cast<rd_kafka_resp_err_t>(code));
  if (!of_connection || why.find("OAUTHBEARER token") != std::string::npos) client->note(why);
}

void Client::on_log(const rd_kafka_t* handle, int level, const char* facility, const char* text) {
  constexpr int kWarning = 4, kInformation = 6;
  auto* client = static_cast<Client*>(api().opaque(handle));
  if (client != nullptr && client->on_debug_ && level > kInformation && text != nullptr)
    client->on_debug_(text);
  const std::string_view about = facility == nullptr ? "" : facility;
  if (client != nullptr && level <= kInformation && (about == "FAIL" || about == "SSLCERTVRFY")) {
    std::string line = text == nullptr ? "" : text;
    // "[thrd:host:port/id]: host:port/id: reason"
    if (size_t at = line.find("]: "); at != std::string::npos) line.erase(0, at + 3);
    // A connection that was closed is in most cases an idle one.
    const bool explains = level <= kWarning || explain_trouble(line).hope == Trouble::kPoor;
    if (explains) client->note(line);
  }
}

void Client::note(const std::string& reason) {
  std::lock_guard lock(mutex_);
  troubles_.note(reason, Clock::system().steady_ns());
}

void Client::got_through() {
  all_down_ = false;
  std::lock_guard lock(mutex_);
  troubles_.got_through();
}

bool Client::hopeless(int64_t since_ns) const {
  std::lock_guard lock(mutex_);
  return troubles_.hopeless(since_ns, Clock::system().steady_ns());
}

Result<const rd_kafka_metadata_t*> Client::metadata(const std::string& what, bool all_topics,
                                                    int timeout_ms) {
  const int64_t start_ns = Clock::system().steady_ns();
  // In turns, so that what is refused is seen soon; each longer than the last, as an answer may take long.
  for (int turn_ms = kFirstTurnMs;; turn_ms = std::min(2 * turn_ms, kLongestTurnMs)) {
    const int64_t passed_ms = (Clock::system().steady_ns() - start_ns) / 1'000'000;
    const int left_ms = timeout_ms - static_cast<int>(std::min<int64_t>(passed_ms, timeout_ms));
    const rd_kafka_metadata_t* metadata = nullptr;
    auto code = api().metadata(handle_, all_topics ? 1 : 0, nullptr, &metadata,
                               std::min(turn_ms, std::max(left_ms, 1)));
    // Errors of connections. A consumer's come between its messages, which only its reader takes.
    if (role_ == Role::kProducer) api().poll(handle_, 0);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
      got_through();
      return metadata;
    }
    if (left_ms <= turn_ms || hopeless(start_ns) || !contains(kPassing, code)) {
      return error(what, code, silence(code, (Clock::system().steady_ns() - start_ns) / 1'000'000));
    }
    // A connection that just closed fails at once.
    const int64_t spent_ms = (Clock::system().steady_ns() - start_ns) / 1'000'000 - passed_ms;
    if (spent_ms < turn_ms) Clock::system().sleep_us((turn_ms - spent_ms) * 1000);
  }
}

Error Client::error(const std::string& what, rd_kafka_resp_err_t code, const std::string& why) const {
  std::string because = why.empty() ? api().err2str(code) : why;
  if (contains(kUnconnected, code)) {
    std::lock_guard lock(mutex_);
    const std::string told = troubles_.at(Clock::system().steady_ns()).text;
    if (!told.empty()) because = told.starts_with(address_ + ": ") ? told.substr(address_.size() + 2) : told;
  }
  std::string text = "Kafka at " + address_ + ": " + what + ": " + because + way_out(code);
  if (contains(kFencing, code)) return external_error(std::move(text), Code::kFenced);
  if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART || code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC ||
      code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
    return external_error(std::move(text), Code::kNotFound);
  }
  if (code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return external_error(std::move(text), Code::kExists);
  if (code == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE || code == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
    return external_error(std::move(text), Code::kOutOfRange);
  }
  if (contains(kForGood, code)) return external_error(std::move(text), Code::kRefused);
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
