#include "kafka/connection.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <string_view>

namespace tidemill::kafka {
namespace {

struct Refused {
  std::string_view property;
  std::string_view because;
};

constexpr std::string_view kOwnSetting = "it has a setting of its own";
constexpr std::string_view kPositions = "positions are committed with the data, not by the client";
constexpr std::string_view kOrder = "the order of events, and each once, depend on it";

constexpr std::string_view kSending = "the program says itself when records are sent, and how many wait";

constexpr std::array<Refused, 50> kRefused = {{
    {"bootstrap.servers", kOwnSetting},
    {"metadata.broker.list", kOwnSetting},
    {"security.protocol", kOwnSetting},
    {"sasl.mechanism", kOwnSetting},
    {"sasl.mechanisms", kOwnSetting},
    {"sasl.username", kOwnSetting},
    {"sasl.password", kOwnSetting},
    {"group.id", "the solution's name is the group"},
    {"group.instance.id", kOwnSetting},
    {"group.protocol", kOwnSetting},
    {"session.timeout.ms", kOwnSetting},
    {"heartbeat.interval.ms", kOwnSetting},
    {"transactional.id", "each owner of partitions has one of its own, by which it is fenced"},
    {"transaction.timeout.ms", kOwnSetting},
    {"enable.auto.commit", kPositions},
    {"auto.commit.enable", kPositions},
    {"auto.commit.interval.ms", kPositions},
    {"enable.auto.offset.store", kPositions},
    {"auto.offset.reset",
     "events that were deleted before they were read must stop the pipeline, not be skipped"},
    {"isolation.level", "events of transactions that were aborted would be read"},
    {"enable.partition.eof", "the pipeline knows by it that it has read everything"},
    {"check.crcs", "damaged batches would be read"},
    {"acks", "an acknowledged event could be lost with one broker"},
    {"request.required.acks", "an acknowledged event could be lost with one broker"},
    {"enable.idempotence", kOrder},
    {"max.in.flight", kOrder},
    {"max.in.flight.requests.per.connection", kOrder},
    {"retries", kOrder},
    {"message.send.max.retries", kOrder},
    {"message.timeout.ms", kOrder},
    {"delivery.timeout.ms", kOrder},
    {"enable.gapless.guarantee", kOrder},
    {"queuing.strategy", kOrder},
    {"queue.buffering.max.messages", kSending},
    {"queue.buffering.max.kbytes", kSending},
    {"queue.buffering.max.ms", kSending},
    {"queue.buffering.backpressure.threshold", kSending},
    {"linger.ms", kSending},
    {"batch.num.messages", kSending},
    {"partitioner", "a key's events would leave their partition"},
    {"partition.assignment.strategy", "the pipeline hands partitions over one by one"},
    {"allow.auto.create.topics", "topics are created with what the solution says of them"},
    {"topic.blacklist", "events of the topics that it names would not be seen"},
    {"delivery.report.only.error", "what was acknowledged would not be known"},
    {"log.queue", "the program takes the client's log itself"},
    {"plugin.library.paths", "it loads code into this process"},
    {"enabled_events", "the program takes the client's events itself"},
    {"enable.random.seed", "the program's own"},
    {"internal.termination.signal", "the program takes signals itself"},
    {"test.mock.num.brokers", "it replaces the cluster by an invented one"},
}};

// "Endpoint=sb://name.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…" → the namespace's
// host.
Result<std::string> event_hubs_host(const std::string& text) {
  auto member = [&](std::string_view name) -> std::string {
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find(';', at), text.size());
      std::string_view part = std::string_view(text).substr(at, end - at);
      if (part.starts_with(name) && part.size() > name.size() && part[name.size()] == '=')
        return std::string(part.substr(name.size() + 1));
      at = end + 1;
    }
    return {};
  };
  const std::string form =
      "event_hubs: is not a connection string; give the namespace's, as "
      "Endpoint=sb://name.servicebus.windows.net/;SharedAccessKeyName=…;SharedAccessKey=…";
  std::string host = member("Endpoint");
  if (!host.starts_with("sb://")) return user_error(form);
  host.erase(0, 5);
  host.resize(std::min(host.find('/'), host.size()));
  host.resize(std::min(host.find(':'), host.size()));
  const bool key = !member("SharedAccessKeyName").empty() && !member("SharedAccessKey").empty();
  if (host.empty() || (!key && member("SharedAccessSignature").empty())) return user_error(form);
  return host;
}

std::string_view mechanism_name(SaslMechanism mechanism) {
  switch (mechanism) {
    case SaslMechanism::kPlain:
      return "PLAIN";
    case SaslMechanism::kScramSha256:
      return "SCRAM-SHA-256";
    case SaslMechanism::kScramSha512:
      return "SCRAM-SHA-512";
    case SaslMechanism::kOAuthBearer:
      return "OAUTHBEARER";
    case SaslMechanism::kNone:
      break;
  }
  return "";
}

Status add_security(const Connection& connection, Properties* out) {
  const bool sasl = connection.sasl != SaslMechanism::kNone;
  out->emplace_back("security.protocol", sasl             ? connection.tls ? "sasl_ssl" : "sasl_plaintext"
                                         : connection.tls ? "ssl"
                                                          : "plaintext");
  if (sasl) {
    out->emplace_back("sasl.mechanisms", mechanism_name(connection.sasl));
    const bool named = connection.sasl != SaslMechanism::kOAuthBearer;
    if (named && (connection.user.empty() || connection.password.empty())) {
      return user_error(
          "security: user or password is missing; give both, the password as ${NAME} of the environment");
    }
    auto given = [&](std::string_view name) {
      return std::any_of(connection.properties.begin(), connection.properties.end(),
                         [&](const auto& property) { return property.first == name; });
    };
    if (!named && !given("sasl.oauthbearer.method") && !given("enable.sasl.oauthbearer.unsecure.jwt")) {
      return user_error(
          "security: oauthbearer needs tokens; give properties sasl.oauthbearer.method: oidc, "
          "sasl.oauthbearer.client.id, sasl.oauthbearer.client.secret and "
          "sasl.oauthbearer.token.endpoint.url");
    }
    if (named) {
      out->emplace_back("sasl.username", connection.user);
      out->emplace_back("sasl.password", connection.password);
    }
  } else if (!connection.user.empty() || !connection.password.empty()) {
    return user_error(
        "security: user and password need a mechanism; give sasl: plain, scram-sha-256 or scram-sha-512");
  }
  const bool files =
      !connection.ca_file.empty() || !connection.certificate_file.empty() || !connection.key_file.empty();
  if (files && !connection.tls) return user_error("security: certificates need TLS; give tls: true");
  if (connection.certificate_file.empty() != connection.key_file.empty()) {
    return user_error("security: a client's certificate and its key go together; give both or neither");
  }
  for (const auto& [name, value] :
       {std::pair<const char*, const std::string&>{"ssl.ca.location", connection.ca_file},
        {"ssl.certificate.location", connection.certificate_file},
        {"ssl.key.location", connection.key_file},
        {"ssl.key.password", connection.key_password}}) {
    if (!value.empty()) out->emplace_back(name, value);
  }
  return {};
}

std::set<std::string> split_brokers(const std::string& brokers) {
  std::set<std::string> all;
  for (size_t at = 0; at <= brokers.size();) {
    size_t end = std::min(brokers.find(',', at), brokers.size());
    std::string one = brokers.substr(at, end - at);
    std::erase(one, ' ');
    if (!one.empty()) all.insert(std::move(one));
    at = end + 1;
  }
  return all;
}

}  // namespace

std::string refused_because(const std::string& property) {
  for (const Refused& one : kRefused) {
    if (one.property == property) return std::string(one.because);
  }
  return {};
}

size_t most_bytes_of(const Connection& connection) {
  size_t most = 1'000'000;  // librdkafka's own
  for (const auto& [name, value] : connection.properties) {
    if (name == "message.max.bytes") (void)std::from_chars(value.data(), value.data() + value.size(), most);
  }
  return most;
}

Result<Properties> connection_properties(const Connection& connection) {
  Properties all;
  if (connection.brokers.empty() == connection.event_hubs.empty()) {
    return user_error(
        connection.brokers.empty()
            ? "brokers: is missing; give host:port, several with commas, or an Event Hubs connection "
              "string as event_hubs"
            : "brokers: stands beside event_hubs, which names the brokers itself; keep one of them");
  }
  if (!connection.event_hubs.empty()) {
    TM_ASSIGN(std::string host, event_hubs_host(connection.event_hubs));
    all.emplace_back("bootstrap.servers", host + ":9093");
    all.emplace_back("security.protocol", "sasl_ssl");
    all.emplace_back("sasl.mechanisms", "PLAIN");
    all.emplace_back("sasl.username", "$ConnectionString");
    all.emplace_back("sasl.password", connection.event_hubs);
    // The service closes idle connections after four minutes, quietly.
    all.emplace_back("connections.max.idle.ms", "180000");
    all.emplace_back("metadata.max.age.ms", "180000");
    if (!connection.ca_file.empty()) all.emplace_back("ssl.ca.location", connection.ca_file);
  } else {
    all.emplace_back("bootstrap.servers", connection.brokers);
    TM_TRY(add_security(connection, &all));
  }
  for (const auto& [name, value] : connection.properties) {
    if (std::string why = refused_because(name); !why.empty()) {
      return user_error("properties." + name + ": cannot be set: " + why);
    }
    all.emplace_back(name, value);
  }
  return all;
}

std::string address_of(const Connection& connection) {
  if (connection.event_hubs.empty()) return connection.brokers;
  auto host = event_hubs_host(connection.event_hubs);
  return host.ok() ? *host + ":9093" : "event_hubs";
}

bool same_cluster(const Connection& a, const Connection& b) {
  std::set<std::string> first = split_brokers(address_of(a)), second = split_brokers(address_of(b));
  return std::any_of(first.begin(), first.end(),
                     [&](const std::string& one) { return second.count(one) != 0; });
}

}  // namespace tidemill::kafka
