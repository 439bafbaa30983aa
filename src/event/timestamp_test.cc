#include "event/timestamp.h"

#include <gtest/gtest.h>

#include <ctime>
#include <limits>

#include "base/random.h"

namespace tidemill {
namespace {

constexpr int64_t kBase = 1'795'252'020'000'000;  // 2026-11-21T09:07:00Z

TEST(ParseTimestamp, ReadsZeroToNineFractionDigits) {
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00Z"), kBase);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.1Z"), kBase + 100'000);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.12Z"), kBase + 120'000);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.123Z"), kBase + 123'000);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.1234Z"), kBase + 123'400);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.12345Z"), kBase + 123'450);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.123456Z"), kBase + 123'456);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.1234567Z"), kBase + 123'456);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.12345678Z"), kBase + 123'456);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.123456999Z"), kBase + 123'456);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.0000009Z"), kBase);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.1234567890Z"), std::nullopt);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00.Z"), std::nullopt);
}

TEST(ParseTimestamp, RefusesWrongDigitsAtEveryPlaceOfTheUsualForm) {
  const std::string usual = "2026-11-21T09:07:00.123456Z";
  for (size_t at = 0; at < usual.size(); ++at) {
    for (char wrong : {'/', ':', 'x', '\0'}) {
      std::string text = usual;
      text[at] = wrong;
      EXPECT_EQ(parse_timestamp_us(text).has_value(), text == usual) << text;
    }
  }
}

TEST(ParseTimestamp, AppliesOffsets) {
  EXPECT_EQ(parse_timestamp_us("2026-11-21 10:07:00+01:00"), kBase);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T10:07:00.5+0100"), kBase + 500'000);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T10:07:00+01"), kBase);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T05:37:00-03:30"), kBase);
  EXPECT_EQ(parse_timestamp_us("2026-11-20T23:07:00-10:00"), kBase);
  EXPECT_EQ(parse_timestamp_us("2026-11-21T09:07:00-00:00"), kBase);
  EXPECT_EQ(parse_timestamp_us("0001-01-01T00:00:00+23:59"), -62'135'596'800'000'000 - 86'340'000'000);
}

TEST(ParseTimestamp, KnowsLeapDays) {
  EXPECT_EQ(parse_timestamp_us("2024-02-29T00:00:00Z"), 1'709'164'800'000'000);
  EXPECT_TRUE(parse_timestamp_us("2000-02-29T00:00:00Z"));
  EXPECT_FALSE(parse_timestamp_us("1900-02-29T00:00:00Z"));
  EXPECT_FALSE(parse_timestamp_us("2026-02-29T00:00:00Z"));
  EXPECT_FALSE(parse_timestamp_us("2024-02-30T00:00:00Z"));
}

TEST(ParseTimestamp, RefusesEverythingElse) {
  for (const char* text : {"",
                           "Z",
                           "2026-11-21",
                           "2026-11-21T09:07:00",
                           "2026-11-21T09:07Z",
                           "2026-11-21T09:07:00z",
                           "2026-11-21t09:07:00Z",
                           "2026-11-21_09:07:00Z",
                           "2026/11/21T09:07:00Z",
                           "20261121T090700Z",
                           "0000-01-01T00:00:00Z",
                           "2026-00-21T09:07:00Z",
                           "2026-13-21T09:07:00Z",
                           "2026-11-00T09:07:00Z",
                           "2026-11-31T09:07:00Z",
                           "2026-04-31T09:07:00Z",
                           "2026-11-21T24:00:00Z",
                           "2026-11-21T09:60:00Z",
                           "2026-11-21T09:07:60Z",
                           "2026-11-21T09:07:00ZZ",
                           "2026-11-21T09:07:00 Z",
                           " 2026-11-21T09:07:00Z",
                           "2026-11-21T09:07:00+1",
                           "2026-11-21T09:07:00+01:",
                           "2026-11-21T09:07:00+01:0",
                           "2026-11-21T09:07:00+24:00",
                           "2026-11-21T09:07:00+01:60",
                           "2026-11-21T09:07:00+010:0",
                           "2026-11-21T09:07:00+-1:00",
                           "2026-11-21T09:07:00*01:00",
                           "2026-11-21T09:07:00,5Z",
                           "+026-11-21T09:07:00Z",
                           "2026-1a-21T09:07:00Z",
                           "2026-11-21T09:07:0\xb0Z",
                           "12026-11-21T09:07:00Z",
                           "2026-11-21T09:07:00.5",
                           "2026-11-21T09:07:00.5.5Z",
                           "2026-11-21T09:07:00.-5Z"}) {
    EXPECT_EQ(parse_timestamp_us(text), std::nullopt) << text;
  }
}

TEST(FormatTimestamp, WritesTheDigitsAskedForAndCutsTheRest) {
  int64_t us = kBase + 987'654;
  EXPECT_EQ(format_timestamp(us), "2026-11-21T09:07:00.987654Z");
  EXPECT_EQ(format_timestamp(us, 0), "2026-11-21T09:07:00Z");
  EXPECT_EQ(format_timestamp(us, 3), "2026-11-21T09:07:00.987Z");
  EXPECT_EQ(format_timestamp(us, 7), "2026-11-21T09:07:00.9876540Z");
  EXPECT_EQ(format_timestamp(us, 9), "2026-11-21T09:07:00.987654000Z");
  EXPECT_EQ(format_timestamp(0), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(format_timestamp(-1), "1969-12-31T23:59:59.999999Z");
  EXPECT_EQ(format_timestamp(-1, 3), "1969-12-31T23:59:59.999Z");
}

TEST(FormatTimestamp, FitsItsBufferForEveryValue) {
  for (int64_t us : {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    EXPECT_LE(format_timestamp(us, 9).size(), kTimestampTextSize);
  }
  EXPECT_EQ(format_timestamp(std::numeric_limits<int64_t>::max(), 0), "+294247-01-10T04:00:54Z");
  EXPECT_EQ(format_timestamp(std::numeric_limits<int64_t>::min(), 0), "-290308-12-21T19:59:05Z");
}

TEST(RecordTime, IsNoneWhereTheProducerGaveNoneOrOneBeyondMicroseconds) {
  EXPECT_EQ(record_time_us(0), 0);
  EXPECT_EQ(record_time_us(INT64_MAX / 1000), INT64_MAX / 1000 * 1000);
  for (int64_t ms : {int64_t{-1}, INT64_MIN, INT64_MAX / 1000 + 1, INT64_MAX})
    EXPECT_EQ(record_time_us(ms), std::nullopt) << ms;
}

TEST(Timestamps, AgreeWithTheCLibraryAndRoundTrip) {
  SeededRandom random(3);
  constexpr int64_t kFirst = -62'135'596'800;  // 0001-01-01
  constexpr uint64_t kSpan = 315'537'897'600;  // to the end of 9999
  for (int i = 0; i < 20'000; ++i) {
    auto seconds = static_cast<time_t>(kFirst + static_cast<int64_t>(random.below(kSpan)));
    auto us = static_cast<int64_t>(seconds) * 1'000'000 + static_cast<int64_t>(random.below(1'000'000));
    tm utc{};
    ASSERT_NE(gmtime_r(&seconds, &utc), nullptr);
    char expected[64];
    snprintf(expected, sizeof expected, "%04d-%02d-%02dT%02d:%02d:%02dZ", utc.tm_year + 1900, utc.tm_mon + 1,
             utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
    ASSERT_EQ(format_timestamp(us, 0), expected);
    ASSERT_EQ(parse_timestamp_us(format_timestamp(us)), us);
  }
}

}  // namespace
}  // namespace tidemill
