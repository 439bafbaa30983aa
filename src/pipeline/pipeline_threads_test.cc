// The threads of a pipeline at once: two tasks with two threads each, a producer, somebody who looks at the
// progress, and drains and stops at any moment. Run under ThreadSanitizer too.
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "pipeline/listener.h"
#include "pipeline/pipeline.h"
#include "pipeline/testing/model_sink.h"
#include "pipeline/testing/model_source.h"

namespace tidemill::pipeline {
namespace {

using testing::ModelChangelog;
using testing::ModelSink;
using testing::ModelSource;
using testing::ModelStore;
using testing::ModelTopic;
using testing::Outcome;

// Counts per partition, as a delta of each batch: a frame that is lost or applied twice shows.
class TallyOperator final : public Operator {
 public:
  class Instance final : public OperatorInstance {
   public:
    Result<Progress> process(BatchPtr& batch, OperatorContext& context, Outbox& out) override {
      context.deltas->add(std::to_string(batch->selected.size()));
      count_ += batch->selected.size();
      return out.push(batch) ? Progress::kDone : Progress::kAgain;
    }
    Status apply(std::string_view delta) override {
      count_ += std::stoul(std::string(delta));
      return {};
    }
    void snapshot(DeltaWriter& writer) override { writer.add(std::to_string(count_)); }
    size_t state_bytes() const override { return sizeof *this; }

   private:
    size_t count_ = 0;
  };
  std::string name() const override { return "counting"; }
  Status bind(Schema*) override { return {}; }
  std::vector<std::string> needs() const override { return {}; }
  bool stateful() const override { return true; }
  std::unique_ptr<OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<Instance>();
  }
};

class CountingListener final : public Listener {
 public:
  void on_commit(const CommitReport& report) override { rows += report.rows; }
  void on_retry(const std::string&) override { ++retries; }
  std::atomic<uint64_t> rows{0};
  std::atomic<int> retries{0};
};

struct ThreadedWorld {
  static constexpr int32_t kPartitions = 4;
  ThreadedWorld()
      : topic(std::make_shared<ModelTopic>("in", kPartitions)),
        store(std::make_shared<ModelStore>()),
        source(topic),
        sink(store, false),
        changelog(store) {
    std::vector<std::unique_ptr<Operator>> operators;
    operators.push_back(std::make_unique<TallyOperator>());
    plan = std::move(*make_plan(Schema{}, std::move(operators), SinkNeeds{}));
  }
  std::unique_ptr<Pipeline> make_pipeline() {
    Pipeline::Parts parts{&plan, &source, &sink, &changelog, &Clock::system(), &random, &listener};
    PipelineOptions options;
    options.tasks = 2;
    options.limits.max_events = 50;
    options.snapshot_min_bytes = 200;
    return std::make_unique<Pipeline>(parts, options);
  }
  void append(int count) {
    for (int i = 0; i < count; ++i, ++appended)
      topic->append(appended % kPartitions, "k", std::to_string(appended.load()));
  }
  void expect_exactly_once() const {
    std::map<std::string, int> stored;
    for (const testing::ModelRow& row : store->rows()) ++stored[row.value];
    EXPECT_EQ(stored.size(), static_cast<size_t>(appended));
    for (const auto& [value, times] : stored) EXPECT_EQ(times, 1) << value;
  }

  std::shared_ptr<ModelTopic> topic;
  std::shared_ptr<ModelStore> store;
  ModelSource source;
  ModelSink sink;
  ModelChangelog changelog;
  Plan plan;
  SeededRandom random{1};
  CountingListener listener;
  std::atomic<int> appended{0};
};

TEST(PipelineThreads, DrainsAndStopsAtAnyMomentLoseAndDoubleNothing) {
  ThreadedWorld world;
  SeededRandom moments(7);
  std::atomic<bool> producing{true};
  std::thread producer([&] {
    while (producing) {
      // Ahead of the commits, each of which takes at most 200 events, but never far.
      if (static_cast<uint64_t>(world.appended) < 250 * (world.store->commits() + 4)) world.append(10);
      std::this_thread::yield();
    }
  });
  for (int life = 0; life < 25; ++life) {
    if (life % 3 == 0)
      world.store->inject(life % 2 == 0 ? Outcome::kFailRetryable : Outcome::kStoredButUnknown);
    auto pipeline = world.make_pipeline();
    ASSERT_TRUE(pipeline->start().ok());
    std::atomic<bool> looking{true};
    std::thread watcher([&] {
      while (looking) {
        for (const LaneProgress& lane : pipeline->progress())
          EXPECT_GE(lane.read.offset, lane.committed.offset);
        (void)pipeline->settled();
      }
    });
    // A moment by what was committed, not by the clock.
    uint64_t until = world.store->commits() + moments.below(12);
    while (world.store->commits() < until && pipeline->running()) std::this_thread::yield();
    if (life % 2 == 0)
      pipeline->drain();
    else
      pipeline->stop_now();
    Status ended = pipeline->wait();
    EXPECT_TRUE(ended.ok()) << ended.error().message;
    looking = false;
    watcher.join();
  }
  producing = false;
  producer.join();
  world.topic->finish();
  auto last = world.make_pipeline();
  ASSERT_TRUE(last->start().ok());
  Status ended = last->wait();
  EXPECT_TRUE(ended.ok()) << ended.error().message;
  world.expect_exactly_once();
}

TEST(PipelineThreads, StoppingWhileDrainingAndTwoWhoStopAreFine) {
  ThreadedWorld world;
  for (int life = 0; life < 20; ++life) {
    world.append(200);
    auto pipeline = world.make_pipeline();
    ASSERT_TRUE(pipeline->start().ok());
    std::thread drainer([&] { pipeline->drain(); });
    std::thread stopper([&] { pipeline->stop_now(); });
    drainer.join();
    stopper.join();
    EXPECT_TRUE(pipeline->wait().ok());
  }
  world.topic->finish();
  auto last = world.make_pipeline();
  ASSERT_TRUE(last->start().ok());
  EXPECT_TRUE(last->wait().ok());
  world.expect_exactly_once();
}

}  // namespace
}  // namespace tidemill::pipeline
