#include "kafka/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kafka/stall.h"
#include "kafka/trouble.h"

namespace tidemill::kafka {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Pair;

Connection plain() {
  Connection connection;
  connection.brokers = "a:9092,b:9092";
  return connection;
}

std::string problem(const Connection& connection) {
  auto properties = connection_properties(connection);
  return properties.ok() ? std::string() : properties.error().message;
}

TEST(KafkaConnection, NamesTheBrokers) {
  auto properties = connection_properties(plain());
  ASSERT_TRUE(properties.ok());
  EXPECT_THAT(*properties, Contains(Pair("bootstrap.servers", "a:9092,b:9092")));
  EXPECT_THAT(*properties, Contains(Pair("security.protocol", "plaintext")));
}

TEST(KafkaConnection, TakesAnEventHubsConnectionStringAlone) {
  Connection connection;
  connection.event_hubs =
      "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=abc=";
  auto properties = connection_properties(connection);
  ASSERT_TRUE(properties.ok()) << properties.error().message;
  EXPECT_THAT(*properties, Contains(Pair("bootstrap.servers", "ns.servicebus.windows.net:9093")));
  EXPECT_THAT(*properties, Contains(Pair("security.protocol", "sasl_ssl")));
  EXPECT_THAT(*properties, Contains(Pair("sasl.username", "$ConnectionString")));
  EXPECT_THAT(*properties, Contains(Pair("sasl.password", connection.event_hubs)));
  EXPECT_EQ(address_of(connection), "ns.servicebus.windows.net:9093");
}

TEST(KafkaConnection, RefusesWhatIsNoConnectionStringWithoutCitingIt) {
  Connection connection;
  for (const char* text : {"hunter2", "Endpoint=sb://;SharedAccessKeyName=hunter2;SharedAccessKey=hunter2",
                           "Endpoint=sb://ns/;SharedAccessKeyName=hunter2"}) {
    connection.event_hubs = text;
    EXPECT_THAT(problem(connection), HasSubstr("event_hubs: is not a connection string"));
    EXPECT_THAT(problem(connection), testing::Not(HasSubstr("hunter2")));
  }
}

TEST(KafkaConnection, WantsExactlyOneWayToTheCluster) {
  EXPECT_THAT(problem({}), HasSubstr("brokers: is missing"));
  Connection both = plain();
  both.event_hubs = "Endpoint=sb://ns/;SharedAccessKeyName=a;SharedAccessKey=b";
  EXPECT_THAT(problem(both), HasSubstr("brokers: stands beside event_hubs"));
}

TEST(KafkaConnection, SetsSaslAndTls) {
  Connection connection = plain();
  connection.sasl = SaslMechanism::kScramSha512;
  connection.user = "me";
  connection.password = "secret";
  connection.tls = true;
  connection.ca_file = "/ca.pem";
  auto properties = connection_properties(connection);
  ASSERT_TRUE(properties.ok());
  EXPECT_THAT(*properties, Contains(Pair("security.protocol", "sasl_ssl")));
  EXPECT_THAT(*properties, Contains(Pair("sasl.mechanisms", "SCRAM-SHA-512")));
  EXPECT_THAT(*properties, Contains(Pair("ssl.ca.location", "/ca.pem")));
  connection.password.clear();
  EXPECT_THAT(problem(connection), HasSubstr("user or password is missing"));
  connection.tls = false;
  connection.password = "secret";
  EXPECT_THAT(problem(connection), HasSubstr("certificates need TLS"));
}

TEST(KafkaConnection, RefusesPropertiesThatWouldBreakTheGuaranteeAndPassesOthersOn) {
  for (const char* name :
       {"acks", "enable.idempotence", "isolation.level", "transactional.id", "auto.offset.reset"}) {
    Connection connection = plain();
    connection.properties = {{name, "x"}};
    EXPECT_THAT(problem(connection), HasSubstr("properties." + std::string(name) + ": cannot be set: "));
  }
  Connection connection = plain();
  connection.properties = {{"socket.keepalive.enable", "true"}};
  EXPECT_THAT(connection_properties(connection).value(), Contains(Pair("socket.keepalive.enable", "true")));
}

TEST(KafkaConnection, RefusesWhatHasASettingOfItsOwnAndWhatWouldHoldRecordsBack) {
  const auto because = [](const char* name) {
    Connection connection = plain();
    connection.properties = {{name, "1"}};
    return problem(connection);
  };
  for (const char* name : {"session.timeout.ms", "heartbeat.interval.ms", "transaction.timeout.ms"}) {
    EXPECT_EQ(because(name),
              std::string("properties.") + name + ": cannot be set: it has a setting of its own");
  }
  for (const char* name :
       {"linger.ms", "batch.num.messages", "queue.buffering.max.messages", "queue.buffering.max.kbytes",
        "queue.buffering.max.ms", "queue.buffering.backpressure.threshold"}) {
    EXPECT_EQ(because(name),
              std::string("properties.") + name +
                  ": cannot be set: the program says itself when records are sent, and how many "
                  "wait");
  }
}

TEST(KafkaConnection, KnowsTheSameClusterByOneCommonBroker) {
  Connection other = plain();
  other.brokers = "c:9092, b:9092";
  EXPECT_TRUE(same_cluster(plain(), other));
  other.brokers = "c:9092";
  EXPECT_FALSE(same_cluster(plain(), other));
}

TEST(KafkaConnection, WantsToKnowWhereTokensComeFrom) {
  Connection connection = plain();
  connection.sasl = SaslMechanism::kOAuthBearer;
  EXPECT_THAT(problem(connection), HasSubstr("oauthbearer needs tokens; give properties"));
  connection.properties = {{"sasl.oauthbearer.method", "oidc"}};
  EXPECT_EQ(problem(connection), "");
}

TEST(KafkaTrouble, NamesAnAdvertisedAddressThatCannotBeReached) {
  EXPECT_EQ(
      explain_trouble("broker-1.internal:9092/1: Failed to resolve 'broker-1.internal:9092': Name unknown "
                      "(after 0ms in state CONNECT, 1 identical error(s) suppressed)")
          .text,
      "the cluster advertises broker 1 at broker-1.internal:9092, which cannot be reached from here: Failed "
      "to resolve 'broker-1.internal:9092': Name unknown; check its advertised.listeners, or this machine's "
      "network");
  Trouble down = explain_trouble("sasl_ssl://a:9093/bootstrap: Connect to ipv4#127.0.0.1:9093 failed");
  EXPECT_EQ(down.text,
            "a:9093: Connect to ipv4#127.0.0.1:9093 failed; check the address, and this machine's network");
  EXPECT_EQ(down.hope, Trouble::kGood);
  EXPECT_EQ(explain_trouble("1/2 brokers are down").text, "1/2 brokers are down");
}

TEST(KafkaTrouble, KnowsWhatAnotherTryCannotMend) {
  auto hope = [](const std::string& why) { return explain_trouble("a:9093/bootstrap: " + why).hope; };
  EXPECT_EQ(hope("SASL authentication error: Authentication failed"), Trouble::kNone);
  EXPECT_EQ(
      hope("SASL authentication error: SaslAuthenticateRequest failed: Local: Broker transport failure"),
      Trouble::kGood);
  EXPECT_EQ(hope("SASL authentication error: SaslAuthenticateRequest failed: Local: Timed out"),
            Trouble::kGood);
  EXPECT_EQ(hope("SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: no"),
            Trouble::kNone);
  EXPECT_EQ(hope("ApiVersionRequest failed: Local: Timed out: probably due to broker version < 0.10"),
            Trouble::kGood);
  const std::string closed =
      "a:9093/bootstrap: Disconnected: SSL connection closed by peer (after 3ms in state ";
  EXPECT_EQ(explain_trouble("sasl_ssl://" + closed + "APIVERSION_QUERY)").hope, Trouble::kGood);
  EXPECT_EQ(explain_trouble("sasl_ssl://" + closed + "AUTH_REQ)").hope, Trouble::kGood);
  EXPECT_THAT(explain_trouble("ssl://" + closed + "SSL_HANDSHAKE)").text, HasSubstr("seems to know no TLS"));
  EXPECT_THAT(explain_trouble("ssl://" + closed + "UP)").text, HasSubstr("seems to want a user"));
  EXPECT_EQ(hope("Disconnected: connection closed by peer: receive 0 after POLLIN (after 3ms in state "
                 "APIVERSION_QUERY)"),
            Trouble::kPoor);
  EXPECT_EQ(explain_trouble("ssl://a:9093/bootstrap: Certificate (subject=/CN=a, issuer=/CN=b) verification "
                            "callback failed: " +
                            certificate_problem(64))
                .text,
            "a:9093: the broker's certificate (subject=/CN=a, issuer=/CN=b) is for another host name or "
            "address; give brokers by a name that it holds");
}

constexpr int64_t kSecond = 1'000'000'000;
const std::string kRefusal = "a:9093/bootstrap: SASL authentication error: Authentication failed";
const std::string kWrongCa =
    "ssl://a:9093/bootstrap: Certificate (subject=/CN=a, issuer=/CN=b) verification callback failed: ";

TEST(KafkaTroubles, KeepTheMostTellingOneWhicheverCameLast) {
  Troubles troubles;
  auto text = [&] { return troubles.at(70 * kSecond).text; };
  int64_t now = 60 * kSecond;
  auto hear = [&](const std::string& reason) { troubles.note("a:9093/bootstrap: " + reason, ++now); };
  hear("Disconnected");
  hear("Connect to ipv4#127.0.0.1:9093 failed: Connection refused");
  EXPECT_THAT(text(), HasSubstr("check the port"));
  hear("Disconnected: connection closed by peer: receive 0 after POLLIN");
  EXPECT_THAT(text(), HasSubstr("check the port"));
  hear("Disconnected: SSL connection closed by peer");
  EXPECT_THAT(text(), HasSubstr("seems to want a user"));
  hear("SASL authentication error: Authentication failed");
  hear("Disconnected: SSL connection closed by peer");
  hear("SASL authentication error: SaslAuthenticateRequest failed: Local: Timed out");
  EXPECT_THAT(text(), HasSubstr("check user and password"));
  troubles.note(kWrongCa + certificate_problem(19), ++now);
  hear("SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: no");
  EXPECT_THAT(text(), HasSubstr("was signed by a CA that is not trusted here"));
}

TEST(KafkaTroubles, ExplainNothingAfterAMinuteOrAnAnswer) {
  Troubles troubles;
  troubles.note(kRefusal, kSecond);
  troubles.note("a:9093/bootstrap: Disconnected", 62 * kSecond);
  EXPECT_EQ(troubles.at(62 * kSecond).text, "a:9093: Disconnected");
  troubles.note(kRefusal, 63 * kSecond);
  troubles.got_through();
  EXPECT_EQ(troubles.at(63 * kSecond).text, "");
}

TEST(KafkaTroubles, OfALateProtocolAreTakenForABrokenConnectionOnceABrokerHasAnswered) {
  const std::string closed = "a:9093/1: Disconnected: SSL connection closed by peer";
  Troubles troubles;
  troubles.note(closed, kSecond);
  EXPECT_EQ(troubles.at(kSecond).hope, Trouble::kPoor);
  troubles.got_through();
  troubles.note(closed, 2 * kSecond);
  EXPECT_EQ(troubles.at(2 * kSecond).hope, Trouble::kGood);
  EXPECT_THAT(troubles.at(2 * kSecond).text, testing::Not(HasSubstr("user")));
}

TEST(KafkaTroubles, EndAWaitAtOnceOnlyWhereItIsKnownToBeInVain) {
  Troubles troubles;
  troubles.note("a:9093/bootstrap: Disconnected: SSL connection closed by peer", 10 * kSecond);
  EXPECT_FALSE(troubles.hopeless(10 * kSecond, 14 * kSecond));
  EXPECT_TRUE(troubles.hopeless(10 * kSecond, 15 * kSecond));
  troubles.note(kRefusal, 11 * kSecond);
  EXPECT_TRUE(troubles.hopeless(12 * kSecond, 12 * kSecond));  // never let in
  troubles.got_through();
  EXPECT_FALSE(troubles.hopeless(10 * kSecond, 20 * kSecond));
  troubles.note(kRefusal, 21 * kSecond);
  EXPECT_TRUE(troubles.hopeless(20 * kSecond, 21 * kSecond));
  EXPECT_FALSE(troubles.hopeless(22 * kSecond, 23 * kSecond));  // it may have been mended since
  EXPECT_TRUE(troubles.hopeless(22 * kSecond, 27 * kSecond));
}

TEST(KafkaStalls, CountFromWhenTheStableOffsetLastMovedBelowTheHighWatermark) {
  const TopicPartition tp{"out", Partition(0)};
  Stalls stalls;
  auto us = [&](int64_t now_s) { return stalls.at(now_s * kSecond).front().us; };
  stalls.see(tp, Offset(10), Offset(10), 1 * kSecond);
  EXPECT_EQ(us(5), 0);
  stalls.see(tp, Offset(10), Offset(12), 6 * kSecond);
  stalls.see(tp, Offset(10), Offset(40), 8 * kSecond);
  EXPECT_EQ(us(9), 3'000'000);
  stalls.see(tp, Offset(20), Offset(50), 10 * kSecond);  // one transaction ended, the next one is open
  EXPECT_EQ(us(11), 1'000'000);
  stalls.see(tp, Offset(50), Offset(50), 12 * kSecond);
  EXPECT_EQ(us(20), 0);
}

}  // namespace
}  // namespace tidemill::kafka
