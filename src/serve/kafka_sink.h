// Kafka as a sink: a topic, written exactly once by Kafka's transactions. Rows, dead letters, changelog
// frames and positions of a commit are one transaction. At least once: rows and dead letters go ahead of it.
// An endpoint without transactions is written in steps (kafka_steps_writer.h).
// Page: docs/connectors/kafka.md.
//
// What it keeps in the cluster, for each input partition:
//   group <pipeline>: the committed position with its leader epoch; metadata: epoch, incarnation, counters
//   group <pipeline>.owner: the owner (kafka_owner.h)
// under the source's own partitions where it is a topic of this cluster, so that kafka-consumer-groups shows
// how far a pipeline is; else under those of a topic that stands for it (prepare_positions).
#pragma once

#include <mutex>

#include "kafka/abilities.h"
#include "kafka/admin.h"
#include "pipeline/sink.h"
#include "serve/kafka_output.h"
#include "serve/kafka_owner.h"

namespace tidemill::serve {

struct KafkaSinkOptions {
  kafka::Connection connection;
  kafka::Abilities abilities;  // of what is there
  std::string pipeline;        // the group's name
  std::string topic;           // created where it is missing
  std::string source_topic;
  int32_t source_partitions = 0;  // which created topics take
  // The id of the cluster that the source reads; empty: it reads something else.
  std::string source_cluster;
  int32_t partitions = 0;    // of `topic` where it is created; 0: as many as the source has
  bool exact = false;        // one that is there must have so many
  int32_t replication = -1;  // of created topics; -1: the cluster's default
  bool create = true;
  bool at_least_once = false;  // rows go ahead of their commit
  std::string dead_topic;      // empty: <topic>.dead
  std::string rekey;           // as LogSinkOptions::rekey
  bool stateful = false;       // the pipeline keeps state: its changelog topic is created
  JsonForm form = JsonForm::kSplice;
  Compression compression = Compression::kNone;
  int transaction_timeout_ms = 60'000;
  int64_t keep_every_us = 600'000'000;  // how often claims and positions are written again
};

// Thread-safe. It must outlive its writers.
class KafkaSink final : public pipeline::Sink {
 public:
  // Nothing is connected before prepare().
  explicit KafkaSink(KafkaSinkOptions options);

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  // Errors: the library is missing; no broker answers; the source topic is missing; a topic exists with
  // another number of partitions.
  Status prepare(const Schema& schema) override;
  // Those that the cluster does not take.
  void screen(Batch& batch) const override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class KafkaWriter;
  // The number of partitions that it has.
  Result<int32_t> prepare_topic(const std::string& name, int32_t partitions, bool dead);
  Status prepare_positions();
  Status prepare_limits();
  Status check_source_topic();
  // Of partitions that were added to the source's topic.
  Status grow_positions(std::span<const TopicPartition> partitions);
  // Under which partitions the cluster keeps what it keeps of those of the source.
  std::vector<TopicPartition> kept(const std::vector<TopicPartition>& sources) const;

  const KafkaSinkOptions options_;
  kafka::Connection writing_;  // with batches that every topic takes
  KafkaLayout layout_;
  std::string positions_topic_;  // the source's, or one that stands for it
  std::unique_ptr<kafka::Admin> admin_;
  std::unique_ptr<KafkaOwners> owners_;
  std::mutex takeover_;  // tasks of one process take over one after another
};

}  // namespace tidemill::serve
