#include "solution/run_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

namespace tidemill::solution {
namespace {

class RunDirectory : public testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/tidemill-runs-XXXXXX";
    root_ = ::mkdtemp(pattern);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  RunRecord run_named(const std::string& name) {
    RunRecord record;
    record.name = name;
    record.solution = "solutions/\"odd\".yaml";
    record.settings = {"simulate.rate=5", "x=\n"};
    return record;
  }
  std::string root_;
};

TEST_F(RunDirectory, NumbersRunsWithinTheirName) {
  RunStore runs(FileSystem::posix(), root_);
  EXPECT_FALSE(runs.latest("a").has_value());
  ASSERT_TRUE(runs.create(run_named("a"), 0).ok());
  ASSERT_TRUE(runs.create(run_named("a"), 1).ok());
  ASSERT_TRUE(runs.create(run_named("b"), 0).ok());
  EXPECT_EQ(runs.latest("a")->id(), "a/2");
  EXPECT_EQ(runs.list().size(), 3u);
  EXPECT_EQ(runs.latest("a")->settings, (std::vector<std::string>{"simulate.rate=5", "x=\n"}));
}

TEST_F(RunDirectory, RemovesWhatARunMadeAndNothingElse) {
  RunStore runs(FileSystem::posix(), root_);
  auto record = runs.create(run_named("a"), 0);
  ASSERT_TRUE(record.ok());
  std::string path = runs.directory("a", 1);
  std::filesystem::create_directories(path + "/log/telemetry-0");
  std::ofstream(path + "/log/telemetry-0/x.log") << "12345";
  std::ofstream(path + "/notes.txt") << "mine";
  std::ofstream(path + "/my.duckdb") << "made under a name of the solution's own";
  record->made = {"my.duckdb", "my.duckdb.wal"};
  ASSERT_TRUE(runs.save(*record).ok());
  record = runs.latest("a").value();
  EXPECT_EQ(runs.contents(*record).foreign, std::vector<std::string>{path + "/notes.txt"});
  ASSERT_TRUE(runs.remove(*record).ok());
  EXPECT_FALSE(std::filesystem::exists(path + "/log"));
  EXPECT_FALSE(std::filesystem::exists(path + "/my.duckdb"));
  EXPECT_TRUE(std::filesystem::exists(path + "/notes.txt"));
  EXPECT_TRUE(runs.list().empty());
  // The number of a directory that is still there is not given again.
  EXPECT_EQ(runs.create(run_named("a"), 0)->number, 2);
}

TEST_F(RunDirectory, RefusesNamesThatLeaveTheRoot) {
  for (const char* name : {"", "..", ".x", "a/b", "a b", "\xc3\xa4"})
    EXPECT_FALSE(check_run_name(name).ok()) << name;
  EXPECT_TRUE(check_run_name("my-run_2.1").ok());
}

TEST_F(RunDirectory, OneOfSeveralConcurrentCreatorsSucceeds) {
  RunStore runs(FileSystem::posix(), root_);
  for (int64_t latest = 0; latest < 20; ++latest) {
    std::atomic<int> created{0}, refused{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        auto record = runs.create(run_named("a"), latest);
        if (record.ok()) {
          ++created;
        } else if (record.error().code == Code::kExists) {
          ++refused;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(created, 1);
    EXPECT_EQ(refused, 3);
    EXPECT_EQ(runs.latest("a")->number, latest + 1);
  }
}

TEST_F(RunDirectory, RunsThatCannotBeReadAreListedWithTheReason) {
  RunStore runs(FileSystem::posix(), root_);
  auto write = [&](const std::string& run, const std::string& json) {
    std::filesystem::create_directories(root_ + "/" + run);
    std::ofstream(root_ + "/" + run + "/run.json") << json;
  };
  write("a/1", "{\"format\":1,");
  write("a/2", "{\"format\":2,\"name\":\"a\",\"number\":2}");
  write("a/3", *encode_run(run_named("other")));
  std::filesystem::create_directories(root_ + "/a/4");
  std::filesystem::create_directories(root_ + "/a/notes");
  auto listed = runs.list("a");
  ASSERT_EQ(listed.size(), 3u);
  EXPECT_THAT(listed[0].problem, testing::HasSubstr("not a JSON object"));
  EXPECT_THAT(listed[1].problem, testing::HasSubstr("another version of tidemill"));
  EXPECT_THAT(listed[2].problem, testing::HasSubstr("copied or renamed"));
  for (const RunRecord& record : listed) {
    EXPECT_FALSE(check_usable(runs, record).ok());
    EXPECT_TRUE(runs.remove(record).ok());
  }
  EXPECT_TRUE(runs.list("a").empty());
}

}  // namespace
}  // namespace tidemill::solution
