// A Kafka cluster by bare librdkafka: the loops that the program is compared with, and the readers that count
// what it left. Partitions are assigned, not subscribed to; every topic is read to the end that it has.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace baseline {

void kafka_create(const std::string& brokers, const std::string& topic, int partitions);
void kafka_delete(const std::string& brokers, const std::string& topic);

// Consumes, parses two fields with On-Demand, splices two members in, produces to the partition of the same
// number. Offsets go into the transaction, one every `commit_ms`. No dedup, no state, one thread beside
// librdkafka's. Returns how many events.
uint64_t kafka_relay(const std::string& brokers, const std::string& from, const std::string& to,
                     int commit_ms);

// Consumes and looks at nothing.
uint64_t kafka_consume(const std::string& brokers, const std::string& from);

// Idempotent, acknowledged by all in-sync replicas, with keys, waits for no single answer.
class KafkaProducer {
 public:
  KafkaProducer(const std::string& brokers, const std::string& topic);
  ~KafkaProducer();
  // Partition -1: by the key. A full queue is waited for.
  void send(int partition, std::string_view key, std::string_view value);
  // Waits until everything is acknowledged.
  void flush();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// What read_committed readers see of a topic whose values begin with {"eventId":"…36 characters…".
struct KafkaContent {
  uint64_t records = 0;
  uint64_t distinct = 0;  // by eventId
  uint64_t ids = 0;       // the sum of the XXH3 of every distinct eventId
};
KafkaContent kafka_content(const std::string& brokers, const std::string& topic);

// Reads a topic committed, from its end, until `records` have come or nothing came for 10 s; milliseconds
// from each event's createdAt to its arrival here, in order of arrival. Prints "ready" once it reads.
std::vector<double> kafka_latencies(const std::string& brokers, const std::string& topic, uint64_t records);

}  // namespace baseline
