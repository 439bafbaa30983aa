// The embedded log as a sink: another topic, written exactly once by the log's transactions. Rows,
// dead letters, changelog frames and positions of a commit are one transaction per input partition, all
// decided by one commit record. Page: docs/connectors/log.md.
//
// What it keeps in the log's positions, for each input partition:
//   group <pipeline>         the committed position, epoch and incarnation; metadata: the counters
//   group <pipeline>#owner   the owner token, as an offset
// The producer's epoch fences; the token exists because producer epochs are 16 bits and begin again
// with a new producer id, while a token must rise for ever.
#pragma once

#include <mutex>

#include "log/log.h"
#include "pipeline/sink.h"
#include "serve/log_output.h"

namespace tidemill::serve {

struct LogSinkOptions {
  std::string pipeline;      // the group's name
  std::string topic;         // created where it is missing
  std::string source_topic;  // whose number of partitions the created topics take
  // Of a source that is no topic of this log: how many partitions that has. 0: it is one.
  int32_t source_partitions = 0;
  int32_t partitions = 0;  // of `topic`; 0: as many as the source has
  // kCreateTime keeps the events' timestamps; kLogAppendTime has the log stamp them anew.
  TimestampType timestamp_type = TimestampType::kCreateTime;
  int64_t retention_us = -1;
  int64_t retention_bytes = -1;
  std::string dead_topic;  // empty: <topic>.dead
  // A field whose value becomes the key, and by whose murmur2 the partition is chosen. Events in which it is
  // NULL have no key and go where the empty key goes. Empty: key and partition number are kept.
  std::string rekey;
  bool stateful = false;  // the pipeline keeps state: its changelog topic is created
  JsonForm form = JsonForm::kSplice;
  Compression compression = Compression::kNone;
  // A batch is appended when it has grown to this: large enough that headers and appends cost nothing, small
  // enough that it is written while the processor's cache has it.
  size_t batch_bytes = 256u << 10;
  size_t max_batch_bytes = log::Options{}.max_batch_bytes;  // the log's
  std::string weakness;                                     // of the log's durability
};

// Thread-safe. The log must outlive it; it must outlive its writers.
class LogSink final : public pipeline::Sink {
 public:
  LogSink(log::Log& log, LogSinkOptions options);

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override;
  // Errors: the source topic is missing; a topic exists with another number of partitions; the
  // field to rekey by does not exist.
  Status prepare(const Schema& schema) override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

 private:
  friend class LogWriter;
  Status create_topic(const std::string& name, int32_t partitions, bool dead);

  log::Log& log_;
  const LogSinkOptions options_;
  LogLayout layout_;
  SpareBuilders spare_;
  std::mutex takeover_;  // one takeover at a time: a token is read and raised
};

}  // namespace tidemill::serve
