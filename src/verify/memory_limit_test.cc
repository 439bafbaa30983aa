// Bytes that claim or unpack to far more than they are take no more of the verifier's memory than its limit.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/testing/memory_files.h"
#include "base/testing/memory_peak.h"
#include "verify/segment_reader.h"
#include "verify/testing/planted_run.h"

namespace tidemill::verify {
namespace {

constexpr size_t kReaderLimit = size_t{16} << 20;
constexpr size_t kReaderAllowed =
    6 * kReaderLimit;  // a buffer that grows is there twice; what a sanitizer keeps

class VerifierMemory : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Codecs, VerifierMemory, ::testing::Values(1, 2, 3, 4));

TEST_P(VerifierMemory, HoldsAgainstADecompressionBomb) {
  PlantedBatch batch;
  batch.codec = GetParam();
  batch.records.push_back({"k", true, std::string(size_t{120} << 20, '\0'), 1000, {}});
  std::string packed = encode_batch(batch, 0).substr(kBatchHeaderSize);
  batch.records.clear();
  auto unpack = [&](size_t limit) {
    std::string out;
    return decompress(GetParam(), packed, limit, &out).ok();
  };
  bool unpacked = false;
  EXPECT_LT(resident_peak([&] { unpacked = unpack(kReaderLimit); }), kReaderAllowed);
  EXPECT_FALSE(unpacked);
  // The measure is awake.
  EXPECT_GT(resident_peak([&] { unpacked = unpack(size_t{180} << 20); }), kReaderAllowed);
  EXPECT_TRUE(unpacked);
}

TEST(VerifierMemory, HoldsForLengthsOfTwoGigabytes) {
  PlantedBatch one;
  one.records.push_back({"k", true, "v", 1000, {{"reason", "r"}}});
  const std::string whole = encode_batch(one, 0);
  auto reseal = [](std::string& batch) {
    store_be(batch.data() + 17, crc32c(std::string_view(batch).substr(21)));
  };
  std::vector<std::string> hostile;
  for (size_t at : {size_t{8}, size_t{23}, size_t{57}}) {  // length, last offset delta, count
    hostile.push_back(whole);
    store_be(hostile.back().data() + at, INT32_MAX);
    reseal(hostile.back());
  }
  // Every varint of the record: its length, deltas, key, value, headers.
  for (size_t at = kBatchHeaderSize; at < whole.size(); ++at) {
    std::string batch = whole.substr(0, at) + "\xfe\xff\xff\xff\x0f" + whole.substr(at + 1);
    store_be(batch.data() + 8, static_cast<int32_t>(batch.size() - 12));
    reseal(batch);
    hostile.push_back(batch);
  }
  for (std::string_view claim :
       {"\xff\xff\xff\xff\x0f", "\xff\xff\xff\x7f"}) {  // a snappy text of 4 GiB, of 256 MiB
    std::string batch = whole.substr(0, kBatchHeaderSize) + std::string(claim);
    store_be(batch.data() + 8, static_cast<int32_t>(batch.size() - 12));
    batch[22] = 2;
    reseal(batch);
    hostile.push_back(batch);
  }
  size_t peak = resident_peak([&] {
    for (const std::string& bytes : hostile) {
      MemoryFiles files;
      ASSERT_TRUE(files.create_directories("d").ok());
      files.set_content("d/00000000000000000000.log", bytes);
      auto partition = PartitionFiles::open(files, "d", -1);
      if (!partition.ok()) continue;
      RecordReader reader(**partition);
      while (true) {
        auto record = reader.next();
        if (!record.ok() || *record == nullptr) break;
      }
    }
  });
  EXPECT_LT(peak, kReaderLimit);
}

}  // namespace
}  // namespace tidemill::verify
