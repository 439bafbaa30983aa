// Tasks whose epochs are intervals of the wall clock: crashes, stops, takeovers and clocks that are set back
// between any two steps. Each test accounts for every event and every interval.
#include <gtest/gtest.h>

#include <functional>
#include <set>

#include "pipeline/task.h"
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

constexpr int64_t kEveryUs = 1'000'000;

// One row for each interval: "<its time> <its events>".
class CountEach final : public Operator {
 public:
  class Instance final : public OperatorInstance {
   public:
    Result<Progress> process(BatchPtr& batch, OperatorContext&, Outbox& out) override {
      count_ += batch->selected.size();
      batch->dropped += batch->selected.size();
      batch->selected.clear();
      source_ = batch->source;
      return out.push(batch) ? Progress::kDone : Progress::kAgain;
    }
    explicit Instance(CountEach& op) : op_(op) {}
    Result<Progress> end_interval(OperatorContext& context, Outbox& out) override {
      if (count_ == 0) return Progress::kDone;
      if (op_.at_end) op_.at_end();
      if (op_.interrupted) return Error{Domain::kExternal, Code::kStopped, false, "interrupted"};
      last_us_ = std::max(context.interval_us, last_us_ + kEveryUs);
      context.deltas->add(std::to_string(last_us_));
      auto text = std::make_shared<std::string>(std::to_string(last_us_) + " " + std::to_string(count_));
      count_ = 0;
      auto row = std::make_unique<Batch>();
      row->source = source_;
      Record record;
      record.has_value = true;
      record.value = *text;
      row->set_records({record}, text);
      row->select_all();
      return out.push(row) ? Progress::kAgain : Progress::kDone;
    }
    Status apply(std::string_view delta) override {
      last_us_ = std::stoll(std::string(delta));
      return {};
    }
    void snapshot(DeltaWriter& writer) override { writer.add(std::to_string(last_us_)); }

   private:
    CountEach& op_;
    TopicPartition source_;
    size_t count_ = 0;
    int64_t last_us_ = 0;
  };
  std::string name() const override { return "count_each"; }
  Status bind(Schema*) override { return {}; }
  std::vector<std::string> needs() const override { return {}; }
  bool stateful() const override { return true; }
  int64_t every_us() const override { return kEveryUs; }
  void interrupt() override { interrupted = true; }

  std::function<void()> at_end;  // when an interval with events ends
  bool interrupted = false;
  std::unique_ptr<OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<Instance>(*this);
  }
};

class DrivenClock final : public Clock {
 public:
  int64_t wall_us() override { return steady_us_ + ahead_us_; }
  int64_t steady_ns() override { return steady_us_ * 1000; }
  void sleep_us(int64_t us) override { steady_us_ += us; }
  void set_ahead_us(int64_t us) { ahead_us_ = us; }

 private:
  int64_t steady_us_ = 1'700'000'000'300'000;
  int64_t ahead_us_ = 0;
};

struct World {
  explicit World(TimestampType times = TimestampType::kCreateTime)
      : topic(std::make_shared<ModelTopic>("in", 3)),
        store(std::make_shared<ModelStore>()),
        source(topic, ModelSource::Options{100, "", false, times}),
        sink(store, false),
        changelog(store) {
    std::vector<std::unique_ptr<Operator>> operators;
    operators.push_back(std::make_unique<CountEach>());
    counting = static_cast<CountEach*>(operators.back().get());
    plan = std::move(*make_plan(Schema{}, std::move(operators), SinkNeeds{}));
  }

  void append(SeededRandom& chance, uint64_t most) {
    for (uint64_t i = chance.below(most); i > 0; --i) {
      topic->append(static_cast<int32_t>(chance.below(3)), "k", "event");
      ++appended;
    }
  }
  std::unique_ptr<Task> open_task() {
    TaskParts parts;
    parts.plan = &plan;
    parts.source = &source;
    parts.sink = &sink;
    parts.changelog = &changelog;
    parts.clock = &clock;
    parts.random = &random;
    for (int32_t p = 0; p < 3; ++p) parts.partitions.push_back(topic->partition(p));
    parts.snapshot_min_bytes = 100;
    parts.inline_commits = true;
    auto task = std::make_unique<Task>(parts);
    Status opened = task->open();
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    return task;
  }
  Task::Step step(Task& task) {
    if (task.commit_waiting() && random.below(2) == 0) task.run_commit();
    auto step = task.step(0);
    EXPECT_TRUE(step.ok()) << step.error().message;
    clock.sleep_us(static_cast<int64_t>(random.below(300'000)));
    return step.ok() ? *step : Task::Step::kEnded;
  }
  void run_to_end() {
    auto task = open_task();
    topic->finish();
    for (int i = 0; i < 1000; ++i) {
      if (step(*task) == Task::Step::kEnded) return;
    }
    FAIL() << "no end";
  }
  // Of a partition no interval twice, and no event that is in none.
  void expect_each_once() const {
    std::set<std::pair<TopicPartition, int64_t>> intervals;
    uint64_t events = 0;
    for (const testing::ModelRow& row : store->rows()) {
      const size_t space = row.value.find(' ');
      const int64_t interval = std::stoll(row.value.substr(0, space));
      EXPECT_EQ(interval % kEveryUs, 0);
      EXPECT_TRUE(intervals.insert({row.source, interval}).second) << row.value;
      events += std::stoull(row.value.substr(space + 1));
    }
    EXPECT_EQ(events, appended);
    uint64_t rows = 0;
    for (int32_t p = 0; p < 3; ++p) {
      Committed held = store->committed(topic->partition(p));
      EXPECT_EQ(held.counters.read, held.counters.dropped);
      rows += held.counters.stored;
    }
    EXPECT_EQ(rows, store->rows().size());
  }

  std::shared_ptr<ModelTopic> topic;
  std::shared_ptr<ModelStore> store;
  ModelSource source;
  ModelSink sink;
  ModelChangelog changelog;
  Plan plan;
  CountEach* counting = nullptr;
  DrivenClock clock;
  SeededRandom random{1};
  uint64_t appended = 0;
};

TEST(Interval, EndsWithTheClockAlsoWhereItsFirstEventHadWaited) {
  World world(TimestampType::kLogAppendTime);
  auto task = world.open_task();
  const int64_t begins_us = (world.clock.wall_us() / kEveryUs + 1) * kEveryUs;
  auto at = [&](int64_t us) { world.clock.sleep_us(begins_us + us - world.clock.wall_us()); };
  auto append = [&](int64_t waited_us) {
    world.topic->append(0, "k", "event", (world.clock.wall_us() - waited_us) / 1000);
    ASSERT_TRUE(task->step(0).ok());
  };
  at(2'000);
  append(500'000);
  for (int64_t us : {977'000, 985'000, 999'000}) {
    at(us);
    append(0);
    EXPECT_FALSE(task->commit_waiting()) << us;
  }
  at(kEveryUs);
  ASSERT_TRUE(task->step(0).ok());
  ASSERT_TRUE(task->commit_waiting());
  task->run_commit();
  ASSERT_EQ(world.store->rows().size(), 1u);
  EXPECT_EQ(world.store->rows()[0].value, std::to_string(begins_us) + " 4");
}

TEST(Interval, HasOneRowThroughCrashesStopsAndClocksThatGoBack) {
  for (uint64_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world;
    SeededRandom random(seed);
    for (int life = 0; life < 12; ++life) {
      auto task = world.open_task();
      for (uint64_t i = random.below(60); i > 0; --i) {
        world.append(random, 20);
        if (random.below(12) == 0) {
          constexpr Outcome kOutcomes[] = {Outcome::kFailRetryable, Outcome::kStoredButUnknown,
                                           Outcome::kLostAndUnknown};
          world.store->inject(kOutcomes[random.below(3)]);
        }
        if (random.below(20) == 0) {
          AssignmentChange change;
          change.partitions = {world.topic->partition(static_cast<int32_t>(random.below(3)))};
          change.kind = random.below(2) == 0 ? AssignmentChange::kRevoked : AssignmentChange::kLost;
          world.topic->change(0, change);
          ASSERT_NE(world.step(*task), Task::Step::kEnded);
          change.kind = AssignmentChange::kAssigned;
          world.topic->change(0, change);
        }
        if (random.below(30) == 0)
          world.clock.set_ahead_us(static_cast<int64_t>(random.below(20'000'000)) - 10'000'000);
        ASSERT_NE(world.step(*task), Task::Step::kEnded);
      }
      if (random.below(2) == 0) continue;  // it is killed
      task->drain();
      while (world.step(*task) != Task::Step::kEnded) {
      }
    }
    world.run_to_end();
    world.expect_each_once();
  }
}

TEST(Interval, IsDoneAgainWhereItsCommitIsGivenUpForARevocationOfWhatIsNotHeld) {
  World world;
  SeededRandom random(3);
  world.append(random, 40);
  auto task = world.open_task();
  const AssignmentChange revoked{AssignmentChange::kRevoked, {world.topic->partition(1)}};
  world.topic->change(0, revoked);
  while (!task->commit_waiting()) {
    ASSERT_TRUE(task->step(0).ok());
    world.clock.sleep_us(50'000);
  }
  for (int i = 0; i < 1000; ++i) world.store->inject(Outcome::kFailRetryable);
  world.topic->change(0, revoked);
  for (int i = 0; i < 2; ++i) {
    auto step = task->step(0);
    ASSERT_TRUE(step.ok()) << step.error().message;
  }
  EXPECT_TRUE(world.store->rows().empty());
  world.store->forget_injected();
  world.topic->change(0, {AssignmentChange::kAssigned, {world.topic->partition(1)}});
  ASSERT_TRUE(task->step(0).ok());
  task.reset();
  world.run_to_end();
  world.expect_each_once();
}

TEST(Interval, IsDoneAgainWhereItsOperatorWasInterruptedByAStop) {
  World world;
  SeededRandom random(3);
  world.append(random, 40);
  auto task = world.open_task();
  world.counting->at_end = [&] {
    task->drain();
    world.counting->interrupt();
  };
  while (world.step(*task) != Task::Step::kEnded) {
  }
  EXPECT_TRUE(world.store->rows().empty());
  world.counting->at_end = {};
  world.counting->interrupted = false;
  world.run_to_end();
  world.expect_each_once();
}

// Where nothing drains it is an error like any other.
TEST(Interval, AnOperatorThatStopsByItselfStopsTheTask) {
  World world;
  world.topic->append(0, "k", "event");
  ++world.appended;
  auto task = world.open_task();
  world.counting->interrupt();
  Result<Task::Step> step = Task::Step::kWorked;
  for (int i = 0; i < 100 && step.ok(); ++i) {
    step = task->step(0);
    world.clock.sleep_us(100'000);
  }
  ASSERT_FALSE(step.ok());
  EXPECT_EQ(step.error().code, Code::kStopped);
}

TEST(Interval, EndsWhereTheNextBeginsAndIsLeftAloneByAStop) {
  World world;
  auto task = world.open_task();
  world.topic->append(0, "k", "event");
  while (world.clock.wall_us() < 1'700'000'000'900'000) {
    ASSERT_TRUE(task->step(0).ok());
    EXPECT_FALSE(task->commit_waiting());
    world.clock.sleep_us(50'000);
  }
  world.topic->append(1, "k", "event");
  while (!task->commit_waiting()) {
    ASSERT_LE(world.clock.wall_us(), 1'700'000'001'050'000);
    ASSERT_TRUE(task->step(0).ok());
    world.clock.sleep_us(50'000);
  }
  task->run_commit();
  ASSERT_EQ(world.store->rows().size(), 2U);
  for (const testing::ModelRow& row : world.store->rows()) EXPECT_EQ(row.value, "1700000000000000 1");

  world.topic->append(2, "k", "event");
  ASSERT_TRUE(task->step(0).ok());
  task->drain();
  while (*task->step(0) != Task::Step::kEnded) {
  }
  EXPECT_EQ(world.store->rows().size(), 2U);
  EXPECT_FALSE(world.store->committed(world.topic->partition(2)).position);
}

}  // namespace
}  // namespace tidemill::pipeline
