// The changelog in Kafka: topic <pipeline>-changelog, whose partition numbers are those of the input topic.
// It is not compacted: what a snapshot replaces is deleted by it.
#pragma once

#include <memory>
#include <mutex>
#include <string>

#include "kafka/abilities.h"
#include "kafka/producer.h"
#include "pipeline/changelog.h"

namespace tidemill::pipeline {

std::string kafka_changelog_topic(const std::string& pipeline);

// Creates the topic where it is missing, and checks one that is there. Errors: kInvalid where it has another
// number of partitions; a setting under which it would lose or refuse what is kept there, with the way out.
Status create_kafka_changelog(kafka::Admin& admin, const std::string& pipeline, int32_t partitions,
                              int32_t replication);

// Thread-safe: its tasks' frames are in the sink's transactions, and their snapshots come through here.
class KafkaChangelog final : public Changelog {
 public:
  // `abilities`: where nothing can be deleted, what a snapshot replaces stays; without idempotence a record
  // may be there twice.
  static Result<std::unique_ptr<KafkaChangelog>> open(const kafka::Connection& connection,
                                                      const std::string& pipeline,
                                                      const kafka::Abilities& abilities);

  size_t max_record_bytes() const override;
  Status append(const TopicPartition& source, const std::vector<std::string>& records) override;
  Status sync() override;
  Status read(const TopicPartition& source,
              const std::function<Status(int64_t at, std::string_view value)>& each) override;
  Result<int64_t> end(const TopicPartition& source) override;
  Status truncate_before(const TopicPartition& source, int64_t at) override;

 private:
  KafkaChangelog(kafka::Connection connection, std::string topic, const kafka::Abilities& abilities)
      : connection_(std::move(connection)), topic_(std::move(topic)), abilities_(abilities) {}
  TopicPartition partition(const TopicPartition& source) const { return {topic_, source.partition}; }

  const kafka::Connection connection_;
  const std::string topic_;
  const kafka::Abilities abilities_;
  std::unique_ptr<kafka::Admin> admin_;
  std::mutex mutex_;  // of the producer
  std::mutex refused_mutex_;
  std::string refused_;  // why the first record that the brokers did not take was refused; stays
  std::unique_ptr<kafka::Producer> producer_;  // last: what it calls is still there when it closes
};

}  // namespace tidemill::pipeline
