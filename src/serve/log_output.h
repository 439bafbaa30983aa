// One epoch's rows for the log sink, encoded as RecordBatch v2. A batch that is full is appended at once, to
// a transaction that no reader sees before its commit: it is written while the processor's cache still has
// it, and takes no memory. What came before the output's turn, or was refused, waits for the commit.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "event/record_batch.h"
#include "pipeline/sink.h"
#include "serve/event_json.h"
#include "serve/log_producers.h"

namespace tidemill::serve {

struct LogLayout {
  std::string topic;
  int32_t partitions = 1;
  std::string dead_topic;
  int32_t dead_partitions = 1;
  std::string changelog;  // the topic of the pipeline's frames
  std::string rekey;      // the field that becomes the key; empty: keys and partitions are kept
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
  // All must outlive it.
  LogOutput(const LogLayout& layout, SpareBuilders& spare, LogProducers& producers)
      : layout_(layout),
        spare_(spare),
        producers_(producers),
        number_(producers.begin()),
        json_(layout.form, layout.fields) {}
  // What was appended and not committed is aborted.
  ~LogOutput() override;

  Status write(BatchPtr& batch) override;
  size_t rows() const override { return rows_; }
  size_t bytes() const override { return bytes_; }
  size_t memory_bytes() const override { return memory_bytes_; }

  // ---- for the commit
  // Who owned the input partition when its first rows came; null: not this writer.
  const LogProducers::Owned* owner(const TopicPartition& source) { return stream(source).owned.get(); }
  // Appends what waits of one input partition, and its frame. After an error it may be called again.
  // Precondition: it has its turn, and an owner.
  Status append_rest(const pipeline::PartitionEpoch& part);
  // Ends the transactions that it appended to; then its turn is over. Errors: the first one.
  Status abort();
  void committed() { over(); }

 private:
  struct Open {
    RecordBatchBuilder builder;
    size_t counted = 0;  // of its bytes, in bytes_ and memory_bytes_
  };
  // A whole batch that waits for its producer, sequence number and checksum.
  struct Encoded {
    TopicPartition to;
    std::string bytes;
    int32_t count = 0;
  };
  // What came from one input partition: it is appended by that partition's producer.
  struct Stream {
    std::shared_ptr<LogProducers::Owned> owned;
    std::map<TopicPartition, Open> open;
    std::deque<Encoded> waiting;  // in the order in which they are to be appended
    bool appended = false;        // something
    bool framed = false;          // the frame is among what waits, or was
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
  Stream& stream(const TopicPartition& source);
  Status write_rows(const Batch& batch, Stream& stream);
  Status write_dead_letters(const Batch& batch, Stream& stream);
  Open& open(Stream& stream, const TopicPartition& to);
  Status add(Stream& stream, const TopicPartition& to, Open& open, const Event& event);
  Status finish(Stream& stream, const TopicPartition& to, Open& open);
  void count(Open& open, size_t bytes);
  Status add_frame(Stream& stream, const pipeline::PartitionEpoch& part);
  Status append_waiting(Stream& stream);
  void over();

  const LogLayout& layout_;
  SpareBuilders& spare_;
  LogProducers& producers_;
  const uint64_t number_;
  bool over_ = false;
  bool refused_ = false;  // the log refused a batch: the commit tries again
  EventJson json_;
  std::map<TopicPartition, Stream> streams_;
  std::string appended_;  // the memory of a batch that was appended, for the next one
  std::string key_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
  size_t memory_bytes_ = 0;
};

}  // namespace tidemill::serve
