// Lengths of two gigabytes in any of the log's files take no memory: opening and reading see that the file
// is not so large.
#include <gtest/gtest.h>

#include <map>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/testing/memory_peak.h"
#include "log/testing/log_fixture.h"

namespace tidemill::log {
namespace {

using namespace testing_support;

constexpr size_t kMemoryAllowed = size_t{16} << 20;
const TopicPartition kHostile{"t", Partition(0)};

class LogMemory : public ::testing::TestWithParam<bool> {
 protected:
  // Sealed segments and an active one, closed or not.
  void SetUp() override {
    LogFixture fixture;
    fixture.options.segment_bytes = 3000;
    auto log = fixture.open();
    must(log->create_topic("t", {}));
    Producer producer = must(log->init_idempotent("p"));
    for (int i = 0; i < 30; ++i) {
      auto appended =
          must(append(*log, kHostile, {std::string(300, 'v')}, {.producer = producer, .sequence = i}));
      must(log->wait_durable(appended.sync_ticket));
    }
    if (GetParam()) must(log->close());
    for (const std::string& path : fixture.files.paths()) content_[path] = fixture.files.content(path);
  }
  std::vector<std::string> files_of(std::string_view suffix) const {
    std::vector<std::string> found;
    for (const auto& [path, bytes] : content_) {
      if (path.find("/t-0/") != std::string::npos && path.ends_with(suffix) && !bytes.empty())
        found.push_back(path);
    }
    return found;
  }
  std::string with(const std::string& path, size_t at, std::string_view bytes) const {
    std::string changed = content_.at(path);
    EXPECT_LE(at + bytes.size(), changed.size()) << path;
    changed.replace(at, bytes.size(), bytes);
    return changed;
  }
  // Of opening the log with this file changed, and of reading all that is there.
  size_t peak_with(const std::string& changed_path, const std::string& changed) const {
    LogFixture fixture;
    fixture.options.segment_bytes = 3000;
    for (const auto& [path, bytes] : content_) {
      must(fixture.files.create_directories(parent_path(path)));
      fixture.files.set_content(path, path == changed_path ? changed : bytes);
    }
    return resident_peak([&] {
      auto log = fixture.try_open();
      if (!log.ok()) {
        EXPECT_EQ(log.error().code, Code::kCorrupt) << log.error().message;
        return;
      }
      Offset at(0);
      while (true) {
        auto fetched = (*log)->read(kHostile, at, 500, Isolation::kReadCommitted);
        if (!fetched.ok()) {
          EXPECT_EQ(fetched.error().code, Code::kCorrupt) << fetched.error().message;
          return;
        }
        if (fetched->at_end) return;
        at = fetched->end.offset;
      }
    });
  }

  std::map<std::string, std::string> content_;
  const std::string kTwoGiB = std::string("\x7f\xff\xff\xff", 4);
};
INSTANTIATE_TEST_SUITE_P(Shutdown, LogMemory, ::testing::Bool(),
                         [](const auto& param) { return param.param ? "Clean" : "Crash"; });

TEST_P(LogMemory, HoldsForTheLengthOfABatch) {
  ASSERT_GT(files_of(".log").size(), 2u);
  for (const std::string& path : files_of(".log")) {
    for (size_t field :
         {record_batch_layout::kLength, record_batch_layout::kCount, record_batch_layout::kLastOffsetDelta}) {
      EXPECT_LT(peak_with(path, with(path, field, kTwoGiB)), kMemoryAllowed) << path << " at " << field;
    }
  }
}

TEST_P(LogMemory, HoldsForTheCountOfAProducerSnapshot) {
  ASSERT_FALSE(files_of(".snapshot").empty());
  for (const std::string& path : files_of(".snapshot")) {
    std::string changed = with(path, 6, kTwoGiB);
    store_be(changed.data() + 2, crc32c(std::string_view(changed).substr(6)));
    EXPECT_LT(peak_with(path, changed), kMemoryAllowed) << path;
  }
}

TEST_P(LogMemory, HoldsForThePositionsOfAnIndex) {
  for (const char* suffix : {".index", ".timeindex"}) {
    for (const std::string& path : files_of(suffix))
      EXPECT_LT(peak_with(path, with(path, 4, kTwoGiB)), kMemoryAllowed) << path;
  }
}

TEST_P(LogMemory, HoldsForTheNumberOfLinesOfACheckpoint) {
  for (const auto& [path, bytes] : content_) {
    if (!path.ends_with("checkpoint")) continue;
    EXPECT_LT(peak_with(path, "0\n2147483647\nt 0 5\n"), kMemoryAllowed) << path;
  }
}

}  // namespace
}  // namespace tidemill::log
