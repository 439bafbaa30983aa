// A Kafka topic as a source, read committed. Page: docs/connectors/kafka.md.
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "kafka/admin.h"
#include "kafka/reader.h"
#include "pipeline/source.h"

namespace tidemill::ingest {

struct KafkaSourceOptions {
  kafka::Connection connection;
  std::string topic;     // or a pattern (kafka/topic_pattern.h): all that match, also those yet to come
  std::string pipeline;  // the group
  // The group shares the partitions out, to every task of every process of the pipeline (its `topic` is set
  // here, and each task's `instance`). Else this process reads all of them.
  std::optional<kafka::Membership> membership;
  bool keyed = false;  // state is kept by key: a partition that is added would leave it behind
  enum class Start { kEarliest, kLatest, kTime } start = Start::kEarliest;
  int64_t start_time_us = 0;                 // kTime: the first event of this time or later
  std::map<int32_t, int64_t> start_offsets;  // by partition, instead of that
  // A task's partitions in the order of their batches' times, of some 64 KiB each, however far behind it is;
  // as near as 32 MiB in memory give it, and but for those of which nothing comes (kafka_merge.h). Else as
  // they come.
  bool by_time = false;
  bool skip_deleted = false;       // events that retention deleted are passed over; else it stops
  size_t queue_bytes = 16u << 20;  // fetched ahead by one task
  int timeout_ms = 30'000;         // of what is asked beside reading
  int64_t look_us = 5'000'000;     // without a group: how often new partitions are looked for
  int fetch_wait_ms = 100;         // how long a broker keeps a request for which it has nothing
};

// Thread-safe; it must outlive its readers.
class KafkaSource final : public pipeline::Source {
 public:
  // Asks the cluster for the topic. Errors: no broker answers; kNotFound.
  static Result<std::unique_ptr<KafkaSource>> open(KafkaSourceOptions options);
  // Asks nobody: for its traits and the number of its partitions, where the topic is yet to be created.
  static std::unique_ptr<KafkaSource> assume(KafkaSourceOptions options, int32_t partitions);

  // As Admin::cluster_id; empty where nobody was asked.
  Result<std::string> cluster_id();
  // The sink keeps the positions elsewhere: the group is told of them, for whoever looks at its lag. Before
  // any reader is opened.
  void tell_group() { tells_group_ = true; }
  void leave_for_good() override { leaves_ = true; }
  pipeline::SourceTraits traits() const override;
  Result<std::vector<TopicPartition>> partitions() override;
  Result<std::unique_ptr<pipeline::SourceReader>> open_reader(int task) override;
  Result<std::vector<std::pair<TopicPartition, Offset>>> ends() override;
  Result<bool> holds_events(const TopicPartition& tp, const std::optional<Position>& from,
                            Offset to) override;

 private:
  friend class KafkaSourceReader;
  Status look_for_topics();
  Status note_latest();
  void note_session();
  // What is there to be read, with numbers of partitions.
  Result<std::map<std::string, int32_t>> found_now();
  // Those that nobody was told of; who asks is told.
  Result<std::vector<TopicPartition>> new_partitions();
  // What matches of that which is read here, or by the group; what was deleted no longer does.
  Status look_again();
  Result<Position> start_position(const TopicPartition& tp);
  // How a position is forgotten, for a message; empty where Kafka's tools cannot.
  std::string forgetting(const TopicPartition& tp) const;
  Result<Position> given_start(const TopicPartition& tp, int64_t offset);
  Result<std::unique_ptr<kafka::Reader>> open_member(int task);
  explicit KafkaSource(KafkaSourceOptions options) : options_(std::move(options)) {}

  const KafkaSourceOptions options_;
  bool tells_group_ = false;
  std::atomic<bool> leaves_{false};
  int64_t brokers_session_ms_ = 0;  // protocol: consumer; 0: not known
  std::unique_ptr<kafka::Admin> admin_;
  kafka::TopicDescription topic_;              // of a pattern: of all of them
  std::map<TopicPartition, Position> latest_;  // Start::kLatest: where they ended when it was opened
  mutable std::mutex mutex_;
  // With numbers of partitions: what matched a pattern when it was last looked for, and what readers, of one
  // topic too, were told of.
  std::map<std::string, int32_t> topics_, told_;
  bool said_none_ = false;
};

}  // namespace tidemill::ingest
