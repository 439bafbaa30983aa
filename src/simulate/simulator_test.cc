#include "simulate/simulator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/logging.h"
#include "base/testing/manual_clock.h"
#include "base/testing/memory_files.h"
#include "simulate/content_hash.h"
#include "simulate/testing/fake_log.h"
#include "simulate/testing/plans.h"

namespace tidemill::simulate {
namespace {

using testing::HasSubstr;

class SimulatorTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kOff);
    options_.devices = 10;
    options_.complex_count = 1;
    options_.duplicate_every = 10;
    options_.seed = 7;
    options_.start_us = kTestStartUs;
    options_.count = 2000;
    options_.linger_us = 5'000;
    // The disk is gone with the process.
    files_.set_fault([this](MemoryFiles::Operation, const std::string&) { return log_ && log_->crashed(); });
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  Result<std::unique_ptr<Simulator>> open(bool threaded = false) {
    Simulator::Config config;
    config.options = options_;
    config.run = "r1";
    config.directory = directory_;
    config.appenders = [this](const std::string&, int32_t) -> Result<std::unique_ptr<Appender>> {
      return std::unique_ptr<Appender>(std::make_unique<FakeAppender>(*log_));
    };
    config.files = &files_;
    config.clock = &clock_;
    config.random = &random_;
    config.on_stop = on_stop_;
    config.threaded = threaded;
    return Simulator::open(std::move(config));
  }
  Status run(bool threaded = false) {
    TM_ASSIGN(auto simulator, open(threaded));
    TM_TRY(simulator->run(stop_));
    counters_ = simulator->counters();
    return {};
  }
  Manifest manifest(int32_t instance = 0) {
    return read_manifest(files_, manifest_path(directory_, instance)).value();
  }

  // Every partition holds exactly what the instances send there, each in its order, and the
  // manifests say so.
  void expect_all_stored() {
    std::vector<std::map<std::string, std::vector<std::string>>> expected(log_->partitions());  // by key
    for (int32_t i = 0; i < options_.instances; ++i) {
      const Manifest sent = manifest(i);
      EXPECT_TRUE(sent.finished);
      const Plan plan = make_plan(options_, *options_.seed, *options_.start_us, log_->partitions(), i);
      EXPECT_EQ(sent.plan, plan);
      Uint128 sum = 0;
      int64_t records = 0;
      int64_t bytes = 0;
      int64_t events = 0;
      std::vector<int64_t> partition_records(log_->partitions());
      auto generator = EventGenerator::create(plan, scheduled_events(plan)).value();
      while (generator->next(INT64_MAX) == Schedule::Next::kEvent) {
        const EventGenerator::Text text = generator->text();
        ++events;
        for (uint32_t copy = 0; copy < generator->event().copies; ++copy) {
          const auto partition = static_cast<size_t>(generator->partition(copy));
          expected[partition][std::string(text.key.value_or(""))].emplace_back(text.value);
          ++partition_records[partition];
          ++records;
          bytes += static_cast<int64_t>(text.value.size());
          sum += content_hash(text.value);
        }
      }
      EXPECT_EQ(sent.events_sent, events);
      EXPECT_EQ(sent.scheduled, events);
      EXPECT_EQ(sent.records_sent, records);
      EXPECT_EQ(sent.bytes_sent, bytes);
      EXPECT_EQ(hex128(sent.content_sum), hex128(sum));
      EXPECT_EQ(sent.partition_records, partition_records);
      int64_t acknowledged = 0;
      for (const DeviceRange& range : sent.ranges) {
        acknowledged += range.acknowledged;
        EXPECT_EQ(range.in_doubt, 0);
        EXPECT_EQ(range.not_sent, 0);
      }
      EXPECT_EQ(acknowledged, events);
    }
    for (int32_t p = 0; p < log_->partitions(); ++p) {
      std::map<std::string, std::vector<std::string>> stored;
      for (const FakeLog::Stored& record : log_->records(p)) stored[record.key].push_back(record.value);
      EXPECT_TRUE(stored == expected[static_cast<size_t>(p)]) << "partition " << p;
    }
  }

  std::string directory_ = "/run";
  SimulateOptions options_;
  OnStop on_stop_ = OnStop::kEnd;
  std::unique_ptr<FakeLog> log_ = std::make_unique<FakeLog>(4, 1);
  MemoryFiles files_;
  ManualClock clock_{kTestStartUs};
  SeededRandom random_{1};
  std::atomic<bool> stop_{false};
  SimulateCounters counters_;
};

TEST_F(SimulatorTest, SendsTheScheduleInBatchesOfTheLingerTime) {
  ASSERT_TRUE(run().ok());
  expect_all_stored();
  EXPECT_GE(clock_.wall_us(), kTestStartUs + 1'999'000);  // 2000 events at 1000/s
  EXPECT_LT(clock_.wall_us(), kTestStartUs + 2'010'000);
  EXPECT_LE(log_->batches(), 4 * 401);
  EXPECT_GE(log_->batches(), 400);
  EXPECT_EQ(counters_.events, 2000);
  EXPECT_EQ(counters_.scheduled, 2000);
  EXPECT_GT(counters_.records, 2000);
  EXPECT_EQ(counters_.worst_shortfall_us, 0);
}

TEST_F(SimulatorTest, InstancesShareTheWork) {
  options_.instances = 3;
  ASSERT_TRUE(run().ok());
  expect_all_stored();
  log_ = std::make_unique<FakeLog>(4, 1);
  ASSERT_TRUE(files_.remove_tree(directory_).ok());
  for (int32_t i = 0; i < 3; ++i) {
    options_.instance = i;
    ASSERT_TRUE(run().ok());
  }
  expect_all_stored();
}

TEST_F(SimulatorTest, EveryProfileArrives) {
  for (Profile profile : {Profile::kTelemetry, Profile::kSensor, Profile::kTemplate}) {
    for (const char* key : {"", "${device}"}) {
      options_.profile = profile;
      options_.template_text = profile == Profile::kTemplate ? R"({"n":${counter}})" : "";
      options_.key = key;
      options_.malformed = 0.01;
      options_.late = 0.01;
      options_.late_by_us = 100'000;
      options_.compression = Compression::kLz4;
      log_ = std::make_unique<FakeLog>(3, 1);
      ASSERT_TRUE(run().ok());
      expect_all_stored();
      ASSERT_TRUE(files_.remove_tree(directory_).ok());
    }
  }
}

TEST_F(SimulatorTest, MaximumRateDoesNotWaitForTheClock) {
  options_.rate = 0;
  options_.count = 50'000;
  options_.max_batch_bytes = 64u << 10;
  ASSERT_TRUE(run().ok());
  expect_all_stored();
  EXPECT_LT(clock_.wall_us(), kTestStartUs + 1000);
  EXPECT_EQ(counters_.worst_shortfall_us, 0);
}

TEST_F(SimulatorTest, MaximumRateEndsWhenItsDurationHasPassedByTheClock) {
  options_.rate = 0;
  options_.count = -1;
  options_.duration_us = 1'000'000;  // of the nominal schedule: a million events
  options_.max_batch_bytes = 16u << 10;
  log_->clock = &clock_;
  log_->append_takes_us = 10'000;
  ASSERT_TRUE(run().ok());
  EXPECT_LT(clock_.wall_us(), kTestStartUs + 2'000'000);
  const Manifest sent = manifest();
  EXPECT_TRUE(sent.finished);
  EXPECT_EQ(sent.scheduled, 1'000'000);
  EXPECT_GT(sent.events_sent, 1000);
  EXPECT_LT(sent.events_sent, 20'000);
  for (const DeviceRange& range : sent.ranges) {
    EXPECT_EQ(range.in_doubt, 0);
    EXPECT_EQ(range.acknowledged + range.not_sent, 100'000);
  }
}

TEST_F(SimulatorTest, ASlowLogDoesNotSlowTheScheduleButIsReported) {
  log_->clock = &clock_;
  log_->append_takes_us = 400'000;
  ASSERT_TRUE(run().ok());
  expect_all_stored();
  EXPECT_GT(manifest().shortfall_us, 400'000);
  // Every record still bears its intended time.
  EXPECT_EQ(log_->records(0).front().timestamp_ms / 1000, kTestStartUs / 1'000'000);
}

TEST_F(SimulatorTest, TheManifestIsOnDiskBeforeTheFirstEventAndAtLeastEverySecond) {
  ASSERT_TRUE(open().ok());
  EXPECT_FALSE(manifest().finished);
  EXPECT_EQ(manifest().events_sent, 0);
  EXPECT_EQ(log_->batches(), 0);
  log_->faults.crash_after = 500;  // of 8 calls per 5 ms, with the waits
  EXPECT_FALSE(run().ok());
  EXPECT_FALSE(manifest().finished);
  int64_t stored = 0;
  for (int32_t p = 0; p < 4; ++p) stored += log_->end(p);
  EXPECT_GT(manifest().records_sent, 0);
  EXPECT_GT(manifest().records_sent + 1200, stored);
}

TEST_F(SimulatorTest, RefusedAppendsAndLostAnswersAreTriedAgainAndNeverDouble) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    log_ = std::make_unique<FakeLog>(4, seed);
    log_->faults = {.refused = 50, .answer_lost = 50, .wait_failed = 50, .forgets = 500};
    options_.profile = seed % 2 == 0 ? Profile::kTelemetry : Profile::kSensor;
    options_.start_us = clock_.wall_us();
    ASSERT_TRUE(run().ok()) << seed;
    expect_all_stored();
    EXPECT_GT(counters_.retries, 0);
    EXPECT_FALSE(counters_.stalled);
    EXPECT_FALSE(counters_.problem.empty());
    ASSERT_TRUE(files_.remove_tree(directory_).ok());
  }
}

TEST_F(SimulatorTest, ThreadsChangeNothingOfThat) {
  options_.instances = 2;
  options_.rate = 100'000;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    log_ = std::make_unique<FakeLog>(4, seed);
    log_->faults = {.refused = 50, .answer_lost = 50, .wait_failed = 50};
    options_.start_us = clock_.wall_us();
    ASSERT_TRUE(run(true).ok()) << seed;
    expect_all_stored();
    ASSERT_TRUE(files_.remove_tree(directory_).ok());
  }
}

TEST_F(SimulatorTest, AfterACrashAtAnyMomentTheSameCallResumesExactly) {
  SeededRandom random(99);
  int all_crashes = 0;
  for (int round = 0; round < 40; ++round) {
    const uint64_t seed = random.next();
    SCOPED_TRACE(testing::Message() << "round " << round << " seed " << seed);
    log_ = std::make_unique<FakeLog>(4, seed);
    options_.profile = round % 3 == 2 ? Profile::kSensor : Profile::kTelemetry;
    options_.late = 0.02;
    options_.late_by_us = 300'000;
    options_.out_of_order = round % 3 == 2 ? 0 : 0.02;
    options_.pacing = round % 2 == 0 ? Pacing::kFixed : Pacing::kPoisson;
    options_.max_batch_bytes = 1024 + random.below(8192);
    options_.start_us = clock_.wall_us();
    int crashes = 0;
    for (;;) {
      log_->faults = {.refused = 10, .answer_lost = 10, .wait_failed = 10, .forgets = 300};
      if (crashes < 6) log_->faults.crash_after = static_cast<int64_t>(random.below(600) >> random.below(6));
      const Status status = run();
      if (status.ok()) break;
      ASSERT_TRUE(log_->crashed()) << status.error().message;
      ++crashes;
      log_->restart();
      clock_.advance_us(static_cast<int64_t>(random.below(3'000'000)));
    }
    expect_all_stored();
    all_crashes += crashes;
    ASSERT_TRUE(files_.remove_tree(directory_).ok());
  }
  EXPECT_GT(all_crashes, 80);
}

TEST_F(SimulatorTest, AFinishedRunHasNothingLeftToDo) {
  ASSERT_TRUE(run().ok());
  const int64_t batches = log_->batches();
  ASSERT_TRUE(run().ok());
  EXPECT_EQ(log_->batches(), batches);
  EXPECT_EQ(counters_.events, 2000);
}

TEST_F(SimulatorTest, AResumedRunTakesSeedAndStartFromItsManifest) {
  options_.seed.reset();
  options_.start_us.reset();
  log_->faults.crash_after = 300;
  ASSERT_FALSE(run().ok());
  log_->restart();
  clock_.advance_us(5'000'000);
  ASSERT_TRUE(run().ok());
  options_.seed = manifest().plan.seed;
  options_.start_us = manifest().plan.start_us;
  EXPECT_EQ(*options_.start_us, kTestStartUs);
  expect_all_stored();
  EXPECT_GE(manifest().shortfall_us, 3'000'000);  // it was away
}

TEST_F(SimulatorTest, OtherOptionsThanTheManifestsAreRefusedByName) {
  log_->faults.crash_after = 300;
  ASSERT_FALSE(run().ok());
  log_->restart();
  options_.rate = 5;
  options_.seed = 8;
  const auto reopened = open();
  ASSERT_FALSE(reopened.ok());
  EXPECT_EQ(reopened.error().domain, Domain::kUser);
  EXPECT_THAT(reopened.error().message,
              HasSubstr("seed: 7 there, 8 here; rate_milli: 1000000 there, 5000 here"));
  options_.rate = 1000;
  options_.seed = 7;
  options_.linger_us = 1;  // changes no event
  EXPECT_TRUE(open().ok());
}

TEST_F(SimulatorTest, ALogThatContradictsTheManifestIsSaid) {
  log_->faults.crash_after = 900;
  ASSERT_FALSE(run().ok());
  log_->restart();
  auto other = std::make_unique<FakeLog>(4, 1);
  std::swap(log_, other);
  EXPECT_THAT(open().error().message, HasSubstr("holds none of the"));
  log_ = std::make_unique<FakeLog>(5, 1);
  EXPECT_THAT(open().error().message, HasSubstr("had 4 partitions; it has 5 now"));
  std::swap(log_, other);
  ASSERT_TRUE(files_.remove_tree(directory_).ok());
  EXPECT_THAT(open().error().message, HasSubstr("is missing; put it back"));
}

TEST_F(SimulatorTest, WhatThePowerCutTookIsSentOnceMore) {
  log_->faults.crash_after = 900;
  ASSERT_FALSE(run().ok());
  log_->restart();
  for (int32_t p = 0; p < 4; ++p) {
    for (int n = 0; n < 60; ++n) log_->forget_last_batch(p);
  }
  ASSERT_TRUE(run().ok());
  expect_all_stored();
}

// Sets the flag when so much time has passed.
class StoppingClock final : public Clock {
 public:
  StoppingClock(ManualClock& clock, std::atomic<bool>& stop, int64_t at_us)
      : clock_(clock), stop_(stop), at_us_(at_us) {}
  int64_t wall_us() override { return clock_.wall_us(); }
  int64_t steady_ns() override { return clock_.steady_ns(); }
  void sleep_us(int64_t us) override {
    clock_.sleep_us(us);
    if (clock_.wall_us() >= at_us_) stop_ = true;
  }

 private:
  ManualClock& clock_;
  std::atomic<bool>& stop_;
  int64_t at_us_;
};

class SimulatorStopTest : public SimulatorTest {
 protected:
  void run_and_stop_after(int64_t us) {
    StoppingClock clock(clock_, stop_, clock_.wall_us() + us);
    Simulator::Config config;
    config.options = options_;
    config.run = "r1";
    config.directory = directory_;
    config.appenders = [this](const std::string&, int32_t) -> Result<std::unique_ptr<Appender>> {
      return std::unique_ptr<Appender>(std::make_unique<FakeAppender>(*log_));
    };
    config.files = &files_;
    config.clock = &clock;
    config.on_stop = on_stop_;
    config.threaded = false;
    auto simulator = Simulator::open(std::move(config));
    ASSERT_TRUE(simulator.ok());
    const Status status = (*simulator)->run(stop_);
    EXPECT_TRUE(status.ok());
    stop_ = false;
  }
};

TEST_F(SimulatorStopTest, AStopEndsARunWithoutLimitAndNothingIsInDoubt) {
  options_.count = -1;
  run_and_stop_after(1'000'000);
  const Manifest sent = manifest();
  EXPECT_TRUE(sent.finished);
  EXPECT_EQ(sent.scheduled, -1);
  EXPECT_NEAR(static_cast<double>(sent.events_sent), 1000, 60);
  for (const DeviceRange& range : sent.ranges) {
    EXPECT_EQ(range.in_doubt, 0);
    EXPECT_EQ(range.not_sent, -1);
    EXPECT_NEAR(static_cast<double>(range.acknowledged), 100, 6);
  }
}

TEST_F(SimulatorStopTest, APausedRunGoesOn) {
  on_stop_ = OnStop::kPause;
  run_and_stop_after(1'000'000);
  EXPECT_FALSE(manifest().finished);
  EXPECT_GT(manifest().events_sent, 900);
  ASSERT_TRUE(run().ok());
  expect_all_stored();
}

TEST_F(SimulatorStopTest, WhatIsUnansweredAtTheEndIsInDoubt) {
  run_and_stop_after(500'000);
  const Manifest before = manifest();
  ASSERT_TRUE(files_.remove_tree(directory_).ok());
  log_ = std::make_unique<FakeLog>(4, 1);
  log_->faults = {.wait_failed = 1000};  // nothing is ever acknowledged
  run_and_stop_after(500'000);
  const Manifest sent = manifest();
  EXPECT_TRUE(sent.finished);
  EXPECT_EQ(sent.events_sent, 0);
  int64_t in_doubt = 0;
  for (size_t n = 0; n < sent.ranges.size(); ++n) {
    const DeviceRange& range = sent.ranges[n];
    EXPECT_EQ(range.acknowledged, 0);
    EXPECT_EQ(range.acknowledged + range.in_doubt + range.not_sent, 200);
    EXPECT_EQ(before.ranges[n].device, range.device);
    in_doubt += range.in_doubt;
  }
  EXPECT_GT(in_doubt, 0);
}

TEST(RecordsBehind, FollowsTheSequenceRoundItsEnd) {
  EXPECT_EQ(records_behind(std::nullopt, 0), 0);
  EXPECT_EQ(records_behind(0, 0), 1);
  EXPECT_EQ(records_behind(99, 50), 100);
  EXPECT_EQ(records_behind(99, 150), 100);
  EXPECT_EQ(records_behind(INT32_MAX, kSequences - 5), kSequences);
  EXPECT_EQ(records_behind(INT32_MAX, kSequences + 5), kSequences);
  EXPECT_EQ(records_behind(3, kSequences - 5), kSequences + 4);
  EXPECT_EQ(records_behind(INT32_MAX - 1, 2 * kSequences + 9), 2 * kSequences - 1);
}

}  // namespace
}  // namespace tidemill::simulate
