// Tasks driven step by step over the model source and store: crashes between any two steps, lost
// answers, takeovers. Each test accounts for every event.
#include "pipeline/task.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

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

// Drops every value that it has seen: state that must survive exactly.
class SeenOnce final : public Operator {
 public:
  class Instance final : public OperatorInstance {
   public:
    Result<Progress> process(BatchPtr& batch, OperatorContext& context, Outbox& out) override {
      std::vector<uint32_t> kept;
      for (uint32_t row : batch->selected) {
        std::string value(batch->records()[row].value);
        if (!seen_.insert(value).second) {
          ++batch->dropped;
          continue;
        }
        context.deltas->add(value);
        kept.push_back(row);
      }
      batch->selected = std::move(kept);
      return out.push(batch) ? Progress::kDone : Progress::kAgain;
    }
    Status apply(std::string_view delta) override {
      if (!seen_.insert(std::string(delta)).second)
        return internal_error("a delta was applied twice", Code::kCorrupt);
      return {};
    }
    void snapshot(DeltaWriter& writer) override {
      for (const std::string& value : seen_) writer.add(value);
    }
    size_t state_bytes() const override { return seen_.size() * 64; }

   private:
    std::set<std::string> seen_;
  };
  std::string name() const override { return "seen_once"; }
  Status bind(Schema*) override { return {}; }
  std::vector<std::string> needs() const override { return {}; }
  bool stateful() const override { return true; }
  std::unique_ptr<OperatorInstance> open(const TopicPartition&) override {
    return std::make_unique<Instance>();
  }
};

class DrivenClock final : public Clock {
 public:
  int64_t wall_us() override { return now_ns_ / 1000; }
  int64_t steady_ns() override { return now_ns_; }
  void sleep_us(int64_t us) override { now_ns_ += us * 1000; }
  void advance_us(int64_t us) { now_ns_ += us * 1000; }

 private:
  int64_t now_ns_ = 1'700'000'000'000'000'000;
};

ModelSource::Options small_batches() {
  ModelSource::Options options;
  options.max_batch_events = 7;
  return options;
}

// A world that outlives the processes in it.
struct World {
  explicit World(ModelStore::Options options = {}, int32_t partitions = 2,
                 ModelSource::Options read = small_batches())
      : topic(std::make_shared<ModelTopic>("in", partitions)),
        store(std::make_shared<ModelStore>(options)),
        source(topic, read),
        sink(store, false),
        changelog(store) {
    std::vector<std::unique_ptr<Operator>> operators;
    operators.push_back(std::make_unique<SeenOnce>());
    plan = std::move(*make_plan(Schema{}, std::move(operators), SinkNeeds{}));
  }

  // Values repeat: every third event is one that was there before.
  void append(SeededRandom& chance, int count) {
    for (int i = 0; i < count; ++i) {
      auto partition = static_cast<int32_t>(chance.below(static_cast<uint64_t>(topic->partitions())));
      std::string value = "p" + std::to_string(partition) + "-" +
                          std::to_string(chance.below(static_cast<uint64_t>(appended) + 1) * 2 / 3);
      topic->append(partition, "k", value);
      expected.insert(value);
      ++appended;
    }
  }

  std::unique_ptr<Task> open_task(std::vector<TopicPartition> partitions, uint64_t snapshot_min = 300) {
    TaskParts parts;
    parts.plan = &plan;
    parts.source = &source;
    parts.sink = &sink;
    parts.changelog = &changelog;
    parts.clock = &clock;
    parts.random = &random;
    parts.partitions = std::move(partitions);
    parts.snapshot_min_bytes = snapshot_min;
    parts.limits.max_events = 40;
    parts.inline_commits = true;
    auto task = std::make_unique<Task>(parts);
    Status opened = task->open();
    EXPECT_TRUE(opened.ok()) << opened.error().message;
    return task;
  }
  std::vector<TopicPartition> all() const {
    std::vector<TopicPartition> partitions;
    for (int32_t p = 0; p < topic->partitions(); ++p) partitions.push_back(topic->partition(p));
    return partitions;
  }

  void expect_exactly_once() const {
    std::map<std::string, int> stored;
    for (const testing::ModelRow& row : store->rows()) ++stored[row.value];
    for (const auto& [value, times] : stored) EXPECT_EQ(times, 1) << value;
    EXPECT_EQ(stored.size(), expected.size());
    uint64_t read = 0;
    for (int32_t p = 0; p < topic->partitions(); ++p) {
      Committed committed = store->committed(topic->partition(p));
      if (!committed.position) continue;
      EXPECT_EQ(committed.position->offset, topic->end(p));
      EXPECT_EQ(committed.counters.read, committed.counters.stored + committed.counters.dropped);
      read += committed.counters.read;
    }
    EXPECT_EQ(read, static_cast<uint64_t>(appended));
  }

  std::shared_ptr<ModelTopic> topic;
  std::shared_ptr<ModelStore> store;
  ModelSource source;
  ModelSink sink;
  ModelChangelog changelog;
  Plan plan;
  DrivenClock clock;
  SeededRandom random{1};
  std::set<std::string> expected;
  int appended = 0;
};

// Steps until the topic's end is committed.
Status run_to_end(World& world, Task& task) {
  world.topic->finish();
  for (int i = 0; i < 100'000; ++i) {
    if (task.commit_waiting()) task.run_commit();
    TM_ASSIGN(Task::Step step, task.step(0));
    if (step == Task::Step::kEnded) return {};
    world.clock.advance_us(10'000);
  }
  return internal_error("no end");
}

void crash_at_random_steps(uint64_t seed, ModelStore::Options options) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  World world(options);
  SeededRandom random(seed);
  for (int life = 0; life < 12; ++life) {
    auto task = world.open_task(world.all());
    uint64_t steps = random.below(60);
    for (uint64_t i = 0; i < steps; ++i) {
      if (random.below(3) == 0) world.append(random, static_cast<int>(random.below(30)));
      // A lost answer, or a transient error, now and then.
      if (random.below(12) == 0) {
        constexpr Outcome kOutcomes[] = {Outcome::kFailRetryable, Outcome::kStoredButUnknown,
                                         Outcome::kLostAndUnknown};
        world.store->inject(kOutcomes[random.below(3)]);
      }
      if (random.below(15) == 0) world.topic->fail_polls(1);
      if (task->commit_waiting() && random.below(2) == 0) task->run_commit();
      auto step = task->step(0);
      ASSERT_TRUE(step.ok()) << step.error().message;
      world.clock.advance_us(static_cast<int64_t>(random.below(80'000)));
    }
    // The process dies here, wherever it is.
  }
  auto task = world.open_task(world.all());
  Status ended = run_to_end(world, *task);
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  world.expect_exactly_once();
}

TEST(Task, StoresEverythingOnceThroughCrashesAtAnyStep) {
  for (uint64_t seed = 1; seed <= 150; ++seed) crash_at_random_steps(seed, {});
}

TEST(Task, StoresEverythingOnceWithTheChangelogInTheSinksTransaction) {
  ModelStore::Options options;
  options.changelog_in_transaction = true;
  for (uint64_t seed = 1; seed <= 150; ++seed) crash_at_random_steps(seed, options);
}

TEST(Task, ALaterOwnerFencesAnEarlierOne) {
  World world;
  SeededRandom random(3);
  world.append(random, 100);
  auto old_owner = world.open_task(world.all());
  while (!old_owner->commit_waiting()) ASSERT_TRUE(old_owner->step(0).ok());
  auto new_owner = world.open_task(world.all());
  old_owner->run_commit();
  auto step = old_owner->step(0);
  ASSERT_FALSE(step.ok());
  EXPECT_EQ(step.error().code, Code::kFenced);
  ASSERT_TRUE(run_to_end(world, *new_owner).ok());
  world.expect_exactly_once();
}

TEST(Task, AnEarlierOwnersSnapshotCutsNothingOfALaterOne) {
  World world;
  SeededRandom random(4);
  world.append(random, 100);
  auto old_owner = world.open_task(world.all(), 1);
  while (!old_owner->commit_waiting()) ASSERT_TRUE(old_owner->step(0).ok());
  old_owner->run_commit();  // after this its snapshot is due
  auto new_owner = world.open_task(world.all(), 1u << 20);
  for (int epoch = 0; epoch < 2; ++epoch) {
    world.append(random, 100);
    while (!new_owner->commit_waiting()) ASSERT_TRUE(new_owner->step(0).ok());
    new_owner->run_commit();
  }
  Status ended;
  for (int i = 0; i < 10 && ended.ok(); ++i) {
    if (old_owner->commit_waiting()) old_owner->run_commit();
    auto step = old_owner->step(0);
    if (!step.ok()) ended = step.error();
  }
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().code, Code::kFenced);
  auto third_owner = world.open_task(world.all());
  ASSERT_TRUE(run_to_end(world, *third_owner).ok());
  world.expect_exactly_once();
}

// Else what came after the first start would be passed over by the next.
TEST(Task, WhereAPipelineBeganAtTheLatestIsKeptThoughNothingCame) {
  ModelSource::Options read = small_batches();
  read.from_latest = true;
  World world({}, 3, read);
  SeededRandom random(6);
  world.append(random, 50);
  {
    auto task = world.open_task(world.all());
    for (int i = 0; i < 20 && world.store->commits() == 0; ++i) {
      if (task->commit_waiting()) task->run_commit();
      ASSERT_TRUE(task->step(0).ok());
      world.clock.advance_us(10'000);
    }
    for (const TopicPartition& tp : world.all()) {
      EXPECT_EQ(world.store->committed(tp).position->offset, world.topic->end(tp.partition.value()));
    }
  }
  world.topic->append(1, "k", "while nobody ran");
  auto task = world.open_task(world.all());
  ASSERT_TRUE(run_to_end(world, *task).ok());
  ASSERT_EQ(world.store->rows().size(), 1U);
  EXPECT_EQ(world.store->rows()[0].value, "while nobody ran");
}

// Its new owners have the numbers of earlier ones, whose frames must not be taken for theirs.
TEST(Task, AStoreThatForgotIsFilledAnewBesideTheOldChangelog) {
  World world;
  SeededRandom random(5);
  for (int owner = 0; owner < 3; ++owner) {
    auto task = world.open_task(world.all(), 1u << 20);
    world.append(random, 100);
    for (int epoch = 0; epoch < 2; ++epoch) {
      while (!task->commit_waiting()) ASSERT_TRUE(task->step(0).ok());
      task->run_commit();
    }
  }
  world.store->forget();
  {
    auto task = world.open_task(world.all(), 1u << 20);
    for (int epoch = 0; epoch < 3; ++epoch) {  // the third was another owner's
      while (!task->commit_waiting()) ASSERT_TRUE(task->step(0).ok());
      task->run_commit();
    }
  }
  auto task = world.open_task(world.all());
  Status ended = run_to_end(world, *task);
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  world.expect_exactly_once();
}

TEST(Task, PartitionsMoveBetweenTasksUnderLoad) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    World world({}, 3);
    SeededRandom random(seed);
    auto task = world.open_task(world.all());
    for (int i = 0; i < 150; ++i) {
      if (random.below(2) == 0) world.append(random, 9);
      if (random.below(10) == 0) {
        AssignmentChange change;
        change.partitions = {world.topic->partition(static_cast<int32_t>(random.below(3)))};
        change.kind = random.below(2) == 0 ? AssignmentChange::kRevoked : AssignmentChange::kLost;
        world.topic->change(0, change);
        ASSERT_TRUE(task->step(0).ok());
        change.kind = AssignmentChange::kAssigned;
        world.topic->change(0, change);
      }
      if (task->commit_waiting()) task->run_commit();
      auto step = task->step(0);
      ASSERT_TRUE(step.ok()) << step.error().message;
      world.clock.advance_us(30'000);
    }
    ASSERT_TRUE(run_to_end(world, *task).ok());
    world.expect_exactly_once();
  }
}

// As of a topic that comes to match a pattern, of which the source tells once.
TEST(Task, WhatCannotBeTakenOverWhileItRunsIsTakenOverLaterThoughNothingIsShared) {
  World world;
  SeededRandom random(7);
  ASSERT_FALSE(world.source.traits().assigns);
  auto task = world.open_task({world.topic->partition(0)});
  world.append(random, 50);
  world.store->fail_acquires(2);
  world.topic->change(0, {AssignmentChange::kAssigned, {world.topic->partition(1)}});
  for (int i = 0; i < 1'000 && task->progress().size() < 2; ++i) {
    if (task->commit_waiting()) task->run_commit();
    auto step = task->step(0);
    ASSERT_TRUE(step.ok()) << step.error().message;
    EXPECT_TRUE(task->progress().size() == 2 || !task->settled());
    world.clock.advance_us(100'000);
  }
  ASSERT_TRUE(run_to_end(world, *task).ok());
  world.expect_exactly_once();
}

// A stop must end, however long the store is down; a kill after it would lose nothing either.
TEST(Task, ADrainWaitsForAFailingStoreForAWhileOnly) {
  for (Outcome outcome : {Outcome::kFailRetryable, Outcome::kLostAndUnknown}) {
    World world;
    SeededRandom random(6);
    world.append(random, 50);
    auto task = world.open_task(world.all());
    while (!task->commit_waiting()) ASSERT_TRUE(task->step(0).ok());
    for (int i = 0; i < 1000; ++i) world.store->inject(outcome);
    task->drain();
    const int64_t begun_us = world.clock.wall_us();
    task->run_commit();
    const int64_t waited_us = world.clock.wall_us() - begun_us;
    EXPECT_GE(waited_us, RetryPolicy().drain_us);
    EXPECT_LT(waited_us, RetryPolicy().drain_us + RetryPolicy().longest_us);
    auto step = task->step(0);
    ASSERT_FALSE(step.ok());
    EXPECT_EQ(step.error().code, Code::kStopped) << step.error().message;
    EXPECT_TRUE(world.store->rows().empty());

    world.store->forget_injected();
    auto next = world.open_task(world.all());
    ASSERT_TRUE(run_to_end(world, *next).ok());
    world.expect_exactly_once();
  }
}

// Whoever is to have the partitions next waits, and a member that does not poll is put out of its group.
TEST(Task, RevokedAndLostPartitionsAreDroppedWhereTheStoreIsDownForLong) {
  for (const auto kind : {AssignmentChange::kRevoked, AssignmentChange::kLost}) {
    World world;
    SeededRandom random(6);
    world.append(random, 50);
    auto task = world.open_task(world.all());
    while (!task->commit_waiting()) ASSERT_TRUE(task->step(0).ok());
    for (int i = 0; i < 1000; ++i) world.store->inject(Outcome::kFailRetryable);
    world.topic->change(0, {kind, {world.topic->partition(1)}});
    const int64_t begun_us = world.clock.wall_us();
    // The commit runs in this step, and is tried again for as long as it may.
    auto step = task->step(0);
    ASSERT_TRUE(step.ok()) << step.error().message;
    EXPECT_LT(world.clock.wall_us() - begun_us, RetryPolicy().drain_us + RetryPolicy().longest_us);
    EXPECT_TRUE(world.store->rows().empty());
    EXPECT_EQ(task->progress().size(), 1u);

    world.store->forget_injected();
    world.topic->change(0, {AssignmentChange::kAssigned, {world.topic->partition(1)}});
    ASSERT_TRUE(run_to_end(world, *task).ok());
    world.expect_exactly_once();
  }
}

// What was given up is of other partitions, whose lanes are ahead of the store then.
TEST(Task, ACommitThatIsGivenUpIsDroppedAlsoWhereNothingOfWhatIsRevokedIsHeld) {
  World world;
  SeededRandom random(6);
  world.append(random, 50);
  auto task = world.open_task({world.topic->partition(0)});
  while (!task->commit_waiting()) ASSERT_TRUE(task->step(0).ok());
  for (int i = 0; i < 1000; ++i) world.store->inject(Outcome::kFailRetryable);
  world.topic->change(0, {AssignmentChange::kRevoked, {world.topic->partition(1)}});
  auto step = task->step(0);
  ASSERT_TRUE(step.ok()) << step.error().message;
  EXPECT_TRUE(world.store->rows().empty());
  world.store->forget_injected();
  world.topic->change(0, {AssignmentChange::kAssigned, {world.topic->partition(1)}});
  Status ended = run_to_end(world, *task);
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  world.expect_exactly_once();
}

TEST(Task, WhatIsTooMuchForOneCommitIsReadAgainAndCommittedByFewer) {
  for (const bool in_transaction : {false, true}) {
    ModelStore::Options options;
    options.changelog_in_transaction = in_transaction;
    World world(options);
    SeededRandom random(9);
    world.append(random, 400);
    auto task = world.open_task(world.all());
    world.store->set_most_rows(9);
    for (size_t seen = 0, i = 0; i < 600; ++i) {
      if (task->commit_waiting()) task->run_commit();
      auto step = task->step(0);
      ASSERT_TRUE(step.ok()) << step.error().message;
      const size_t rows = world.store->rows().size();
      EXPECT_LT(rows - seen, 9U);
      seen = rows;
    }
    ASSERT_EQ(world.store->rows().size(), world.expected.size());
    const uint64_t small = world.store->commits();
    // Epochs have 40 events again, once there is time.
    world.store->set_most_rows(SIZE_MAX);
    world.append(random, 400);
    Status ended = run_to_end(world, *task);
    ASSERT_TRUE(ended.ok()) << ended.error().message;
    EXPECT_LT(world.store->commits() - small, 18U);
    world.expect_exactly_once();
  }
}

TEST(Task, AStoreThatHasNoTimeForOneEventStopsTheTask) {
  World world;
  SeededRandom random(9);
  world.append(random, 100);
  world.store->set_most_rows(1);
  auto task = world.open_task(world.all());
  const int64_t begun_us = world.clock.wall_us();
  Status ended = run_to_end(world, *task);
  ASSERT_FALSE(ended.ok());
  EXPECT_NE(ended.error().message.find("gave up after"), std::string::npos) << ended.error().message;
  EXPECT_LT(world.clock.wall_us() - begun_us, 2 * RetryPolicy().give_up_us);
  EXPECT_TRUE(world.store->rows().empty());
}

TEST(Task, TheFirstEpochIsNotKeptWaitingAndLaterOnesGatherEvents) {
  World world;
  SeededRandom random(1);
  auto task = world.open_task(world.all());
  EXPECT_EQ(task->gather_us(), 0);
  world.append(random, 1);
  for (int i = 0; i < 3 && !task->commit_waiting(); ++i) ASSERT_TRUE(task->step(0).ok());
  EXPECT_TRUE(task->commit_waiting());
  task->run_commit();

  const int64_t interval_us = EpochLimits().interval_us;
  world.append(random, 1);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(task->step(0).ok());
  EXPECT_FALSE(task->commit_waiting());
  EXPECT_GT(task->gather_us(), 0);
  EXPECT_LT(task->gather_us(), interval_us / 2);
  world.clock.advance_us(interval_us - 1);
  EXPECT_EQ(task->gather_us(), 1);
  world.clock.advance_us(1);
  EXPECT_GT(task->gather_us(), 0) << "where the commit before is still under way";
  ASSERT_TRUE(task->step(0).ok());
  EXPECT_TRUE(task->commit_waiting());
  EXPECT_EQ(task->gather_us(), 0);
}

TEST(Task, WhatReadersHaveAtOnceIsNotKeptWaiting) {
  ModelStore::Options options;
  options.rows_at_once = true;
  World world(options);
  SeededRandom random(1);
  auto task = world.open_task(world.all());
  for (int commits = 0; commits < 2; ++commits) {  // the second is still under way
    world.append(random, 1);
    for (int i = 0; i < 3 && !task->commit_waiting(); ++i) ASSERT_TRUE(task->step(0).ok());
    if (commits == 0) task->run_commit();
  }
  EXPECT_GT(task->gather_us(), 0);
  EXPECT_LE(task->gather_us(), 1000);
  world.clock.advance_us(EpochLimits().interval_us);
  EXPECT_GT(task->gather_us(), 0) << "polls without a pause until the commit before has ended";
}

// An epoch of one event, whose commit takes so long; how long the epoch was open.
int64_t open_for_us(World& world, SeededRandom& random, Task& task, int64_t commit_us) {
  constexpr int64_t kTickUs = 500;
  world.append(random, 1);
  EXPECT_TRUE(task.step(0).ok());
  int64_t open_us = 0;
  for (; !task.commit_waiting(); open_us += kTickUs) {
    world.clock.advance_us(kTickUs);
    EXPECT_TRUE(task.step(0).ok());
  }
  world.clock.advance_us(commit_us);
  task.run_commit();
  EXPECT_TRUE(task.step(0).ok());
  return open_us;
}

TEST(Task, AnEpochEndsSoEarlyThatItsCommitIsDoneInTime) {
  World world;
  SeededRandom random(1);
  auto task = world.open_task(world.all());
  const int64_t interval_us = EpochLimits().interval_us;
  open_for_us(world, random, *task, 0);  // the first one waits for nobody
  EXPECT_EQ(open_for_us(world, random, *task, 0), interval_us);
  for (int i = 0; i < 100; ++i) open_for_us(world, random, *task, 20'000);
  EXPECT_NEAR(static_cast<double>(open_for_us(world, random, *task, 20'000)),
              static_cast<double>(interval_us - 20'000), 1000);
  open_for_us(world, random, *task, 60'000'000);
  EXPECT_EQ(open_for_us(world, random, *task, 0), interval_us / 2) << "after one that took a minute";
  for (int i = 0; i < 200; ++i) open_for_us(world, random, *task, 0);
  EXPECT_NEAR(static_cast<double>(open_for_us(world, random, *task, 0)), static_cast<double>(interval_us),
              1000);
}

// Few new values: the state stays small while history grows. The task lives for so many steps each time.
void expect_bounded_changelog(int steps_in_a_life) {
  World world;
  std::unique_ptr<Task> task;
  size_t longest = 0;
  for (int i = 0; i < 400; ++i) {
    if (i % steps_in_a_life == 0) task = world.open_task(world.all(), 300);
    std::string value = "p0-" + std::to_string(i % 5);
    world.topic->append(0, "k", value);
    world.expected.insert(value);
    ++world.appended;
    if (task->commit_waiting()) task->run_commit();
    ASSERT_TRUE(task->step(0).ok());
    world.clock.advance_us(60'000);
    size_t records = 0;
    auto count = [&](int64_t, std::string_view) -> Status {
      ++records;
      return {};
    };
    ASSERT_TRUE(world.changelog.read(world.topic->partition(0), count).ok());
    longest = std::max(longest, records);
  }
  EXPECT_LT(longest, 40u);
  ASSERT_TRUE(run_to_end(world, *task).ok());
  world.expect_exactly_once();
}

TEST(Task, SnapshotsBoundTheChangelog) {
  expect_bounded_changelog(1000);
}

TEST(Task, SnapshotsBoundTheChangelogOfShortLivesToo) {
  expect_bounded_changelog(12);
}

TEST(Task, StopsWhenThePositionWasLostInTheSource) {
  World world;
  SeededRandom random(6);
  world.append(random, 50);
  {
    auto task = world.open_task(world.all());
    world.topic->finish();
    while (true) {
      if (task->commit_waiting()) task->run_commit();
      auto step = task->step(0);
      ASSERT_TRUE(step.ok());
      if (*step == Task::Step::kEnded) break;
      world.clock.advance_us(10'000);
    }
  }
  world.topic->lose_from(0, world.topic->end(0).next(-3));
  TaskParts parts;
  parts.plan = &world.plan;
  parts.source = &world.source;
  parts.sink = &world.sink;
  parts.changelog = &world.changelog;
  parts.clock = &world.clock;
  parts.random = &world.random;
  parts.partitions = world.all();
  Task task(parts);
  Status opened = task.open();
  ASSERT_FALSE(opened.ok());
  EXPECT_NE(opened.error().message.find("in-0"), std::string::npos) << opened.error().message;
}

TEST(Task, StopsAtTheStateLimitAndSaysSo) {
  World world;
  TaskParts parts;
  parts.plan = &world.plan;
  parts.source = &world.source;
  parts.sink = &world.sink;
  parts.changelog = &world.changelog;
  parts.clock = &world.clock;
  parts.random = &world.random;
  parts.partitions = world.all();
  parts.limits.state_bytes = 640;
  Task task(parts);
  ASSERT_TRUE(task.open().ok());
  for (int i = 0; i < 50; ++i) world.topic->append(0, "k", std::to_string(i));
  Status failed;
  for (int i = 0; i < 100 && failed.ok(); ++i) {
    if (task.commit_waiting()) task.run_commit();
    auto step = task.step(0);
    if (!step.ok()) failed = step.error();
    world.clock.advance_us(60'000);
  }
  ASSERT_FALSE(failed.ok());
  EXPECT_NE(failed.error().message.find("pipeline.state_limit"), std::string::npos);
}

TEST(Task, APermanentSinkErrorStops) {
  World world;
  SeededRandom random(8);
  world.append(random, 10);
  world.store->inject(Outcome::kFail);
  auto task = world.open_task(world.all());
  EXPECT_FALSE(run_to_end(world, *task).ok());
}

}  // namespace
}  // namespace tidemill::pipeline
