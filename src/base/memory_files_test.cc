#include "base/testing/memory_files.h"

#include <gtest/gtest.h>

namespace tidemill {
namespace {

std::unique_ptr<File> create(MemoryFiles& files, const std::string& path) {
  auto file = files.open(path, OpenMode::kCreate);
  EXPECT_TRUE(file.ok());
  return std::move(file).value();
}

TEST(MemoryFiles, SyncedBytesInSyncedDirectoriesSurviveEveryCrash) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    MemoryFiles files;
    ASSERT_TRUE(files.create_directories("/d").ok());
    ASSERT_TRUE(files.sync_directory("/").ok());
    auto file = create(files, "/d/f");
    ASSERT_TRUE(file->write_at(0, std::string(2000, 'a')).ok());
    ASSERT_TRUE(file->sync().ok());
    ASSERT_TRUE(files.sync_directory("/d").ok());
    ASSERT_TRUE(file->write_at(2000, std::string(2000, 'b')).ok());
    files.crash(seed);
    std::string content = files.content("/d/f");
    EXPECT_EQ(content.substr(0, 2000), std::string(2000, 'a'));
    EXPECT_LE(content.size(), 4000u);
    EXPECT_FALSE(file->write_at(0, "x").ok()) << "a file of before the crash is dead";
  }
}

TEST(MemoryFiles, UnsyncedWritesSurviveWholeInPartOrNotAtAll) {
  bool whole = false, none = false, hole = false;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    MemoryFiles files;
    auto file = create(files, "/f");
    ASSERT_TRUE(files.sync_directory("/").ok());
    for (int i = 0; i < 8; ++i)
      ASSERT_TRUE(file->write_at(static_cast<uint64_t>(i) * 600, std::string(600, 'x')).ok());
    files.crash(seed);
    std::string content = files.content("/f");
    whole = whole || content == std::string(4800, 'x');
    none = none || content.empty();
    size_t zero = content.find('\0');
    hole = hole || (zero != std::string::npos && content.find('x', zero) != std::string::npos);
  }
  EXPECT_TRUE(whole && none && hole);
}

TEST(MemoryFiles, NamesWithoutDirectorySyncMayVanish) {
  bool kept = false, lost = false;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    MemoryFiles files;
    auto file = create(files, "/f");
    ASSERT_TRUE(file->sync().ok());
    files.crash(seed);
    (files.exists("/f") ? kept : lost) = true;
  }
  EXPECT_TRUE(kept && lost);
}

TEST(MemoryFiles, AtomicWritesAreOldOrNewAtEveryInstant) {
  for (uint64_t power = 1; power < 20; ++power) {
    for (uint64_t seed = 0; seed < 10; ++seed) {
      MemoryFiles files;
      ASSERT_TRUE(write_file_atomically(files, "/f", std::string(1000, 'o')).ok());
      files.fail_power_after(power);
      Status written = write_file_atomically(files, "/f", std::string(1500, 'n'));
      files.crash(seed);
      std::string content = files.content("/f");
      EXPECT_TRUE(content == std::string(1500, 'n') || (!written.ok() && content == std::string(1000, 'o')));
    }
  }
}

TEST(MemoryFiles, AFullDiskRefusesAndRecovers) {
  MemoryFiles files;
  auto file = create(files, "/f");
  files.set_capacity(1000);
  ASSERT_TRUE(file->write_at(0, std::string(900, 'x')).ok());
  Status refused = file->write_at(900, std::string(900, 'x'));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, Code::kDiskFull);
  EXPECT_TRUE(refused.error().retryable);
  files.set_capacity(10000);
  EXPECT_TRUE(file->write_at(900, std::string(900, 'x')).ok());
}

TEST(MemoryFiles, ALyingSyncKeepsNothingAndAnHonestOneAfterItKeepsAll) {
  for (bool honest : {false, true}) {
    bool kept = true;
    for (uint64_t seed = 0; seed < 20; ++seed) {
      MemoryFiles files;
      auto file = create(files, "/f");
      ASSERT_TRUE(files.sync_directory("/").ok());
      ASSERT_TRUE(file->write_at(0, "data").ok());
      files.set_judge([](const MemoryFiles::Change&) { return MemoryFiles::Fate{MemoryFiles::Fate::kLies}; });
      EXPECT_TRUE(file->sync().ok());
      files.set_judge({});
      if (honest) {
        EXPECT_TRUE(file->sync().ok());
      }
      files.crash(seed);
      kept = kept && files.content("/f") == "data";
    }
    EXPECT_EQ(kept, honest);
  }
}

TEST(MemoryFiles, WhatAFailedSyncDroppedIsKeptOnlyIfItIsWrittenAgain) {
  for (bool again : {false, true}) {
    MemoryFiles files;
    auto file = create(files, "/f");
    ASSERT_TRUE(files.sync_directory("/").ok());
    ASSERT_TRUE(file->write_at(0, "data").ok());
    files.set_judge([](const MemoryFiles::Change&) {
      return MemoryFiles::Fate{MemoryFiles::Fate::kFails, 0, true};
    });
    EXPECT_FALSE(file->sync().ok());
    files.set_judge({});
    EXPECT_EQ(files.content("/f"), "data");
    if (again) {
      ASSERT_TRUE(file->write_at(0, "data").ok());
    }
    EXPECT_TRUE(file->sync().ok());
    files.crash(1);
    EXPECT_EQ(files.content("/f"), again ? "data" : "");
  }
}

TEST(MemoryFiles, AKilledProcessLosesNothingThatItWrote) {
  MemoryFiles files;
  auto file = create(files, "/f");
  ASSERT_TRUE(file->write_at(0, "data").ok());
  files.cut_power();
  EXPECT_FALSE(file->write_at(4, "more").ok());
  EXPECT_FALSE(files.open("/f", OpenMode::kRead).ok());
  files.kill_process();
  EXPECT_EQ(files.content("/f"), "data");
  EXPECT_FALSE(file->write_at(4, "more").ok()) << "its file is closed";
  EXPECT_TRUE(files.open("/f", OpenMode::kRead).ok());
}

}  // namespace
}  // namespace tidemill
