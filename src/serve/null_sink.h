// A sink that counts and forgets: for benchmarks of everything before it. Positions live as long as
// the sink does, so a restart begins again.
#pragma once

#include <atomic>
#include <map>
#include <mutex>

#include "pipeline/sink.h"

namespace tidemill::serve {

// Thread-safe; the writers must not outlive it.
class NullSink final : public pipeline::Sink {
 public:
  // `needs`: what it has the pipeline do for it all the same, so that the cost of decoding can be measured.
  explicit NullSink(pipeline::SinkNeeds needs = {}) : needs_(std::move(needs)) {}

  pipeline::SinkTraits traits() const override;
  pipeline::SinkNeeds needs() const override { return needs_; }
  Status prepare(const Schema& schema) override;
  Result<std::unique_ptr<pipeline::SinkWriter>> open_writer(int task) override;

  uint64_t rows() const { return rows_; }
  uint64_t dead_letters() const { return dead_letters_; }

 private:
  friend class NullWriter;
  const pipeline::SinkNeeds needs_;
  std::atomic<uint64_t> rows_{0};
  std::atomic<uint64_t> dead_letters_{0};
  std::mutex mutex_;
  std::map<TopicPartition, pipeline::Committed> committed_;
};

}  // namespace tidemill::serve
