#include "serve/files_journal.h"

#include <gtest/gtest.h>

#include "base/testing/memory_files.h"

namespace tidemill::serve {
namespace {

const TopicPartition kSource{"in", Partition(0)};

PartitionStates at_offset(int64_t offset) {
  PartitionStates states;
  states[kSource].committed.position = Position{Offset(offset), LeaderEpoch(0)};
  return states;
}
int64_t offset_of(const PartitionStates& states) {
  auto found = states.find(kSource);
  return found == states.end() ? -1 : found->second.committed.position->offset.value();
}

// The system takes for clean what it could not write: it reads back, and a later sync does not keep it.
TEST(FilesJournal, WhatAFailedSyncLeftIsWrittenAgain) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    MemoryFiles files;
    ASSERT_TRUE(create_durable_directories(files, "/run", 0).ok());
    PartitionStates states;
    auto journal = FilesJournal::open(files, "/run/journal", {}, &states);
    ASSERT_TRUE(journal.ok());
    ASSERT_TRUE((*journal)->append(at_offset(10)).ok());
    files.set_judge([](const MemoryFiles::Change& change) {
      bool sync = change.operation == MemoryFiles::Operation::kSync;
      return sync ? MemoryFiles::Fate{MemoryFiles::Fate::kFails, 0, true} : MemoryFiles::Fate{};
    });
    Status lost = (*journal)->append(at_offset(20));
    ASSERT_FALSE(lost.ok());
    EXPECT_EQ(lost.error().code, Code::kUnknown);
    files.set_judge({});
    files.kill_process();
    states.clear();
    journal = FilesJournal::open(files, "/run/journal", {}, &states);
    ASSERT_TRUE(journal.ok());
    int64_t told = offset_of(states);
    EXPECT_EQ(told, 20);
    files.crash(seed);
    states.clear();
    journal = FilesJournal::open(files, "/run/journal", {}, &states);
    ASSERT_TRUE(journal.ok()) << journal.error().message;
    EXPECT_EQ(offset_of(states), told) << "what was told stays true";
  }
}

}  // namespace
}  // namespace tidemill::serve
