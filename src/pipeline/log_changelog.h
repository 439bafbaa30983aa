// The changelog in the embedded log: topic __changelog-<pipeline>, whose partition numbers are those
// of the input topic. One record of the topic is one changelog record.
#pragma once

#include <atomic>

#include "log/log.h"
#include "pipeline/changelog.h"

namespace tidemill::pipeline {

std::string changelog_topic(const std::string& pipeline);

// Creates the topic where it is missing. Errors: kExists where it has another number of partitions.
Status create_changelog(log::Log& log, const std::string& pipeline, int32_t partitions);

// Records as RecordBatches of at most `max_bytes`, or of one record that is larger, unsealed. A sink that
// commits frames in its own transaction makes its batches with `options` of its producer.
Result<std::vector<std::string>> changelog_batches(const std::vector<std::string>& records,
                                                   const RecordBatchBuilder::Options& options,
                                                   size_t max_bytes = kChangelogPartBytes);

// Thread-safe as the log is. The log must outlive it.
class LogChangelog final : public Changelog {
 public:
  // `max_batch_bytes` is the log's.
  LogChangelog(log::Log& log, const std::string& pipeline,
               size_t max_batch_bytes = log::Options{}.max_batch_bytes)
      : log_(log), topic_(changelog_topic(pipeline)), max_batch_bytes_(max_batch_bytes) {}

  size_t max_record_bytes() const override;
  Status append(const TopicPartition& source, const std::vector<std::string>& records) override;
  Status sync() override;
  Status read(const TopicPartition& source,
              const std::function<Status(int64_t at, std::string_view value)>& each) override;
  Result<int64_t> end(const TopicPartition& source) override;
  Status truncate_before(const TopicPartition& source, int64_t at) override;

 private:
  TopicPartition partition(const TopicPartition& source) const { return {topic_, source.partition}; }

  log::Log& log_;
  const std::string topic_;
  const size_t max_batch_bytes_;
  std::atomic<uint64_t> ticket_{0};  // of the newest append, whoever's it was
};

}  // namespace tidemill::pipeline
