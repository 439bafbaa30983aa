#include "event/partitioner.h"

#include <gtest/gtest.h>

#include <string>

namespace tidemill {
namespace {

// Vectors of Kafka's own UtilsTest.
TEST(Partitioner, HashesAsKafkasJavaClientDoes) {
  EXPECT_EQ(static_cast<int32_t>(murmur2("21")), -973932308);
  EXPECT_EQ(static_cast<int32_t>(murmur2("foobar")), -790332482);
  EXPECT_EQ(static_cast<int32_t>(murmur2("a-little-bit-long-string")), -985981536);
  EXPECT_EQ(static_cast<int32_t>(murmur2("a-little-bit-longer-string")), -1486304829);
  EXPECT_EQ(static_cast<int32_t>(murmur2("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8")), -58897971);
  EXPECT_EQ(static_cast<int32_t>(murmur2("abc")), 479470107);
}

TEST(Partitioner, EveryKeyHasOneOfThePartitions) {
  for (int i = 0; i < 1000; ++i) {
    std::string key = "contoso-device-id-" + std::to_string(i);
    for (int32_t partitions : {1, 2, 7, 16}) {
      Partition partition = partition_for_key(key, partitions);
      EXPECT_GE(partition.value(), 0);
      EXPECT_LT(partition.value(), partitions);
      EXPECT_EQ(partition, partition_for_key(key, partitions));
    }
  }
  EXPECT_EQ(partition_for_key("", 1), Partition(0));
}

}  // namespace
}  // namespace tidemill
