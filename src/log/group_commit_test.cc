#include "log/group_commit.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace tidemill::log {
namespace {

// Counts its syncs, of which it can wait for one of another, or fail.
class Counted final : public Syncable {
 public:
  Status sync_written() override {
    ++syncs;
    const auto bound = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (beside && beside->syncs == 0) {
      if (std::chrono::steady_clock::now() > bound) return internal_error("nobody synced beside it");
      std::this_thread::yield();
    }
    if (fails) return external_error("the disk is gone", Code::kFailed);
    return ok_status();
  }
  std::atomic<int> syncs{0};
  Counted* beside = nullptr;
  bool fails = false;
};

struct Fixture {
  Fixture(int count, int threads) : group(fatal, threads) {
    for (int i = 0; i < count; ++i) all.push_back(std::make_shared<Counted>());
  }
  uint64_t write_all() {
    uint64_t ticket = 0;
    for (const auto& one : all) ticket = group.written(one);
    return ticket;
  }
  Fatal fatal{[] {}};
  GroupCommit group;
  std::vector<std::shared_ptr<Counted>> all;
};

TEST(GroupCommitThreads, SyncEachFileOnceARoundWhateverTheirNumber) {
  for (int threads : {0, 1, 3, 7}) {
    for (int files : {1, 2, 5, 20}) {
      Fixture fixture(files, threads);
      for (int round = 1; round <= 3; ++round) {
        auto waited = fixture.group.wait(fixture.write_all());
        ASSERT_TRUE(waited.ok());
        EXPECT_TRUE(*waited);
        for (const auto& one : fixture.all) EXPECT_EQ(one->syncs, round);
      }
    }
  }
}

TEST(GroupCommitThreads, SyncFilesAtTheSameTime) {
  Fixture fixture(2, 1);
  // Each of them ends only when the other one has begun.
  fixture.all[0]->beside = fixture.all[1].get();
  fixture.all[1]->beside = fixture.all[0].get();
  auto waited = fixture.group.wait(fixture.write_all());
  EXPECT_TRUE(waited.ok()) << waited.error().message;
}

TEST(GroupCommitThreads, TellTheErrorOfAnyFileToEverybody) {
  for (int threads : {0, 3}) {
    for (size_t failing : {size_t{0}, size_t{4}, size_t{9}}) {
      Fixture fixture(10, threads);
      fixture.all[failing]->fails = true;
      const uint64_t ticket = fixture.write_all();
      std::vector<std::thread> waiters;
      std::atomic<int> told{0};
      for (int i = 0; i < 3; ++i) {
        waiters.emplace_back([&] { told += fixture.group.wait(ticket).ok() ? 0 : 1; });
      }
      for (std::thread& waiter : waiters) waiter.join();
      EXPECT_EQ(told, 3);
      EXPECT_FALSE(fixture.group.durable(ticket));
      EXPECT_FALSE(fixture.fatal.check().ok());
    }
  }
}

}  // namespace
}  // namespace tidemill::log
