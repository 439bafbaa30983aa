#include "verify/segment_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/bytes.h"
#include "verify/testing/planted_run.h"

namespace tidemill::verify {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Segments : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = "/tmp/tidemill-segments-XXXXXX";
    ASSERT_NE(mkdtemp(path.data()), nullptr);
    directory_ = path;
  }
  void TearDown() override { EXPECT_TRUE(FileSystem::posix().remove_tree(directory_).ok()); }

  void write(const std::string& base, const std::string& bytes) {
    std::ofstream(directory_ + "/" + std::string(20 - base.size(), '0') + base + ".log", std::ios::binary)
        << bytes;
  }
  static PlantedBatch batch(std::vector<std::string> values, int64_t producer = -1) {
    PlantedBatch out;
    for (auto& value : values)
      out.records.push_back({"k", true, value, 1000, {{"reason", "r"}, {"empty", ""}}});
    out.producer_id = producer;
    out.transactional = producer >= 0;
    return out;
  }
  static PlantedBatch marker(int64_t producer, bool commit) {
    PlantedBatch out;
    out.producer_id = producer;
    out.control = commit ? 1 : 0;
    return out;
  }
  Result<std::unique_ptr<PartitionFiles>> open(int64_t visible_end = -1) {
    return PartitionFiles::open(FileSystem::posix(), directory_, visible_end);
  }
  std::vector<std::string> values(int64_t visible_end = -1, int64_t from = 0) {
    auto files = open(visible_end);
    EXPECT_TRUE(files.ok()) << files.error().message;
    RecordReader reader(**files);
    EXPECT_TRUE(reader.seek(from).ok());
    std::vector<std::string> out;
    for (;;) {
      auto record = reader.next();
      EXPECT_TRUE(record.ok()) << record.error().message;
      if (!record.ok() || *record == nullptr) return out;
      out.push_back(std::to_string((*record)->offset) + std::string((*record)->value));
    }
  }
  std::string directory_;
};

TEST_F(Segments, EveryCodecIsRead) {
  std::string bytes;
  std::string large(5000, 'x');
  for (int codec = 0; codec <= 4; ++codec) {
    PlantedBatch each = batch({large, "b"});
    each.codec = codec;
    bytes += encode_batch(each, codec * 2);
  }
  write("0", bytes);
  EXPECT_EQ(values().size(), 10u);
  for (const std::string& value : values(-1, 9)) EXPECT_EQ(value, "9b");
}

TEST_F(Segments, RecordsCarryKeyTimeAndHeaders) {
  PlantedBatch one = batch({"a"});
  one.append_time = false;
  one.records[0].timestamp_ms = 77;
  one.records.push_back({"", false, "b", 70, {}});
  write("0", encode_batch(one, 0));
  auto files = open();
  ASSERT_TRUE(files.ok());
  RecordReader reader(**files);
  const LogRecord* record = *reader.at(0);
  ASSERT_NE(record, nullptr);
  EXPECT_EQ(record->key, "k");
  EXPECT_EQ(record->timestamp_ms, 77);
  EXPECT_FALSE(record->append_time);
  std::string_view found;
  EXPECT_TRUE(find_header(record->headers, "reason", &found));
  EXPECT_EQ(found, "r");
  EXPECT_TRUE(find_header(record->headers, "other", &found));
  EXPECT_EQ(found, "");
  record = *reader.at(1);
  EXPECT_FALSE(record->has_key);
  EXPECT_EQ(record->timestamp_ms, 70);
  EXPECT_EQ(*reader.at(2), nullptr);
  EXPECT_EQ((*reader.at(0))->value, "a");
}

TEST_F(Segments, AbortedAndOpenTransactionsAreLeftOut) {
  std::string bytes;
  bytes += encode_batch(batch({"a"}, 1), 0);
  bytes += encode_batch(batch({"x"}, 2), 1);
  bytes += encode_batch(marker(1, true), 2);
  bytes += encode_batch(marker(2, false), 3);
  bytes += encode_batch(batch({"b"}), 4);
  bytes += encode_batch(batch({"c"}, 2), 5);
  bytes += encode_batch(marker(2, true), 6);
  bytes += encode_batch(batch({"open"}, 3), 7);
  bytes += encode_batch(batch({"behind"}), 8);
  write("0", bytes);
  EXPECT_THAT(values(), ElementsAre("0a", "4b", "5c"));
  // The marker that aborts lies beyond what readers see.
  EXPECT_THAT(values(2), ElementsAre("0a"));
  auto files = open(8);
  ASSERT_FALSE(files.ok());
  EXPECT_THAT(files.error().message, HasSubstr("producer 3 at offset 7 has no end"));
}

TEST_F(Segments, ATornTailIsNoErrorWhereNobodySawIt) {
  std::string whole = encode_batch(batch({"a"}), 0), torn = encode_batch(batch({"b"}), 1);
  for (size_t size : {size_t{1}, size_t{30}, kBatchHeaderSize, torn.size() - 1}) {
    write("0", whole + torn.substr(0, size));
    EXPECT_THAT(values(), ElementsAre("0a"));
    EXPECT_FALSE(open(2).ok());
  }
  write("0", whole + std::string(100, '\0'));
  EXPECT_THAT(values(), ElementsAre("0a"));
}

TEST_F(Segments, DamageInsideIsAnErrorWithFileAndPlace) {
  std::string first = encode_batch(batch({"a"}), 0);
  write("0", first);
  write("1", encode_batch(batch({"b"}), 1));
  EXPECT_THAT(values(), ElementsAre("0a", "1b"));
  std::string cut = first.substr(0, first.size() - 1);
  write("0", cut);
  EXPECT_FALSE(open().ok());
  first[70] ^= 1;
  write("0", first);
  auto files = open();
  ASSERT_TRUE(files.ok());
  RecordReader reader(**files);
  auto record = reader.next();
  ASSERT_FALSE(record.ok());
  EXPECT_THAT(record.error().message, HasSubstr("00000000000000000000.log at byte 0"));
  EXPECT_EQ(record.error().code, Code::kCorrupt);
}

TEST_F(Segments, GapsAndWhatIsNoLongerThereAreKnown) {
  write("5", encode_batch(batch({"a", "b"}), 5) + encode_batch(batch({"c"}), 9));
  auto files = open();
  ASSERT_TRUE(files.ok());
  EXPECT_EQ((*files)->begin(), 5);
  EXPECT_EQ((*files)->end(), 10);
  EXPECT_THAT((*files)->gaps(), ElementsAre(std::pair<int64_t, int64_t>(7, 9)));
  EXPECT_FALSE(open(11).ok());
}

TEST_F(Segments, ReadersFindAnyOffsetInAnyOrder) {
  std::string bytes;
  constexpr int64_t kBatches = 3000;
  for (int64_t n = 0; n < kBatches; ++n)
    bytes += encode_batch(batch({std::string(300, 'v'), std::to_string(n)}), n * 2);
  write("0", bytes);
  auto files = open();
  ASSERT_TRUE(files.ok());
  RecordReader reader(**files);
  for (int64_t step = 0, n = 0; step < 2000; ++step, n = (n * 1103 + 12345) % kBatches) {
    const LogRecord* record = *reader.at(n * 2 + 1);
    ASSERT_NE(record, nullptr);
    EXPECT_EQ(record->value, std::to_string(n));
  }
}

}  // namespace
}  // namespace tidemill::verify
