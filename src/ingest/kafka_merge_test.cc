#include "ingest/kafka_merge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace tidemill::ingest {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr int64_t kLongAfterMs = 1'000'000;

TopicPartition part(int32_t number) {
  return {"in", Partition(number)};
}

// Partitions 0 and 1, of which no end is known; batches of one event, called "<partition>:<time>".
struct Merging {
  Merging() {
    merge.assign(part(0));
    merge.assign(part(1));
    now.wall_ms = kLongAfterMs;
    now.at_end = [this](const TopicPartition& tp) { return ended == tp.partition.value(); };
  }
  void put(int32_t partition, int64_t time_ms) {
    auto batch = std::make_unique<Batch>();
    batch->source = part(partition);
    Record record;
    record.timestamp_ms = time_ms;
    if (time_ms >= 0) batch->set_records({record}, nullptr);
    merge.put(std::move(batch));
  }
  std::vector<std::string> take(size_t most_events = SIZE_MAX) {
    std::vector<BatchPtr> batches;
    merge.take(SIZE_MAX, most_events, now, &batches);
    std::vector<std::string> names;
    for (const BatchPtr& batch : batches) {
      names.push_back(std::to_string(batch->source.partition.value()) + ":" +
                      (batch->size() == 0 ? "end" : std::to_string(batch->records().front().timestamp_ms)));
    }
    return names;
  }
  KafkaMerge merge{KafkaMerge::Limits{}};
  KafkaMerge::Now now;
  int32_t ended = -1;
};

TEST(KafkaMerge, GivesTheOldestOfThePartitionsFirst) {
  Merging merging;
  for (int64_t time : {10, 30, 50}) merging.put(0, time);
  for (int64_t time : {20, 40}) merging.put(1, time);
  EXPECT_THAT(merging.take(3), ElementsAre("0:10", "1:20", "0:30"));
  // The next of partition 1 may be older than 50.
  EXPECT_THAT(merging.take(), ElementsAre("1:40"));
  EXPECT_FALSE(merging.merge.empty());
  merging.put(1, 45);
  merging.put(1, 60);
  EXPECT_THAT(merging.take(), ElementsAre("1:45", "0:50"));
}

TEST(KafkaMerge, WhatStaysKeepsNothingElseInMemory) {
  Merging merging;
  auto poll = std::make_shared<std::string>("key value");
  std::weak_ptr<std::string> in_memory = poll;
  auto batch = std::make_unique<Batch>();
  batch->source = part(0);
  Record record;
  record.timestamp_ms = 10;
  record.key = std::string_view(*poll).substr(0, 3);
  record.value = std::string_view(*poll).substr(4);
  record.has_key = record.has_value = true;
  batch->set_records({record, record}, std::move(poll));
  merging.merge.put(std::move(batch));
  EXPECT_THAT(merging.take(), IsEmpty()) << "partition 1 may have something older";
  EXPECT_TRUE(in_memory.expired());

  merging.ended = 1;
  std::vector<BatchPtr> batches;
  merging.merge.take(SIZE_MAX, SIZE_MAX, merging.now, &batches);
  ASSERT_EQ(batches.size(), 1u);
  for (const Record& held : batches[0]->records()) {
    EXPECT_EQ(held.key, "key");
    EXPECT_EQ(held.value, "value");
  }
}

TEST(KafkaMerge, APartitionThatWasReadToItsEndIsNotWaitedFor) {
  Merging merging;
  merging.ended = 1;
  merging.put(0, 10);
  EXPECT_THAT(merging.take(), ElementsAre("0:10"));
  EXPECT_TRUE(merging.merge.empty());
}

TEST(KafkaMerge, WhatIsNewWaitsForNothing) {
  Merging merging;
  merging.put(0, kLongAfterMs - 1'000);
  EXPECT_THAT(merging.take(), IsEmpty());
  merging.now.wall_ms -= 500;
  EXPECT_THAT(merging.take(), ElementsAre("0:999000"));
}

TEST(KafkaMerge, APartitionOfWhichNothingComesIsWaitedForOnce) {
  Merging merging;
  merging.put(0, 10);
  merging.put(0, 20);
  EXPECT_THAT(merging.take(), IsEmpty());
  merging.now.steady_ns = KafkaMerge::Limits{}.patience_ns;
  EXPECT_THAT(merging.take(), ElementsAre("0:10", "0:20"));
  merging.put(0, 30);
  EXPECT_THAT(merging.take(), ElementsAre("0:30"));
  // Until something of it comes again.
  merging.put(1, 5);
  EXPECT_THAT(merging.take(), IsEmpty());
  merging.put(0, 40);
  EXPECT_THAT(merging.take(), ElementsAre("1:5"));
}

TEST(KafkaMerge, HoldsNoMoreThanItMay) {
  Merging merging;
  KafkaMerge::Limits limits;
  limits.most_bytes = 1;
  KafkaMerge small(limits);
  small.assign(part(0));
  small.assign(part(1));
  auto batch = std::make_unique<Batch>();
  batch->source = part(0);
  batch->set_records({Record{}}, nullptr);
  small.put(std::move(batch));
  EXPECT_TRUE(small.full());
  std::vector<BatchPtr> given;
  small.take(SIZE_MAX, SIZE_MAX, merging.now, &given);
  EXPECT_EQ(given.size(), 1u);
}

TEST(KafkaMerge, AnEndThatMovesHoldsUpNothing) {
  Merging merging;
  merging.put(0, 10);
  merging.put(1, -1);
  EXPECT_THAT(merging.take(1), ElementsAre("1:end"));
}

TEST(KafkaMerge, WhatIsHeldOfAPartitionThatIsGivenAwayIsDropped) {
  Merging merging;
  merging.put(0, 10);
  merging.put(0, 20);
  merging.merge.unassign(part(0));
  EXPECT_TRUE(merging.merge.empty());
  merging.put(0, 30);
  EXPECT_TRUE(merging.merge.empty()) << "under way when it was unassigned";
  merging.merge.assign(part(0));
  merging.merge.unassign(part(1));
  merging.put(0, 40);
  EXPECT_THAT(merging.take(), ElementsAre("0:40")) << "nobody else is waited for";
}

}  // namespace
}  // namespace tidemill::ingest
