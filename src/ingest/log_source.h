// The embedded log as a source: one topic, read committed, whole batches handed on as they stand.
#pragma once

#include "event/record_batch.h"
#include "log/log.h"
#include "pipeline/source.h"

namespace tidemill::ingest {

struct LogSourceOptions {
  std::string topic;
  // Holds back retention, per task, for what was read and is not yet committed: the pipeline's name. Empty:
  // holds nothing, and a reader may be destroyed when the log is gone.
  std::string pipeline;
  enum class Start { kEarliest, kLatest, kTime } start = Start::kEarliest;
  int64_t start_time_us = 0;  // kTime: the first event whose batch is of this time or later
  // The partitions' batches as near to the order of their times as reading 64 KiB of each at a time gives it,
  // however far behind the reader is. Else whole shares of each, in turn.
  bool by_time = false;
  // What is decompressed at once. A batch that alone decompresses to more is refused.
  size_t max_decompressed_bytes = kMaxDecompressedBytes;
  // What the log's durability may lose, as pipeline::SourceTraits::weakness; empty under kSync.
  std::string weakness;
};

// What a log of this durability may lose although it acknowledged it; empty: nothing.
std::string durability_weakness(log::Durability durability);

// Thread-safe; the log must outlive it and its readers, but for readers that hold nothing.
class LogSource final : public pipeline::Source {
 public:
  // Errors: kNotFound, naming the topics that there are.
  static Result<std::unique_ptr<LogSource>> open(log::Log& log, LogSourceOptions options);

  pipeline::SourceTraits traits() const override;
  Result<std::vector<TopicPartition>> partitions() override;
  Result<std::unique_ptr<pipeline::SourceReader>> open_reader(int task) override;
  Result<std::vector<std::pair<TopicPartition, Offset>>> ends() override;

 private:
  LogSource(log::Log& log, LogSourceOptions options, log::TopicConfig config)
      : log_(log), options_(std::move(options)), config_(config) {}

  log::Log& log_;
  const LogSourceOptions options_;
  const log::TopicConfig config_;
};

}  // namespace tidemill::ingest
