// Bytes that claim or unpack to far more than they are take no more memory than the limit says.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/testing/memory_peak.h"
#include "event/batch.h"
#include "event/record_batch.h"

namespace tidemill {
namespace {

using namespace record_batch_layout;

constexpr size_t kUnpackLimit = size_t{8} << 20;
// A buffer that grows by doubling is there twice while it is copied; the codecs' own windows; what a
// sanitizer keeps of freed memory.
constexpr size_t kUnpackAllowed = 6 * kUnpackLimit;
constexpr size_t kBomb = size_t{128} << 20;

// A sealed batch around `records`, which are compressed already.
std::string packed_batch(std::string_view records, int32_t count, Compression codec) {
  RecordBatchBuilder builder;
  builder.add(5, {}, "x");
  std::string batch = builder.finish().value().substr(0, kRecords) + std::string(records);
  store_be(batch.data() + kLength, static_cast<int32_t>(batch.size() - kLogOverhead));
  store_be(batch.data() + kAttributes, static_cast<int16_t>(codec));
  store_be(batch.data() + kLastOffsetDelta, count - 1);
  store_be(batch.data() + kCount, count);
  seal_batch(batch.data(), batch.size());
  return batch;
}

// What unpacks to `size` zero bytes.
std::string bomb(Compression codec, size_t size) {
  if (codec != Compression::kSnappy) return compress(codec, std::string(size, '\0')).value();
  // Snappy's blocks are held whole by whoever writes them: many small ones in the framing of Java clients.
  constexpr size_t kBlock = size_t{1} << 20;
  std::string block = compress(codec, std::string(kBlock, '\0')).value();
  std::string framed("\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
  for (size_t done = 0; done < size; done += kBlock) {
    ByteWriter(framed).be(static_cast<int32_t>(block.size()));
    framed += block;
  }
  return framed;
}

class MemoryLimit : public ::testing::TestWithParam<Compression> {};
INSTANTIATE_TEST_SUITE_P(Codecs, MemoryLimit,
                         ::testing::Values(Compression::kGzip, Compression::kSnappy, Compression::kLz4,
                                           Compression::kZstd),
                         [](const auto& param) { return std::string(compression_name(param.param)); });

TEST_P(MemoryLimit, HoldsAgainstADecompressionBomb) {
  std::string batch = packed_batch(bomb(GetParam(), kBomb), 1, GetParam());
  std::optional<Code> refused;
  auto decode = [&](size_t limit) {
    std::string scratch;
    std::vector<Record> records;
    auto header = parse_batch_header(batch).value();
    Status decoded = decode_records(*header, batch, limit, &scratch, &records);
    if (!decoded.ok()) refused = decoded.error().code;
  };
  EXPECT_LT(resident_peak([&] { decode(kUnpackLimit); }), kUnpackAllowed);
  EXPECT_EQ(refused, Code::kInvalid);
  // The measure is awake: with a larger limit it sees more.
  EXPECT_GT(resident_peak([&] { decode(kBomb - 1); }), kUnpackAllowed);
}

TEST_P(MemoryLimit, HoldsForManyBombsInOneFetch) {
  constexpr size_t kEach = kUnpackLimit / 4;
  constexpr int64_t kBombs = 400;
  std::string records;
  ByteWriter writer(records);
  writer.varint(static_cast<int64_t>(kEach + 9));  // the record's length
  writer.be<uint8_t>(0);
  writer.varint(0);
  writer.varint(0);
  writer.varint(-1);
  writer.varint(static_cast<int64_t>(kEach));
  records.resize(records.size() + kEach + 1);
  std::string batch = packed_batch(compress(GetParam(), records).value(), 1, GetParam());
  std::string fetched;
  for (int64_t i = 0; i < kBombs; ++i) {
    set_batch_position(batch.data(), i, 3);
    fetched += batch;
  }
  auto bytes = std::make_shared<const std::string>(std::move(fetched));
  size_t taken = 0;
  size_t peak = resident_peak([&] {
    Offset from(0);
    while (from < Offset(kBombs)) {
      Batch unpacked;
      auto stopped = unpacked.set_record_batches(bytes, from, kUnpackLimit);
      ASSERT_TRUE(stopped.ok()) << stopped.error().message;
      ASSERT_GT(unpacked.size(), 0u);
      for (const Record& record : unpacked.records())
        ASSERT_EQ(record.offset, from.next(static_cast<int64_t>(&record - unpacked.records().data())));
      taken += unpacked.size();
      from = *stopped ? (*stopped)->offset : Offset(kBombs);
      EXPECT_EQ(stopped->value_or(Position{Offset(0), LeaderEpoch(3)}).leader_epoch, LeaderEpoch(3));
    }
  });
  EXPECT_EQ(taken, static_cast<size_t>(kBombs));
  // AddressSanitizer keeps 256 MiB of what was freed.
  EXPECT_LT(peak, kBombs * kEach / 2);
}

TEST_P(MemoryLimit, CountsTheRecordsThatTheBytesBecome) {
  // 7 bytes each, and they compress well.
  constexpr int32_t kCount = 250'000;
  std::string records;
  ByteWriter writer(records);
  for (int32_t i = 0; i < kCount; ++i) {
    writer.varint(5 + static_cast<int64_t>(varint_size(i)));
    writer.be<uint8_t>(0);
    writer.varint(0);
    writer.varint(i);
    writer.varint(-1);
    writer.varint(-1);
    writer.varint(0);
  }
  std::string batch = packed_batch(compress(GetParam(), records).value(), kCount, GetParam());
  std::optional<Code> refused;
  std::vector<Record> decoded;
  auto decode = [&](size_t limit) {
    std::string scratch;
    decoded.clear();
    auto header = parse_batch_header(batch).value();
    Status status = decode_records(*header, batch, limit, &scratch, &decoded);
    refused = status.ok() ? std::nullopt : std::optional(status.error().code);
  };
  EXPECT_LT(resident_peak([&] { decode(kUnpackLimit); }), kUnpackAllowed);
  EXPECT_EQ(refused, Code::kInvalid);
  decode(kBomb);
  EXPECT_EQ(refused, std::nullopt);
  EXPECT_EQ(decoded.size(), static_cast<size_t>(kCount));
}

TEST(MemoryLimit, HoldsForLengthsOfTwoGigabytes) {
  constexpr int64_t kTwoGiB = (int64_t{1} << 31) - 1;
  auto record_of = [&](std::initializer_list<int64_t> numbers) {
    std::string body(1, '\0');
    ByteWriter writer(body);
    for (int64_t number : numbers) writer.varint(number);
    std::string records;
    ByteWriter(records).varint(static_cast<int64_t>(body.size()));
    return records + body;
  };
  std::string lone;
  ByteWriter(lone).varint(kTwoGiB);
  const std::string hostile[] = {
      lone,                                      // the record
      record_of({0, 0, kTwoGiB}),                // its key
      record_of({0, 0, -1, kTwoGiB}),            // its value
      record_of({0, 0, -1, -1, kTwoGiB}),        // how many headers
      record_of({0, 0, -1, -1, 1, kTwoGiB}),     // a header's key
      record_of({0, 0, -1, -1, 1, 0, kTwoGiB}),  // a header's value
  };
  size_t peak = resident_peak([&] {
    for (const std::string& records : hostile) {
      std::string batch = packed_batch(records, 1, Compression::kNone);
      std::string scratch;
      std::vector<Record> out;
      EXPECT_FALSE(
          decode_records(*parse_batch_header(batch).value(), batch, kMaxDecompressedBytes, &scratch, &out)
              .ok());
    }
    // The batch itself, and how many records it has.
    std::string batch = packed_batch(hostile[0], INT32_MAX, Compression::kNone);
    std::string scratch;
    std::vector<Record> out;
    EXPECT_FALSE(
        decode_records(*parse_batch_header(batch).value(), batch, kMaxDecompressedBytes, &scratch, &out)
            .ok());
    store_be(batch.data() + kLength, INT32_MAX);
    auto bytes = std::make_shared<const std::string>(batch);
    EXPECT_FALSE(Batch().set_record_batches(bytes, Offset(0), kMaxDecompressedBytes).ok());
  });
  EXPECT_LT(peak, kUnpackLimit);
}

TEST(MemoryLimit, HoldsForTheLengthsInsideOfCompressedData) {
  const std::pair<Compression, std::string> hostile[] = {
      // An uncompressed length of 2^32 - 1, and a chunk of 2^31 - 1.
      {Compression::kSnappy, "\xff\xff\xff\xff\x0f"},
      {Compression::kSnappy, std::string("\x82SNAPPY\0\0\0\0\1\0\0\0\1\x7f\xff\xff\xff", 20)},
      // A frame with a window of 2^31 bytes, and one that says it holds 2^40.
      {Compression::kZstd, std::string("\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00", 9)},
      {Compression::kZstd, std::string("\x28\xb5\x2f\xfd\xe0\0\0\0\0\0\x01\0\0\x01\0\0", 16)},
      // A frame that says it holds 2^40, in blocks of 4 MiB.
      {Compression::kLz4, std::string("\x04\x22\x4d\x18\x68\x70\0\0\0\0\0\x01\0\0\x00", 15)},
      // A name of the file that does not end.
      {Compression::kGzip, std::string("\x1f\x8b\x08\x08\0\0\0\0\0\xff", 10)},
  };
  size_t peak = resident_peak([&] {
    for (const auto& [codec, bytes] : hostile) {
      std::string out;
      EXPECT_FALSE(decompress(codec, bytes, kMaxDecompressedBytes, &out).ok()) << compression_name(codec);
    }
  });
  EXPECT_LT(peak, kUnpackLimit);
}

}  // namespace
}  // namespace tidemill
