// One epoch's rows for the Kafka sink: records in memory of their own, in the order in which they are to be
// sent; or sent as they come, or together before the commit.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "event/record_batch.h"
#include "kafka/admin.h"
#include "pipeline/sink.h"
#include "serve/dead_letters.h"
#include "serve/event_json.h"
#include "serve/kafka_rows.h"

namespace tidemill::serve {

struct KafkaLayout {
  std::string topic;
  int32_t partitions = 1;
  std::string dead_topic;
  int32_t dead_partitions = 1;
  std::string rekey;  // the field that becomes the key; empty: keys are kept
  JsonForm form = JsonForm::kSplice;
  std::vector<Field> fields;                                                // of the sink's schema
  kafka::TopicLimits rows{SIZE_MAX, INT64_MAX, INT64_MAX}, letters = rows;  // of the two topics
};

// The rows of the batch that `layout.rows.bytes` does not hold, with the reason.
std::vector<RowFault> rows_too_large(const KafkaLayout& layout, const Batch& batch);

class KafkaOutput final : public pipeline::SinkOutput {
 public:
  // `layout` and `rows` must outlive it. `rows`: where records go at once; null: they are kept.
  KafkaOutput(const KafkaLayout& layout, KafkaRows* rows)
      : layout_(layout),
        json_(layout.form, layout.fields),
        sender_(rows),
        sent_(rows == nullptr ? nullptr : rows->begin()) {}
  ~KafkaOutput() override {
    if (sender_ != nullptr) sender_->done(sent_);
  }

  Status write(BatchPtr& batch) override;
  size_t rows() const override { return rows_; }
  size_t bytes() const override { return bytes_; }

  struct Outgoing {
    bool dead = false;  // to the topic of dead letters
    Partition partition;
    Record record;  // its views hold as long as the output
  };
  // What is kept.
  const std::vector<Outgoing>& outgoing() const { return outgoing_; }
  // Sends what is kept, once, however often it is called. `sender` must outlive it.
  Status send_kept(KafkaRows& sender);
  // Until what was sent is acknowledged, as KafkaRows::wait.
  Status acknowledged(int timeout_ms) const {
    return sender_ == nullptr ? Status() : sender_->wait(*sent_, timeout_ms);
  }

 private:
  Status send();
  void write_rows(const Batch& batch);
  void write_dead_letters(const Batch& batch);
  Partition partition_of(const Batch& batch, const Record& record) const;
  char* room(size_t bytes);
  std::string_view keep(std::string_view bytes);

  const KafkaLayout& layout_;
  EventJson json_;
  KafkaRows* sender_;
  KafkaRows::Sent* sent_;
  std::vector<Outgoing> outgoing_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t block_left_ = 0;
  char* next_ = nullptr;
  std::string key_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

}  // namespace tidemill::serve
