// The simulator on the embedded log, on a disk whose power fails.
#include "simulate/log_appender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/logging.h"
#include "log/testing/log_fixture.h"
#include "simulate/simulator.h"
#include "simulate/testing/plans.h"

namespace tidemill::simulate {
namespace {

class LogAppenderTest : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::kOff);
    options_.devices = 7;
    options_.complex_count = 1;
    options_.duplicate_every = 10;
    options_.seed = 11;
    options_.start_us = fixture().clock.wall_us();
    options_.count = 1500;
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }

  // One process's life: opens the log, runs the simulator, closes.
  Status live(bool threaded = false) {
    TM_ASSIGN(auto log, fixture().try_open());
    TM_TRY(log->create_topic("telemetry", {.partitions = 3}));
    Simulator::Config config;
    config.options = options_;
    config.run = "r1";
    config.directory = "/data/run";
    config.appenders = log_appenders(*log);
    config.files = &fixture().files;
    config.clock = &fixture().clock;
    config.random = &fixture().random;
    config.threaded = threaded;
    TM_ASSIGN(auto simulator, Simulator::open(std::move(config)));
    const std::atomic<bool> stop{false};
    TM_TRY(simulator->run(stop));
    simulator.reset();
    return log->close();
  }

  void expect_all_stored() {
    std::vector<std::vector<std::string>> expected(3);
    int64_t events = 0;
    const Plan plan = make_plan(options_, *options_.seed, *options_.start_us, 3, 0);
    for (const SentEvent& sent : generate(plan)) {
      ++events;
      for (uint32_t copy = 0; copy < sent.event.copies; ++copy) {
        expected[static_cast<size_t>(sent.partition)].push_back(sent.value);
      }
    }
    auto log = fixture().open();
    const Manifest manifest = read_manifest(fixture().files, manifest_path("/data/run", 0)).value();
    EXPECT_TRUE(manifest.finished);
    EXPECT_EQ(manifest.events_sent, events);
    for (int32_t p = 0; p < 3; ++p) {
      const TopicPartition tp{"telemetry", Partition(p)};
      EXPECT_TRUE(log::testing_support::read_values(*log, tp) == expected[static_cast<size_t>(p)]) << p;
      EXPECT_EQ(manifest.partition_records[static_cast<size_t>(p)],
                static_cast<int64_t>(expected[static_cast<size_t>(p)].size()));
    }
  }

  std::unique_ptr<log::testing_support::LogFixture> owned_ =
      std::make_unique<log::testing_support::LogFixture>();
  log::testing_support::LogFixture& fixture() { return *owned_; }
  SimulateOptions options_;
};

TEST_F(LogAppenderTest, EveryEventArrivesInItsOrder) {
  const Status status = live();
  ASSERT_TRUE(status.ok()) << status.error().message;
  expect_all_stored();
}

TEST_F(LogAppenderTest, ThreadsChangeNothingOfThat) {
  options_.rate = 0;
  options_.count = 20'000;
  options_.max_batch_bytes = 16u << 10;
  const Status status = live(true);
  ASSERT_TRUE(status.ok()) << status.error().message;
  expect_all_stored();
}

TEST_F(LogAppenderTest, AfterThePowerFailsAtAnyMomentTheRunResumesExactly) {
  SeededRandom random(5);
  for (int round = 0; round < 15; ++round) {
    const uint64_t seed = random.next();
    SCOPED_TRACE(testing::Message() << "round " << round << " seed " << seed);
    owned_ = std::make_unique<log::testing_support::LogFixture>();
    options_.start_us = fixture().clock.wall_us();
    options_.max_batch_bytes = 1024 + random.below(4096);
    int failures = 0;
    for (;;) {
      if (failures < 8) fixture().files.fail_power_after(1 + random.below(1500));
      const Status status = live();
      if (status.ok() && !fixture().files.power_failed()) break;
      ASSERT_TRUE(fixture().files.power_failed()) << status.error().message;
      ++failures;
      fixture().files.crash(random.next());
      fixture().clock.advance_us(static_cast<int64_t>(random.below(1'000'000)));
    }
    fixture().files.fail_power_after(0);
    expect_all_stored();
  }
}

TEST_F(LogAppenderTest, AFullDiskIsWaitedOut) {
  // Room for the log's beginning; more when the clock has moved on by ten seconds.
  class GrowingDisk final : public Clock {
   public:
    GrowingDisk(ManualClock& clock, MemoryFiles& files)
        : clock_(clock), files_(files), end_us_(clock.wall_us() + 10'000'000) {}
    int64_t wall_us() override { return clock_.wall_us(); }
    int64_t steady_ns() override { return clock_.steady_ns(); }
    void sleep_us(int64_t us) override {
      clock_.sleep_us(us);
      if (clock_.wall_us() > end_us_) files_.set_capacity(UINT64_MAX);
    }

   private:
    ManualClock& clock_;
    MemoryFiles& files_;
    int64_t end_us_;
  };
  GrowingDisk clock(fixture().clock, fixture().files);
  {
    auto log = fixture().open();
    ASSERT_TRUE(log->create_topic("telemetry", {.partitions = 3}).ok());
    Simulator::Config config;
    config.options = options_;
    config.run = "r1";
    config.directory = "/data/run";
    config.appenders = log_appenders(*log);
    config.files = &fixture().files;
    config.clock = &clock;
    config.random = &fixture().random;
    config.threaded = false;
    auto simulator = Simulator::open(std::move(config));
    ASSERT_TRUE(simulator.ok());
    fixture().files.set_capacity(fixture().files.used_bytes() + 100'000);
    const std::atomic<bool> stop{false};
    const Status status = (*simulator)->run(stop);
    ASSERT_TRUE(status.ok()) << status.error().message;
    EXPECT_GT((*simulator)->counters().retries, 0);
    EXPECT_GT((*simulator)->counters().worst_shortfall_us, 5'000'000);
    ASSERT_TRUE(log->close().ok());
  }
  expect_all_stored();
}

TEST_F(LogAppenderTest, ATopicThatIsNotThereIsNamed) {
  auto log = fixture().open();
  const auto appender = make_log_appender(*log, "elsewhere");
  ASSERT_FALSE(appender.ok());
  EXPECT_THAT(appender.error().message, testing::HasSubstr("elsewhere"));
}

}  // namespace
}  // namespace tidemill::simulate
