// One epoch's rows for the Kafka sink: records in memory of their own, in the order in which they are to be
// sent.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "event/record_batch.h"
#include "pipeline/sink.h"
#include "serve/event_json.h"

namespace tidemill::serve {

struct KafkaLayout {
  std::string topic;
  int32_t partitions = 1;
  std::string dead_topic;
  std::string rekey;  // the field that becomes the key; empty: keys are kept
  JsonForm form = JsonForm::kSplice;
  std::vector<Field> fields;  // of the sink's schema
};

class KafkaOutput final : public pipeline::SinkOutput {
 public:
  // `layout` must outlive it.
  explicit KafkaOutput(const KafkaLayout& layout) : layout_(layout), json_(layout.form, layout.fields) {}

  Status write(BatchPtr& batch) override;
  size_t rows() const override { return rows_; }
  size_t bytes() const override { return bytes_; }

  struct Outgoing {
    bool dead = false;  // to the topic of dead letters
    Partition partition;
    Record record;  // its views hold as long as the output
  };
  const std::vector<Outgoing>& outgoing() const { return outgoing_; }

 private:
  void write_rows(const Batch& batch);
  void write_dead_letters(const Batch& batch);
  Partition partition_of(const Batch& batch, const Record& record) const;
  char* room(size_t bytes);
  std::string_view keep(std::string_view bytes);

  const KafkaLayout& layout_;
  EventJson json_;
  std::vector<Outgoing> outgoing_;
  std::vector<std::unique_ptr<char[]>> blocks_;
  size_t block_left_ = 0;
  char* next_ = nullptr;
  std::string key_;
  size_t rows_ = 0;
  size_t bytes_ = 0;
};

}  // namespace tidemill::serve
