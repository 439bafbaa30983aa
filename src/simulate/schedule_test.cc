#include "simulate/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "simulate/testing/plans.h"

namespace tidemill::simulate {
namespace {

std::vector<ScheduledEvent> events_of(const Plan& plan, size_t limit = 10'000'000) {
  Schedule schedule(plan, scheduled_events(plan), std::max<size_t>(device_order(plan).size(), 1));
  std::vector<ScheduledEvent> events;
  ScheduledEvent event;
  while (events.size() < limit && schedule.next(INT64_MAX, &event) == Schedule::Next::kEvent)
    events.push_back(event);
  return events;
}

TEST(Schedule, FixedTimesAreTheExactQuotient) {
  for (int64_t rate_milli : {1LL, 999LL, 1'000'000LL, 3'333'333LL, 7'000'000'001LL, 1'000'000'000'000LL}) {
    Plan plan = quiet_plan();
    plan.rate_milli = rate_milli;
    plan.instances = 3;
    plan.devices = 3;
    plan.instance = 2;
    plan.count = 6000;
    const auto events = events_of(plan);
    ASSERT_EQ(events.size(), 2000u);
    for (const ScheduledEvent& event : events) {
      const Uint128 exact =
          static_cast<Uint128>(event.index * 3 + 2) * 1'000'000'000u / static_cast<uint64_t>(rate_milli);
      ASSERT_EQ(event.time_us, static_cast<int64_t>(exact));
      ASSERT_EQ(event.send_us, event.time_us);
    }
  }
}

TEST(Schedule, MaximumRateFollowsTheNominalOne) {
  Plan plan = quiet_plan();
  plan.rate_milli = 0;
  plan.count = 100;
  const auto events = events_of(plan);
  EXPECT_EQ(events[99].time_us, 99);
}

TEST(Schedule, PoissonGapsHaveTheMeanAndTheShapeOfTheExponential) {
  Plan plan = quiet_plan();
  plan.pacing = Pacing::kPoisson;
  plan.rate_milli = 10'000;  // a mean of 100,000 µs, far above the rounding
  plan.count = 200'000;
  const auto events = events_of(plan);
  std::vector<double> gaps;
  for (size_t i = 1; i < events.size(); ++i) {
    ASSERT_GE(events[i].time_us, events[i - 1].time_us);
    gaps.push_back(static_cast<double>(events[i].time_us - events[i - 1].time_us));
  }
  const double mean = std::accumulate(gaps.begin(), gaps.end(), 0.0) / static_cast<double>(gaps.size());
  EXPECT_NEAR(mean, 100'000, 1'000);
  // P(gap > x) = exp(-x / mean).
  for (double x : {0.1, 0.5, 1.0, 2.0, 4.0}) {
    const auto above = std::count_if(gaps.begin(), gaps.end(), [&](double gap) { return gap > x * 100'000; });
    EXPECT_NEAR(static_cast<double>(above) / static_cast<double>(gaps.size()), std::exp(-x), 0.005) << x;
  }
}

TEST(Schedule, APrefixDoesNotDependOnTheLength) {
  for (Pacing pacing : {Pacing::kFixed, Pacing::kPoisson}) {
    Plan plan = quiet_plan();
    plan.pacing = pacing;
    plan.devices = 17;
    plan.duplicate_every = 5;
    plan.count = 3000;
    const auto part = events_of(plan);
    plan.count = -1;
    const auto whole = events_of(plan, 3000);
    for (size_t i = 0; i < part.size(); ++i) {
      ASSERT_EQ(part[i].time_us, whole[i].time_us);
      ASSERT_EQ(part[i].copies, whole[i].copies);
      ASSERT_EQ(part[i].position, whole[i].position);
    }
  }
}

TEST(Schedule, CountIsSharedAndDurationLimitsTheIntendedTime) {
  Plan plan = quiet_plan();
  plan.instances = 4;
  plan.devices = 4;
  plan.count = 10;
  const int64_t expected[] = {3, 3, 2, 2};
  for (plan.instance = 0; plan.instance < 4; ++plan.instance) {
    EXPECT_EQ(scheduled_events(plan), expected[plan.instance]);
    EXPECT_EQ(events_of(plan).size(), static_cast<size_t>(expected[plan.instance]));
  }
  for (Pacing pacing : {Pacing::kFixed, Pacing::kPoisson}) {
    plan.pacing = pacing;
    for (int64_t duration_us : {0, 1, 999, 1000, 1001, 1'234'567}) {
      for (plan.instance = 0; plan.instance < 4; ++plan.instance) {
        plan.count = -1;
        plan.duration_us = -1;
        const auto events = events_of(plan, 2000);
        const auto within = std::count_if(events.begin(), events.end(), [&](const ScheduledEvent& event) {
          return event.time_us < duration_us;
        });
        plan.duration_us = duration_us;
        EXPECT_EQ(scheduled_events(plan), within) << duration_us;
        plan.count = 100;
        EXPECT_EQ(scheduled_events(plan), std::min<int64_t>(within, 25));
      }
    }
  }
  plan.instance = 0;
  plan.count = -1;
  plan.duration_us = -1;
  EXPECT_EQ(scheduled_events(plan), -1);
}

TEST(Schedule, CopiesFollowTheProbability) {
  Plan plan = quiet_plan();
  plan.duplicate_every = 10;
  plan.count = 200'000;
  std::map<uint32_t, int> copies;
  for (const ScheduledEvent& event : events_of(plan)) ++copies[event.copies];
  EXPECT_NEAR(copies[1], 180'000, 1'000);
  EXPECT_NEAR(copies[2], 18'000, 600);
  EXPECT_NEAR(copies[3], 1'800, 200);
  EXPECT_NEAR(copies[4], 180, 70);
  plan.duplicate_every = 0;
  for (const ScheduledEvent& event : events_of(plan, 1000)) EXPECT_EQ(event.copies, 1u);
}

TEST(Schedule, DelayedEventsAreSentLateInTheOrderOfTheirSendTimes) {
  for (Pacing pacing : {Pacing::kFixed, Pacing::kPoisson}) {
    Plan plan = quiet_plan();
    plan.pacing = pacing;
    plan.devices = 20;
    plan.late_ppm = 100'000;
    plan.late_by_us = 3'000'000;
    plan.out_of_order_ppm = 100'000;
    plan.malformed_ppm = 50'000;
    plan.count = 20'000;
    const auto events = events_of(plan);
    ASSERT_EQ(events.size(), 20'000u);
    std::map<Fault, int> faults;
    std::vector<bool> seen(events.size());
    for (size_t n = 0; n < events.size(); ++n) {
      const ScheduledEvent& event = events[n];
      ++faults[event.fault];
      EXPECT_FALSE(seen[event.index]);
      seen[event.index] = true;
      const int64_t delay = event.fault == Fault::kLate         ? 3'000'000
                            : event.fault == Fault::kOutOfOrder ? 30'000
                                                                : 0;
      EXPECT_EQ(event.send_us, event.time_us + delay);
      EXPECT_EQ(event.position, event.index % 20);
      EXPECT_EQ(event.sequence, event.index / 20);
      if (n > 0) {
        const ScheduledEvent& before = events[n - 1];
        ASSERT_LT(std::pair(before.send_us, before.index), std::pair(event.send_us, event.index));
      }
    }
    EXPECT_NEAR(faults[Fault::kMalformed], 1000, 150);
    EXPECT_NEAR(faults[Fault::kLate], 1900, 200);
    EXPECT_NEAR(faults[Fault::kOutOfOrder], 1710, 200);
  }
}

TEST(Schedule, AnOutOfOrderEventIsOvertakenByItsDevicesNext) {
  Plan plan = quiet_plan();
  plan.devices = 10;
  plan.out_of_order_ppm = 20'000;
  plan.count = 10'000;
  std::map<uint32_t, uint64_t> highest;
  int overtaken = 0;
  int delayed = 0;
  for (const ScheduledEvent& event : events_of(plan)) {
    auto [at, first] = highest.try_emplace(event.position, event.sequence);
    delayed += event.fault == Fault::kOutOfOrder;
    overtaken += !first && event.sequence < at->second;
    at->second = std::max(at->second, event.sequence);
  }
  EXPECT_GT(delayed, 100);
  EXPECT_GE(overtaken, delayed * 9 / 10);  // not where the next one is delayed too, or there is none
}

TEST(Schedule, NothingIsGivenOutBeforeItsTime) {
  Plan plan = quiet_plan();
  plan.late_ppm = 1'000'000;  // every one: the walk without delay finds nothing, and must still end
  plan.late_by_us = 5'000;
  Schedule schedule(plan, -1, 1);
  ScheduledEvent event;
  EXPECT_EQ(schedule.next(4'999, &event), Schedule::Next::kNotYet);
  EXPECT_EQ(schedule.not_before_us(), 5'000);
  EXPECT_EQ(schedule.next(5'000, &event), Schedule::Next::kEvent);
  EXPECT_EQ(event.index, 0u);
  EXPECT_EQ(schedule.next(5'000, &event), Schedule::Next::kNotYet);
}

TEST(DeviceOrder, IsAShuffleOfTheInstancesOwnDevices) {
  Plan plan = quiet_plan();
  plan.devices = 100;
  plan.instances = 3;
  plan.instance = 1;
  auto order = device_order(plan);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  std::sort(order.begin(), order.end());
  ASSERT_EQ(order.size(), 33u);
  for (size_t n = 0; n < order.size(); ++n) EXPECT_EQ(order[n], 3 * n + 1);
  plan.shared_devices = true;
  EXPECT_EQ(device_order(plan).size(), 100u);
}

}  // namespace
}  // namespace tidemill::simulate
