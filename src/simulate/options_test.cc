#include "simulate/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulate/plan.h"

namespace tidemill::simulate {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> wrong(const SimulateOptions& options) {
  std::vector<std::string> names;
  for (const OptionProblem& problem : options.problems()) names.push_back(problem.option);
  return names;
}

TEST(SimulateOptions, DefaultsAreTheDocumentedTelemetry) {
  const SimulateOptions options;
  EXPECT_TRUE(options.validate().ok());
  const Plan plan = make_plan(options, 5, 6, 4, 0);
  EXPECT_EQ(plan.profile, Profile::kTelemetry);
  EXPECT_EQ(plan.rate_milli, 1'000'000);
  EXPECT_EQ(plan.devices, 1000);
  EXPECT_EQ(plan.duplicate_every, 1000u);
  EXPECT_EQ(plan.complex_count, 23);
  EXPECT_EQ(plan.created_digits, 6);
  EXPECT_EQ(plan.seed, 5u);
  EXPECT_EQ(plan.partitions, 4);
}

TEST(SimulateOptions, EveryProblemIsNamedAtOnceWithWhatWouldBeRight) {
  SimulateOptions options;
  options.rate = -1;
  options.late = 1.5;
  options.created_digits = 5;
  options.device_id_format = "device-%s";
  options.duplicate_every = 1;
  EXPECT_THAT(wrong(options),
              ElementsAre("rate", "duplicate_every", "late", "created_digits", "device_id_format"));
  const Status status = options.validate();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().domain, Domain::kUser);
  EXPECT_THAT(status.error().message, HasSubstr("created_digits: must be 3, 6 or 7"));
  EXPECT_THAT(status.error().message, HasSubstr("late: must be a fraction from 0 to 1"));
}

TEST(SimulateOptions, RefusesWhatTheFormatCannotHold) {
  SimulateOptions options;
  options.instances = 9000;
  options.devices = 9000;
  EXPECT_THAT(wrong(options), ElementsAre("instances"));
  options.instances = 10;
  options.devices = 9;
  EXPECT_THAT(wrong(options), ElementsAre("devices"));
  options.shared_devices = true;
  EXPECT_TRUE(options.validate().ok());
  options.instance = 10;
  EXPECT_THAT(wrong(options), ElementsAre("instance"));
  options = {};
  for (const char* format : {"", "x", "%d%d", "%7d", "a\"%d", "%06d%", "\n%d"}) {
    options.device_id_format = format;
    EXPECT_THAT(wrong(options), testing::Contains("device_id_format")) << format;
  }
  options = {};
  options.profile = Profile::kSensor;
  options.out_of_order = 0.1;
  EXPECT_THAT(wrong(options), ElementsAre("out_of_order"));
}

TEST(SimulateOptions, ATemplateNeedsItsTextAndItsProfile) {
  SimulateOptions options;
  options.profile = Profile::kTemplate;
  EXPECT_THAT(wrong(options), ElementsAre("template"));
  options.template_text = "{\"a\":${nothing}}";
  EXPECT_THAT(options.validate().error().message,
              HasSubstr("template: line 1, column 6: there is no variable"));
  options.template_text = "{\"a\":${counter}}";
  EXPECT_TRUE(options.validate().ok());
  options.key = "${";
  EXPECT_THAT(wrong(options), ElementsAre("key"));
  options.profile = Profile::kTelemetry;
  EXPECT_THAT(wrong(options), ElementsAre("template"));
}

TEST(SimulateOptions, NamesReadBack) {
  for (Profile profile : {Profile::kTelemetry, Profile::kSensor, Profile::kTemplate}) {
    EXPECT_EQ(parse_profile(profile_name(profile)), profile);
  }
  EXPECT_EQ(parse_pacing("poisson"), Pacing::kPoisson);
  EXPECT_EQ(parse_values("0-1"), Values::k0To1);
  EXPECT_FALSE(parse_profile("Telemetry").has_value());
}

TEST(DeviceName, FollowsItsFormat) {
  EXPECT_EQ(device_name("contoso-device-id-%06d", 154), "contoso-device-id-000154");
  EXPECT_EQ(device_name("contoso-device-id-%06d", 1234567), "contoso-device-id-1234567");
  EXPECT_EQ(device_name("contoso://device-id-%d", 154), "contoso://device-id-154");
  EXPECT_EQ(device_name("%d.x", 0), "0.x");
}

TEST(Plan, DifferencesAreNamedWithBothValues) {
  const Plan here = make_plan({}, 1, 2, 4, 0);
  Plan there = here;
  EXPECT_TRUE(plan_differences(there, here).empty());
  there.rate_milli = 5;
  there.key = "k";
  EXPECT_THAT(plan_differences(there, here),
              ElementsAre("rate_milli: 5 there, 1000000 here", "key: \"k\" there, \"\" here"));
}

}  // namespace
}  // namespace tidemill::simulate
