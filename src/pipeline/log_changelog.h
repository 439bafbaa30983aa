// The changelog in the embedded log: topic __changelog-<pipeline>, whose partition numbers are those
// of the input topic. One record of the topic is one changelog record.
#pragma once

#include "log/log.h"
#include "pipeline/changelog.h"

namespace tidemill::pipeline {

std::string changelog_topic(const std::string& pipeline);

// Creates the topic where it is missing. Errors: kExists where it has another number of partitions.
Status create_changelog(log::Log& log, const std::string& pipeline, int32_t partitions);

// Records as one RecordBatch per `max_bytes` or so, at least one record each, unsealed. A sink that
// commits frames in its own transaction makes its batches with `options` of its producer.
Result<std::vector<std::string>> changelog_batches(const std::vector<std::string>& records,
                                                   const RecordBatchBuilder::Options& options,
                                                   size_t max_bytes = 4u << 20);

// Thread-safe as the log is. The log must outlive it.
class LogChangelog final : public Changelog {
 public:
  LogChangelog(log::Log& log, const std::string& pipeline) : log_(log), topic_(changelog_topic(pipeline)) {}

  Status append(const TopicPartition& source, const std::vector<std::string>& records, bool durable) override;
  Status read(const TopicPartition& source,
              const std::function<Status(int64_t at, std::string_view value)>& each) override;
  Result<int64_t> end(const TopicPartition& source) override;
  Status truncate_before(const TopicPartition& source, int64_t at) override;

 private:
  TopicPartition partition(const TopicPartition& source) const { return {topic_, source.partition}; }

  log::Log& log_;
  const std::string topic_;
};

}  // namespace tidemill::pipeline
