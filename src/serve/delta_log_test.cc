// A table's log as others write it, by hand.
#include "serve/delta_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(DeltaActions, AreOfFilesBelowTheTable) {
  for (const char* action : {"add", "remove"}) {
    const auto parse = [&](const std::string& path) {
      DeltaActions actions;
      return parse_delta_actions("{\"" + std::string(action) + "\":{\"path\":\"" + path + "\",\"size\":1}}",
                                 &actions);
    };
    for (const char* path : {"a.parquet", "day=1/a.parquet", "a..b/..c/d../a.parquet", "./a.parquet",
                             "type=a%253Ab/a.parquet", "at=10:00/a.parquet", "...", "%2541.parquet"})
      EXPECT_TRUE(parse(path).ok()) << path;
    for (const char* path :
         {"../a.parquet", "..", "a/..", "a/../../b.parquet", "%2e%2E/a.parquet", "a%2F..%2F..%2Fb.parquet",
          "/etc/passwd", "%2Fetc/passwd", "file:///etc/passwd", "abfss://data@acme.dfs.core.windows.net/a",
          "s3a://bucket/a", "a.parquet\\u0000/b"}) {
      Status refused = parse(path);
      ASSERT_FALSE(refused.ok()) << path;
      EXPECT_EQ(refused.error().code, Code::kCorrupt) << path;
      EXPECT_THAT(refused.error().message, HasSubstr(std::string(action) + ": the path ")) << path;
    }
  }
}

constexpr int64_t kHourMs = 3'600'000;

// A table of the first commit, which adds files a and b, and of those given: time and removed file.
std::unique_ptr<DeltaLog> make_log(const Scratch& scratch,
                                   const std::vector<std::pair<int64_t, std::string>>& removes) {
  auto store = std::make_shared<FolderStore>(FileSystem::posix(), Random::system(), scratch.path("table"));
  std::string first = delta_commit_info_line("WRITE", "", 0, "id") + delta_protocol_line(1, 2) +
                      delta_meta_data_line("table", "{}", {}, {}, 0);
  for (const auto& [time_ms, path] : removes) first += delta_add_line(path, {}, 1, 0, true, "");
  EXPECT_TRUE(store->put_if_absent(delta_commit_name(0), first).ok());
  int64_t version = 0;
  for (const auto& [time_ms, path] : removes) {
    DeltaAdd file;
    file.path = path;
    const std::string lines =
        delta_commit_info_line("WRITE", "", time_ms, "id") + delta_remove_line(file, time_ms, true);
    EXPECT_TRUE(store->put_if_absent(delta_commit_name(++version), lines).ok());
  }
  return std::make_unique<DeltaLog>(store, duck::Database::open(":memory:", {}).value(), Clock::system());
}

std::vector<std::string> removed_since(DeltaLog& log, int64_t time_ms) {
  std::vector<std::string> paths;
  const auto removed = log.removed_since(time_ms);
  EXPECT_TRUE(removed.ok()) << removed.error().message;
  for (const DeltaRemove& file : *removed) paths.push_back(file.path);
  return paths;
}

TEST(DeltaLog, FindsWhatWasRemovedBehindACommitOfAClockThatIsBehind) {
  const Scratch scratch("delta-log-skew");
  const auto log = make_log(
      scratch, {{10 * kHourMs, "long-ago"}, {102 * kHourMs, "within"}, {95 * kHourMs, "by-the-slow"}});
  EXPECT_THAT(removed_since(*log, 100 * kHourMs), ElementsAre("within"));
  EXPECT_THAT(removed_since(*log, 95 * kHourMs), ElementsAre("by-the-slow", "within"));
  EXPECT_THAT(removed_since(*log, 103 * kHourMs), ElementsAre());
}

}  // namespace
}  // namespace tidemill::serve
