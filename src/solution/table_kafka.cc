// The settings of ingest.kafka and serve.kafka.
#include "solution/table.h"

namespace tidemill::solution {
namespace {

constexpr double kMs = 1'000, kSecond = 1'000 * kMs, kMinute = 60 * kSecond;
// Values that stand for the words of ingest.kafka.start.
constexpr int64_t kStartEarliest = -1, kStartLatest = -2;

#define AT(member)                  \
  [](Target target) -> auto& {      \
    return target.solution->member; \
  }

IntegerAccess start_access() {
  return {[](Target target) -> int64_t {
            const StartAt& start = target.solution->ingest.kafka.start;
            if (start.kind == StartAt::kTime) return start.time_us;
            return start.kind == StartAt::kEarliest ? kStartEarliest : kStartLatest;
          },
          [](Target target, int64_t value) {
            StartAt& start = target.solution->ingest.kafka.start;
            start.kind = value == kStartEarliest ? StartAt::kEarliest
                         : value == kStartLatest ? StartAt::kLatest
                                                 : StartAt::kTime;
            start.time_us = start.kind == StartAt::kTime ? value : 0;
          }};
}

// How the cluster is reached; `at` gives the section's kafka::Connection. `elsewhere` says the default of
// brokers.
template <class At>
void add_connection(TableWriter& table, const std::string& section, At at, const std::string& elsewhere) {
  auto member = [at](auto kafka::Connection::*pointer) {
    return [ at, pointer ](Target target) -> auto& {
      return at(target).*pointer;
    };
  };
  using kafka::Connection;
  table.text(section + ".brokers", member(&Connection::brokers), "host:port of brokers, several with commas")
      .derived(elsewhere);
  table
      .text(section + ".event_hubs", member(&Connection::event_hubs),
            "instead of `brokers` and all security: the connection string of an Event Hubs namespace")
      .derived("none")
      .secret();
  table.choice(section + ".sasl", member(&Connection::sasl),
               {"none", "plain", "scram-sha-256", "scram-sha-512", "oauthbearer"}, "how the user is proven");
  table.text(section + ".user", member(&Connection::user), "the user of `sasl`").derived("none");
  table.text(section + ".password", member(&Connection::password), "and the password, best as ${NAME}")
      .derived("none")
      .secret();
  table.toggle(section + ".tls", member(&Connection::tls), "encrypt, and check the brokers' certificates");
  table.text(section + ".tls_ca", member(&Connection::ca_file), "file of the CA's certificates, PEM")
      .derived("the system's");
  table
      .text(section + ".tls_certificate", member(&Connection::certificate_file),
            "file of this client's certificate, PEM")
      .derived("none");
  table.text(section + ".tls_key", member(&Connection::key_file), "file of its key, PEM").derived("none");
  table.text(section + ".tls_key_password", member(&Connection::key_password), "the key's password")
      .derived("none")
      .secret();
  table
      .pairs(section + ".properties", member(&Connection::properties),
             "librdkafka's own settings; those that would break the guarantee are refused")
      .derived("none");
}

}  // namespace

void add_kafka_source_settings(TableWriter& table) {
  add_connection(table, "ingest.kafka", AT(ingest.kafka.connection), "required, or `event_hubs`");
  table
      .text("ingest.kafka.topic", AT(ingest.kafka.topic),
            "the topic; a pattern, `^sensor-.*`, is every topic that matches, also those yet to come")
      .derived("`name`");
  table.count("ingest.kafka.partitions", AT(ingest.kafka.partitions), "its partitions, when it is created")
      .range(1, 10'000);
  table.count("ingest.kafka.replication", AT(ingest.kafka.replication), "its copies, when it is created")
      .range(1, 32)
      .word("cluster", 0);
  table
      .time_by("ingest.kafka.start", start_access(),
               "where a pipeline that has committed nothing begins to read")
      .word("earliest", static_cast<double>(kStartEarliest))
      .word("latest", static_cast<double>(kStartLatest));
  table
      .pairs("ingest.kafka.start_offsets", AT(ingest.kafka.start_offsets),
             "the same of single partitions, by their numbers: `{0: 1200, 3: 77}`")
      .derived("none");
  table.choice(
      "ingest.kafka.deleted", AT(ingest.kafka.deleted), {"stop", "skip"},
      "when events were deleted that were yet to be read: `stop` and say which, or `skip` them with a "
      "warning");
  table.toggle("ingest.kafka.create", AT(ingest.kafka.create),
               "create the topic where it is missing, with the log's append time as its timestamps");
  table.choice("ingest.kafka.protocol", AT(ingest.kafka.protocol), {"classic", "consumer"},
               "of the group that shares the partitions out to the processes: `consumer` is KIP-848's");
  table
      .duration("ingest.kafka.session_timeout", AT(ingest.kafka.session_timeout_us),
                "after how long a process that fell silent loses its partitions (`consumer`: the broker's "
                "setting)")
      .range(kSecond, 30 * kMinute);
  table
      .duration("ingest.kafka.heartbeat", AT(ingest.kafka.heartbeat_us),
                "how often it is heard, and hears of others that come and go")
      .range(100 * kMs, kMinute);
  table
      .text("ingest.kafka.member", AT(ingest.kafka.member),
            "a name of this process alone, as ${HOSTNAME}: it keeps its partitions over a restart within "
            "`session_timeout`")
      .derived("none");
}

void add_kafka_sink_settings(TableWriter& table) {
  add_connection(table, "serve.kafka", AT(serve.kafka.connection), "as `ingest.kafka`");
  table.text("serve.kafka.topic", AT(serve.kafka.topic), "the topic").derived("`<name>-out`");
  table.count("serve.kafka.partitions", AT(serve.kafka.partitions), "its partitions, when it is created")
      .range(1, 10'000)
      .word("as-source", 0);
  table.count("serve.kafka.replication", AT(serve.kafka.replication), "copies of created topics")
      .range(1, 32)
      .word("cluster", 0);
  table.toggle("serve.kafka.create", AT(serve.kafka.create), "create the topics where they are missing");
  table.choice("serve.kafka.delivery", AT(serve.kafka.delivery), {"auto", "exactly-once", "at-least-once"},
               "auto: exactly-once, or at-least-once where the endpoint has no transactions, which `check` "
               "says; at-least-once: rows are sent as they come, and not with their positions: seen within "
               "milliseconds, and again after a crash");
  table.choice("serve.kafka.compression", AT(serve.kafka.compression),
               {"none", "gzip", "snappy", "lz4", "zstd"}, "of the batches that are sent");
  table
      .duration("serve.kafka.transaction_timeout", AT(serve.kafka.transaction_timeout_us),
                "a commit that takes longer is aborted and tried again")
      .range(kSecond, 15 * kMinute);
  table
      .duration(
          "serve.kafka.positions_refresh", AT(serve.kafka.keep_every_us),
          "how often owners and positions are written again, also of partitions where nothing comes: brokers "
          "forget them after their offsets.retention.minutes")
      .range(kSecond, 24 * 60 * kMinute);
}

#undef AT

}  // namespace tidemill::solution
