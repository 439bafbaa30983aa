#include "process/record_pools.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "base/random.h"

namespace tidemill::process {
namespace {

TEST(RecordPools, ClassesFitWithLittleToSpare) {
  for (size_t bytes = 1; bytes < 100'000; ++bytes) {
    size_t block = RecordPools::class_bytes(RecordPools::class_for(bytes));
    ASSERT_GE(block, bytes);
    ASSERT_LE(block, bytes + std::max<size_t>(3, bytes / 8));
  }
  size_t huge = size_t{3} << 30;
  EXPECT_GE(RecordPools::class_bytes(RecordPools::class_for(huge)), huge);
}

// Every block holds the number of its owner; the owners know where their blocks are.
TEST(RecordPools, BlocksKeepTheirBytesWhenOthersAreFreed) {
  SeededRandom random(7);
  RecordPools pools;
  std::map<uint64_t, RecordPools::Ref> owners;
  const size_t sizes[] = {9, 52, 400, 5'000, 70'000};
  uint64_t next = 1;
  for (int step = 0; step < 20'000; ++step) {
    bool grows = (step / 2'000) % 2 == 0;
    if (owners.empty() || random.below(10) < (grows ? 8 : 2)) {
      RecordPools::Ref ref = pools.allocate(RecordPools::class_for(sizes[random.below(std::size(sizes))]));
      std::memcpy(pools.at(ref), &next, sizeof next);
      owners[next++] = ref;
    } else {
      auto victim = owners.lower_bound(random.below(next));
      if (victim == owners.end()) victim = owners.begin();
      RecordPools::Ref hole = victim->second;
      owners.erase(victim);
      RecordPools::Ref moved_from;
      if (pools.free(hole, &moved_from)) {
        uint64_t moved;
        std::memcpy(&moved, pools.at(hole), sizeof moved);
        ASSERT_EQ(owners.at(moved), moved_from);
        owners.at(moved) = hole;
      }
    }
    if (step % 500 != 0) continue;
    for (const auto& [owner, ref] : owners) {
      uint64_t held;
      std::memcpy(&held, pools.at(ref), sizeof held);
      ASSERT_EQ(held, owner);
    }
  }
  while (!owners.empty()) {
    RecordPools::Ref moved_from;
    auto last = owners.begin();
    RecordPools::Ref hole = last->second;
    owners.erase(last);
    if (!pools.free(hole, &moved_from)) continue;
    uint64_t moved;
    std::memcpy(&moved, pools.at(hole), sizeof moved);
    owners.at(moved) = hole;
  }
  EXPECT_LE(pools.memory_bytes(), 5u * 80'000);  // a spare page for each class
}

}  // namespace
}  // namespace tidemill::process
