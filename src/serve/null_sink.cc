#include "serve/null_sink.h"

#include <utility>

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::PartitionEpoch;

namespace {

class NullOutput final : public pipeline::SinkOutput {
 public:
  Status write(BatchPtr& batch) override {
    rows_ += batch->selected.size();
    dead_letters_ += batch->dead_letters.size();
    batch.reset();
    return {};
  }
  size_t rows() const override { return rows_; }
  // Two counters: nothing of the rows is kept.
  size_t bytes() const override { return sizeof *this; }
  size_t dead_letters() const { return dead_letters_; }

 private:
  size_t rows_ = 0;
  size_t dead_letters_ = 0;
};

}  // namespace

class NullWriter final : public pipeline::SinkWriter {
 public:
  explicit NullWriter(NullSink& sink) : sink_(sink) {}

  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override {
    std::lock_guard lock(sink_.mutex_);
    std::vector<Committed> held;
    for (const TopicPartition& source : partitions) {
      Committed& committed = sink_.committed_[source];
      ++committed.owner;
      held.push_back(committed);
    }
    return held;
  }
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<NullOutput>());
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override {
    std::lock_guard lock(sink_.mutex_);
    for (const PartitionEpoch& part : request.partitions) {
      const Committed& held = sink_.committed_[part.source];
      if (held.owner != part.owner || held.position != part.expected) {
        return external_error("null: " + part.source.to_string() + ": another owner took over",
                              Code::kFenced);
      }
    }
    for (const PartitionEpoch& part : request.partitions) {
      sink_.committed_[part.source] = {part.next, part.epoch, part.owner, part.counters, part.owner};
    }
    sink_.rows_ += output.rows();
    sink_.dead_letters_ += static_cast<const NullOutput&>(output).dead_letters();
    return {};
  }
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override {
    std::lock_guard lock(sink_.mutex_);
    std::vector<Committed> held;
    for (const TopicPartition& source : partitions) held.push_back(sink_.committed_[source]);
    return held;
  }

 private:
  NullSink& sink_;
};

pipeline::SinkTraits NullSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "null";
  traits.capability = pipeline::Capability::kAtLeastOnce;
  traits.weakness = "the null sink stores nothing: after a restart everything is processed again";
  return traits;
}
Status NullSink::prepare(const Schema&) {
  return {};
}
Result<std::unique_ptr<pipeline::SinkWriter>> NullSink::open_writer(int) {
  return std::unique_ptr<pipeline::SinkWriter>(std::make_unique<NullWriter>(*this));
}

}  // namespace tidemill::serve
