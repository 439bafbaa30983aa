// How a cluster is reached: what a solution file says of it, and what librdkafka is told.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace tidemill::kafka {

enum class SaslMechanism { kNone, kPlain, kScramSha256, kScramSha512, kOAuthBearer };

// A value of it is not printed: it may hold secrets.
struct Connection {
  std::string brokers;  // host:port, several with commas
  // Instead of `brokers` and everything about security: an Event Hubs namespace's connection string.
  std::string event_hubs;
  SaslMechanism sasl = SaslMechanism::kNone;
  std::string user;
  std::string password;
  bool tls = false;
  std::string ca_file;  // empty: the system's
  std::string certificate_file;
  std::string key_file;
  std::string key_password;
  // librdkafka's own names; they come last. Those that would break a guarantee are refused.
  std::vector<std::pair<std::string, std::string>> properties;

  bool operator==(const Connection&) const = default;
};

using Properties = std::vector<std::pair<std::string, std::string>>;

// The properties that the connection comes to. Errors: kUser, naming the setting (`brokers`,
// `properties.acks`): neither or both of brokers and event_hubs; a malformed connection string; a user
// without password; a refused property.
Result<Properties> connection_properties(const Connection& connection);

// Why a property may not be set by the solution file, or empty where it may.
std::string refused_because(const std::string& property);

// The largest message, in bytes, that a client of the connection sends (message.max.bytes of its properties).
size_t most_bytes_of(const Connection& connection);

// Where it leads, for messages: the brokers, or the namespace's host.
std::string address_of(const Connection& connection);

// Whether both lead to the same cluster, as far as their addresses say.
bool same_cluster(const Connection& a, const Connection& b);

}  // namespace tidemill::kafka
