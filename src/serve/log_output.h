// One epoch's rows for the log sink, encoded as RecordBatch v2 while the epoch is filled, so that
// the commit has only to append.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "event/record_batch.h"
#include "pipeline/sink.h"
#include "serve/event_json.h"

namespace tidemill::serve {

struct LogLayout {
  std::string topic;
  int32_t partitions = 1;
  std::string dead_topic;
  std::string rekey;  // the field that becomes the key; empty: keys and partitions are kept
  JsonForm form = JsonForm::kSplice;
  Compression compression = Compression::kNone;
  size_t batch_bytes = 0;      // a batch is filled up to this
  size_t max_batch_bytes = 0;  // and never larger than this, which is the log's limit
  std::vector<Field> fields;   // of the sink's schema
};

// Builders of former epochs: they know how large a batch becomes, and need not grow to it again.
// Thread-safe.
class SpareBuilders {
 public:
  RecordBatchBuilder take();
  void give(RecordBatchBuilder builder);

 private:
  static constexpr size_t kKept = 16;
  std::mutex mutex_;
  std::vector<RecordBatchBuilder> spare_;
};

class LogOutput final : public pipeline::SinkOutput {
 public:
  // Both must outlive it.
  LogOutput(const LogLayout& layout, SpareBuilders& spare)
      : layout_(layout), spare_(spare), json_(layout.form, layout.fields) {}

  Status write(BatchPtr& batch) override;
  size_t rows() const override { return rows_; }
  size_t memory_bytes() const override { return bytes_; }

  // A whole batch that waits for its producer, sequence number and checksum.
  struct Encoded {
    TopicPartition to;
    std::string bytes;
    int32_t count = 0;
  };
  // The batches of one input partition, in the order in which they are to be appended.
  Result<std::vector<Encoded>*> take(const TopicPartition& source);

 private:
  struct Open {
    RecordBatchBuilder builder;
    size_t counted = 0;  // of its bytes, in bytes_
  };
  // What came from one input partition: it is appended by that partition's producer.
  struct Stream {
    std::map<TopicPartition, Open> open;
    std::vector<Encoded> done;
  };
  // One record to be written; borrowed.
  struct Event {
    int64_t timestamp_ms = 0;
    std::optional<std::string_view> key;
    const std::string_view* parts = nullptr;  // null: no value
    size_t part_count = 0;
    std::string_view headers;
    size_t most_bytes() const;
  };
  Status write_rows(const Batch& batch, Stream& stream);
  Status write_dead_letters(const Batch& batch, Stream& stream);
  Open& open(Stream& stream, const TopicPartition& to);
  Status add(Stream& stream, const TopicPartition& to, Open& open, const Event& event);
  Status finish(Stream& stream, const TopicPartition& to, Open& open);

  const LogLayout& layout_;
  SpareBuilders& spare_;
  EventJson json_;
  std::map<TopicPartition, Stream> streams_;
  std::string key_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

}  // namespace tidemill::serve
