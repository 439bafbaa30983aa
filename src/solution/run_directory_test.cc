#include "solution/run_directory.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

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
  ASSERT_TRUE(runs.create(run_named("a")).ok());
  ASSERT_TRUE(runs.create(run_named("a")).ok());
  ASSERT_TRUE(runs.create(run_named("b")).ok());
  EXPECT_EQ(runs.latest("a")->id(), "a/2");
  EXPECT_EQ(runs.list().size(), 3u);
  EXPECT_EQ(runs.latest("a")->settings, (std::vector<std::string>{"simulate.rate=5", "x=\n"}));
}

TEST_F(RunDirectory, RemovesWhatARunMadeAndNothingElse) {
  RunStore runs(FileSystem::posix(), root_);
  auto record = runs.create(run_named("a"));
  ASSERT_TRUE(record.ok());
  std::string path = runs.directory("a", 1);
  std::filesystem::create_directories(path + "/log/telemetry-0");
  std::ofstream(path + "/log/telemetry-0/x.log") << "12345";
  std::ofstream(path + "/notes.txt") << "mine";
  EXPECT_EQ(runs.contents(*record).foreign, std::vector<std::string>{path + "/notes.txt"});
  ASSERT_TRUE(runs.remove(*record).ok());
  EXPECT_FALSE(std::filesystem::exists(path + "/log"));
  EXPECT_TRUE(std::filesystem::exists(path + "/notes.txt"));
  EXPECT_TRUE(runs.list().empty());
  // The number of a directory that is still there is not given again.
  EXPECT_EQ(runs.create(run_named("a"))->number, 2);
}

TEST_F(RunDirectory, RefusesNamesThatLeaveTheRoot) {
  for (const char* name : {"", "..", ".x", "a/b", "a b", "\xc3\xa4"})
    EXPECT_FALSE(check_run_name(name).ok()) << name;
  EXPECT_TRUE(check_run_name("my-run_2.1").ok());
}

TEST_F(RunDirectory, ForeignOrDamagedFilesAreNoRuns) {
  RunStore runs(FileSystem::posix(), root_);
  std::filesystem::create_directories(root_ + "/a/1");
  std::ofstream(root_ + "/a/1/run.json") << "{\"format\":1,";
  std::filesystem::create_directories(root_ + "/a/2");
  EXPECT_TRUE(runs.list().empty());
  EXPECT_FALSE(decode_run("[]").ok());
  EXPECT_FALSE(decode_run("{\"format\":2}").ok());
}

}  // namespace
}  // namespace tidemill::solution
