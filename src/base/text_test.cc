#include "base/text.h"

#include <gtest/gtest.h>

namespace tidemill {
namespace {

TEST(Text, EditDistanceCountsEditsAndSwapsAndIgnoresCase) {
  EXPECT_EQ(edit_distance("rate", "rate"), 0u);
  EXPECT_EQ(edit_distance("Rate", "rAtE"), 0u);
  EXPECT_EQ(edit_distance("", "rate"), 4u);
  EXPECT_EQ(edit_distance("rtae", "rate"), 1u);
  EXPECT_EQ(edit_distance("rates", "rate"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting", 1), 2u);  // limit + 1
}

TEST(Text, NearestNameIsWhatWasProbablyMeant) {
  std::vector<std::string> names = {"partitions", "topic", "start", "create"};
  EXPECT_EQ(nearest_name("partition", names), "partitions");
  EXPECT_EQ(nearest_name("Topic", names), "topic");
  EXPECT_EQ(nearest_name("strat", names), "start");
  EXPECT_EQ(nearest_name("durability", names), "");
  EXPECT_EQ(nearest_name("", names), "");
  EXPECT_EQ(did_you_mean("tpoic", names), "; did you mean topic?");
  EXPECT_EQ(did_you_mean("zzz", names), "");
}

TEST(Text, DurationsNeedAUnit) {
  EXPECT_EQ(parse_duration_us("100ms"), 100'000);
  EXPECT_EQ(parse_duration_us("1.5s"), 1'500'000);
  EXPECT_EQ(parse_duration_us("1m30s"), 90'000'000);
  EXPECT_EQ(parse_duration_us("30 m"), 1'800'000'000);
  EXPECT_EQ(parse_duration_us("7d"), 604'800'000'000);
  EXPECT_EQ(parse_duration_us("250us"), 250);
  EXPECT_EQ(parse_duration_us("0"), 0);
  for (const char* bad : {"", "100", "s", "-1s", "1s1m", "1s1s", "1x", "1.s", ".5s", "1.0000001s",
                          "99999999999999999999s", "9223372036854775807d", "1s2"}) {
    EXPECT_EQ(parse_duration_us(bad), std::nullopt) << bad;
  }
}

TEST(Text, DurationsAreFormattedExactly) {
  EXPECT_EQ(format_duration_us(0), "0");
  EXPECT_EQ(format_duration_us(60'000'000), "1m");
  EXPECT_EQ(format_duration_us(90'000'000), "90s");
  EXPECT_EQ(format_duration_us(1'500'000), "1500ms");
  EXPECT_EQ(format_duration_us(1), "1us");
  EXPECT_EQ(parse_duration_us(format_duration_us(INT64_MAX)), INT64_MAX);
}

TEST(Text, BytesAreDecimalOrBinary) {
  EXPECT_EQ(parse_bytes("4096"), 4096);
  EXPECT_EQ(parse_bytes("64MB"), 64'000'000);
  EXPECT_EQ(parse_bytes("64MiB"), 64 << 20);
  EXPECT_EQ(parse_bytes("1.5GiB"), 3ll << 29);
  EXPECT_EQ(parse_bytes("10 kb"), 10'000);
  for (const char* bad : {"", "MB", "-1", "1XB", "1.5", "9999999999TB", "1 2"}) {
    EXPECT_EQ(parse_bytes(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(format_bytes(64 << 20), "64MiB");
  EXPECT_EQ(format_bytes(64'000'000), "64MB");
  EXPECT_EQ(format_bytes(1'000'000'000), "1GB");
  EXPECT_EQ(format_bytes(1'234'567), "1234567B");
  EXPECT_EQ(format_bytes(0), "0");
}

TEST(Text, CountsAndRates) {
  EXPECT_EQ(parse_count("100"), 100);
  EXPECT_EQ(parse_count("100_000"), 100'000);
  EXPECT_EQ(parse_count("100k"), 100'000);
  EXPECT_EQ(parse_count("-1"), -1);
  for (const char* bad : {"", "-", "1.5", "1e3", "0x10", "_1", "1_", "k", "99999999999999999999"}) {
    EXPECT_EQ(parse_count(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(parse_rate("10k"), 10'000);
  EXPECT_EQ(parse_rate("2500.5/s"), 2500.5);
  EXPECT_EQ(parse_rate("1.5M"), 1.5e6);
  for (const char* bad : {"", "-1", "inf", "nan", "1e400", "k", "fast"}) {
    EXPECT_EQ(parse_rate(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(format_number(10'000), "10000");
  EXPECT_EQ(format_number(0.0011), "0.0011");
}

}  // namespace
}  // namespace tidemill
