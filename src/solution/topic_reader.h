// A topic's committed events, for whoever looks at them: one after another, from the embedded log or from
// Kafka.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "event/batch.h"
#include "kafka/connection.h"
#include "log/log.h"
#include "solution/config.h"

namespace tidemill::solution {

// A topic of a solution that is in Kafka, and where.
struct KafkaTopic {
  std::string name;
  kafka::Connection connection;
};
// Its input, those between its stages, its output, its dead letters and its changelogs, as far as they are
// there.
std::vector<KafkaTopic> kafka_topics(const Solution& solution);
std::optional<KafkaTopic> find_kafka_topic(const Solution& solution, const std::string& name);

// Where in its partitions a reader begins, and where it ends: at what is committed as it is opened, or never.
struct TopicRange {
  std::string from = "earliest";  // earliest, latest, an offset, or a time: 2026-01-31T12:00:00Z
  int32_t partition = -1;         // -1: all
  bool follow = false;
};

// What `from` says; its position in a partition whose events are those of [first, end).
// Errors: kUser, where it is none of the four.
Result<Offset> resolve_from(const std::string& from, Offset first, Offset end,
                            const std::function<Result<Offset>(int64_t time_ms)>& at_time);

struct TopicEvent {
  const TopicPartition* source = nullptr;
  const Record* record = nullptr;
};

// Used by one thread. Events of one partition come in the order of their offsets.
class TopicReader {
 public:
  // Errors: kNotFound, naming the topics that there are; no broker answers; a partition that is not there.
  static Result<std::unique_ptr<TopicReader>> of_log(log::Log& log, const std::string& topic,
                                                     const TopicRange& range);
  static Result<std::unique_ptr<TopicReader>> of_kafka(const KafkaTopic& topic, const TopicRange& range);
  virtual ~TopicReader() = default;

  // The next event, valid until the next call; nullopt where none came within the time, or at the end.
  // Errors: what the log or the cluster says; while a broker is away it is waited for, for a while.
  Result<std::optional<TopicEvent>> next(int64_t timeout_us);
  // Everything up to the end was given.
  bool done() const { return done_; }

 protected:
  // `ends` empty: it never ends.
  explicit TopicReader(std::map<TopicPartition, Offset> ends) : ends_(std::move(ends)) {}
  // Ones without records only move their partition's end.
  virtual Result<std::vector<BatchPtr>> poll(int64_t timeout_us) = 0;
  // All that is there was polled.
  virtual bool at_end() const = 0;

 private:
  bool complete() const;

  const std::map<TopicPartition, Offset> ends_;
  std::map<TopicPartition, Offset> reached_;
  std::vector<BatchPtr> batches_;
  size_t batch_ = 0, row_ = 0;
  bool done_ = false;
  int64_t troubled_ns_ = -1;
};

}  // namespace tidemill::solution
