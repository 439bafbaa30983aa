#include "pipeline/changelog.h"

#include <gtest/gtest.h>

#include "pipeline/operator.h"

namespace tidemill::pipeline {
namespace {

ChangelogRecord record_of(ChangelogRecord::Kind kind) {
  ChangelogRecord record;
  record.kind = kind;
  record.epoch = Epoch(1'000'000'000'000);
  record.incarnation = Incarnation(7);
  record.end = Position{Offset(123), LeaderEpoch(4)};
  record.counters = {10, 7, 1, 2};
  return record;
}

TEST(Changelog, RoundTripsInParts) {
  std::string deltas;
  DeltaWriter first(&deltas, 0), second(&deltas, 1);
  std::vector<std::pair<uint32_t, std::string>> written;
  for (size_t i = 0; i < 100; ++i) {
    std::string delta(i * 3, static_cast<char>('a' + i % 26));
    (i % 2 == 0 ? first : second).add(delta);
    written.emplace_back(i % 2, delta);
  }
  auto parts = encode_changelog(record_of(ChangelogRecord::kSnapshot), deltas, 1000).value();
  ASSERT_GT(parts.size(), 10u);
  std::vector<std::pair<uint32_t, std::string>> read;
  for (size_t i = 0; i < parts.size(); ++i) {
    auto record = decode_changelog(parts[i]);
    ASSERT_TRUE(record.ok());
    EXPECT_EQ(record->part, i);
    EXPECT_EQ(record->last_part, i + 1 == parts.size());
    EXPECT_EQ(record->epoch.value(), 1'000'000'000'000);
    EXPECT_EQ(record->counters, (Counters{10, 7, 1, 2}));
    EXPECT_EQ(record->end.offset, Offset(123));
    ASSERT_TRUE(for_each_delta(record->deltas, [&](uint32_t index, std::string_view delta) -> Status {
                  read.emplace_back(index, delta);
                  return {};
                }).ok());
  }
  EXPECT_EQ(read, written);
}

TEST(Changelog, AnEpochWithoutChangesHasAFrameToo) {
  auto parts = encode_changelog(record_of(ChangelogRecord::kFrame), "").value();
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_TRUE(decode_changelog(parts[0])->last_part);
}

TEST(Changelog, ADeltaThatNoRecordTakesIsRefusedByItsOperator) {
  std::string deltas;
  DeltaWriter(&deltas, 0).add(std::string(900, 'a'));
  DeltaWriter(&deltas, 2).add(std::string(1001, 'b'));
  auto parts = encode_changelog(record_of(ChangelogRecord::kSnapshot), deltas, 1000);
  ASSERT_FALSE(parts.ok());
  EXPECT_NE(parts.error().message.find("operator 3 has 1004 bytes"), std::string::npos)
      << parts.error().message;
}

TEST(Changelog, RefusesOtherVersionsAndDamage) {
  auto parts = encode_changelog(record_of(ChangelogRecord::kFrame), "").value();
  std::string newer = parts[0];
  newer[0] = 2;
  EXPECT_EQ(decode_changelog(newer).error().code, Code::kCorrupt);
  for (size_t size = 0; size < parts[0].size(); ++size) {
    EXPECT_FALSE(decode_changelog(std::string_view(parts[0]).substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(for_each_delta("\x01\x7f", [](uint32_t, std::string_view) { return ok_status(); }).ok());
}

}  // namespace
}  // namespace tidemill::pipeline
