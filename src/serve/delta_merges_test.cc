#include "serve/delta_merges.h"

#include <gtest/gtest.h>

#include <random>

namespace tidemill::serve {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kMinuteMs = 60'000;

// A table without rows: merges only add sizes up.
struct Table {
  void add(int64_t bytes, const std::string& type = "a", int64_t now_ms = 0) {
    DeltaAdd file;
    file.path = std::to_string(count++);
    file.partition["type"] = type;
    file.size_bytes = bytes;
    file.modified_ms = now_ms;
    files[file.path] = file;
  }
  // Until nothing is worth it; returns how many.
  int merge(const DeltaMergeRules& rules, int64_t now_ms = 0) {
    for (int merges = 0;; ++merges) {
      const std::vector<DeltaAdd> chosen = choose_merge(files, rules, now_ms, {});
      if (chosen.empty()) return merges;
      EXPECT_GE(chosen.size(), 2u);
      int64_t bytes = 0;
      for (const DeltaAdd& file : chosen) {
        EXPECT_EQ(file.partition, chosen.front().partition);
        EXPECT_LT(file.size_bytes, rules.target_bytes);
        bytes += file.size_bytes;
        EXPECT_EQ(files.erase(file.path), 1u);
      }
      written += bytes;
      add(bytes, *chosen.front().partition.at("type"), now_ms);
    }
  }
  size_t small(const DeltaMergeRules& rules) const {
    size_t found = 0;
    for (const auto& [path, file] : files) found += file.size_bytes < rules.target_bytes ? 1 : 0;
    return found;
  }

  std::map<std::string, DeltaAdd> files;
  int count = 0;
  int64_t written = 0;
};

TEST(DeltaMerges, OfAGrowingTableFewFilesStaySmallAndRowsAreSeldomWrittenAgain) {
  const DeltaMergeRules rules;
  for (const int64_t bytes : {int64_t{10'000}, kMiB, 40 * kMiB}) {
    Table table;
    int64_t total = 0;
    size_t most = 0;
    while (total < 300 * kMiB) {
      table.add(bytes);
      total += bytes;
      table.merge(rules);
      most = std::max(most, table.small(rules));
    }
    EXPECT_LT(most, 30u) << bytes;
    // 16 files of 10 kB double ten times until they are 128 MiB.
    EXPECT_LT(table.written, 11 * total) << bytes;
  }
}

TEST(DeltaMerges, DownToOneSmallFileOfAPartitionWhereAllAreAskedFor) {
  DeltaMergeRules rules;
  rules.all = true;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 chance(seed);
    Table table;
    std::map<std::string, int64_t> total;
    for (int n = 0; n < 200; ++n) {
      const std::string type(1, static_cast<char>('a' + chance() % 3));
      const auto bytes = static_cast<int64_t>(chance() % (int64_t{1} << (10 + chance() % 18)));
      table.add(bytes, type);
      total[type] += bytes;
    }
    table.merge(rules);
    std::map<std::string, int64_t> files;
    for (const auto& [path, file] : table.files) ++files[*file.partition.at("type")];
    for (const auto& [type, count] : files)
      EXPECT_LE(count, total[type] / rules.target_bytes + 1) << "seed " << seed;
    EXPECT_EQ(table.merge(rules), 0);
  }
}

TEST(DeltaMerges, OfAQuietPartitionOneSmallFileStays) {
  const DeltaMergeRules rules;
  Table table;
  for (int n = 0; n < 5; ++n) table.add(kMiB, "a", 10 * kMinuteMs);
  table.add(kMiB, "alone", 0);
  EXPECT_EQ(table.merge(rules, 19 * kMinuteMs), 0);
  EXPECT_EQ(table.merge(rules, 20 * kMinuteMs), 1);
  EXPECT_EQ(table.files.size(), 2u);
}

TEST(DeltaMerges, ALargeFileIsNotWrittenAgainSoonForALittleOne) {
  const DeltaMergeRules rules;
  Table table;
  table.add(60 * kMiB);
  table.add(kMiB);
  EXPECT_EQ(table.merge(rules, 599 * kMinuteMs), 0);
  EXPECT_EQ(table.merge(rules, 600 * kMinuteMs), 1);
  table.add(1, "a", 600 * kMinuteMs);
  EXPECT_EQ(table.merge(rules, (600 + 24 * 60) * kMinuteMs - 1), 0);
  EXPECT_EQ(table.merge(rules, (600 + 24 * 60) * kMinuteMs), 1);
}

TEST(DeltaMerges, PassOverWhatTheyAreTold) {
  DeltaMergeRules rules;
  rules.all = true;
  Table table;
  for (int n = 0; n < 4; ++n) table.add(kMiB);
  EXPECT_EQ(choose_merge(table.files, rules, 0, {"1"}).size(), 3u);
  const std::set<std::string> only = {"0", "1", "3"};
  const std::vector<DeltaAdd> chosen = choose_merge(table.files, rules, 0, {"1"}, &only);
  ASSERT_EQ(chosen.size(), 2u);
  EXPECT_EQ(chosen[0].path + chosen[1].path, "03");
}

}  // namespace
}  // namespace tidemill::serve
