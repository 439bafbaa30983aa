// A table's log as others write it, by hand.
#include "serve/delta_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

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

}  // namespace
}  // namespace tidemill::serve
