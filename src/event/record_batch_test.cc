#include "event/record_batch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/random.h"

namespace tidemill {
namespace {

using namespace record_batch_layout;
using testing::ElementsAre;

constexpr size_t kLimit = 64 << 20;

BatchHeader header_of(std::string_view batch) {
  auto header = parse_batch_header(batch);
  EXPECT_TRUE(header.ok()) << header.error().message;
  EXPECT_TRUE(header.value().has_value());
  return *header.value();
}

// Decodes a whole batch; the error's code where it is refused anywhere.
struct Decoded {
  std::optional<Code> error;
  std::string scratch;
  std::vector<Record> records;
};
Decoded decode(std::string_view batch, size_t max_bytes = kLimit, bool check = true) {
  Decoded result;
  auto header = parse_batch_header(batch);
  if (!header.ok()) {
    result.error = header.error().code;
    return result;
  }
  if (check) {
    if (auto status = check_batch(**header, batch); !status.ok()) {
      result.error = status.error().code;
      return result;
    }
  }
  auto status = decode_records(**header, batch, max_bytes, &result.scratch, &result.records);
  if (!status.ok()) result.error = status.error().code;
  return result;
}

std::string sample(Compression compression, int count = 50) {
  RecordBatchBuilder builder({.compression = compression});
  for (int i = 0; i < count; ++i) {
    std::string value = "{\"n\":" + std::to_string(i) + ",\"pad\":\"" + std::string(200, 'x') + "\"}";
    builder.add(1'700'000'000'000 + i * 3 - 40, "key-" + std::to_string(i % 7), value);
  }
  return builder.finish().value();
}

// A batch around hand-made records, sealed.
std::string batch_of(std::string_view records, int32_t count, Compression compression = Compression::kNone) {
  RecordBatchBuilder builder;
  builder.add(5, {}, "x");
  std::string batch = builder.finish().value().substr(0, kRecords);
  batch += records;
  store_be<int32_t>(batch.data() + kLength, static_cast<int32_t>(batch.size() - kLogOverhead));
  store_be<int16_t>(batch.data() + kAttributes, static_cast<int16_t>(compression));
  store_be<int32_t>(batch.data() + kLastOffsetDelta, std::max(0, count - 1));
  store_be<int32_t>(batch.data() + kCount, count);
  seal_batch(batch.data(), batch.size());
  return batch;
}

std::string record_of(int64_t offset_delta, std::string_view behind_offset) {
  std::string body(1, '\0');
  ByteWriter writer(body);
  writer.varint(0);
  writer.varint(offset_delta);
  writer.bytes(behind_offset);
  std::string record;
  ByteWriter(record).varint(static_cast<int64_t>(body.size()));
  return record + body;
}
const std::string kEmptyTail("\x01\x01\x00", 3);  // null key, null value, no headers

TEST(RecordBatch, WritesTheBytesThatTheFormatPageShows) {
  RecordBatchBuilder builder({.producer_id = 9, .producer_epoch = 1, .base_sequence = 4});
  builder.add(1000, "k", "va");
  builder.add(998, std::nullopt, std::nullopt);
  std::string batch = builder.finish().value();
  set_batch_position(batch.data(), 77, 3);
  auto h = header_of(batch);
  EXPECT_EQ(batch.size(), h.size_bytes());
  EXPECT_EQ(h.base_offset, 77);
  EXPECT_EQ(h.last_offset(), 78);
  EXPECT_EQ(h.leader_epoch, 3);
  EXPECT_EQ(h.attributes, 0);
  EXPECT_EQ(h.base_timestamp_ms, 1000);
  EXPECT_EQ(h.max_timestamp_ms, 1000);
  EXPECT_EQ(h.producer_id, 9);
  EXPECT_EQ(h.producer_epoch, 1);
  EXPECT_EQ(h.base_sequence, 4);
  EXPECT_EQ(h.count, 2);
  EXPECT_EQ(batch.substr(kRecords), std::string("\x12\x00\x00\x00\x02k\x04va\x00"
                                                "\x0c\x00\x03\x02\x01\x01\x00",
                                                17));
}

TEST(RecordBatch, ChecksumIsThatOfKafka) {
  // Offset 0, epoch 0, one record of key "k" and value "v" at 0 ms; CRC-32C by an independent program.
  RecordBatchBuilder builder;
  builder.add(0, "k", "v");
  std::string batch = builder.finish().value();
  auto crc = load_be<uint32_t>(batch.data() + kCrc);
  uint32_t expected = ~uint32_t{0};
  for (char c : batch.substr(kAttributes)) {
    expected ^= static_cast<uint8_t>(c);
    for (int bit = 0; bit < 8; ++bit) expected = (expected >> 1) ^ ((expected & 1) != 0 ? 0x82f63b78u : 0);
  }
  EXPECT_EQ(crc, ~expected);
}

TEST(RecordBatch, RoundTripsKeysValuesTimestampsAndHeaders) {
  std::vector<RecordHeader> headers = {{"a", "1"}, {"", std::nullopt}, {"b", ""}};
  std::string encoded = encode_headers(headers);
  RecordBatchBuilder builder;
  builder.add(100, std::nullopt, "value", encoded);
  builder.add(50, "", std::nullopt);
  builder.add(std::numeric_limits<int64_t>::max(), "key", "");
  builder.add(std::numeric_limits<int64_t>::min(), "key", std::string(100'000, 'v'));
  std::string_view parts[] = {"{\"a\":1", ",", "\"b\":2", "}"};
  builder.add_parts(7, "k", parts, 4);
  EXPECT_EQ(builder.count(), 5);
  std::string batch = builder.finish().value();
  set_batch_position(batch.data(), 1000, 12);
  Decoded d = decode(batch);
  ASSERT_FALSE(d.error);
  ASSERT_EQ(d.records.size(), 5u);
  EXPECT_FALSE(d.records[0].has_key);
  EXPECT_EQ(d.records[0].value, "value");
  EXPECT_EQ(d.records[0].timestamp_ms, 100);
  EXPECT_EQ(d.records[0].headers, encoded);
  EXPECT_EQ(d.records[0].leader_epoch, 12);
  auto back = decode_headers(d.records[0].headers).value();
  ASSERT_EQ(back.size(), 3u);
  EXPECT_EQ(back[0].value, "1");
  EXPECT_EQ(back[1].value, std::nullopt);
  EXPECT_EQ(back[2].value, "");
  EXPECT_TRUE(d.records[1].has_key);
  EXPECT_EQ(d.records[1].key, "");
  EXPECT_FALSE(d.records[1].has_value);
  EXPECT_TRUE(d.records[1].headers.empty());
  EXPECT_EQ(d.records[1].timestamp_ms, 50);
  EXPECT_TRUE(d.records[2].has_value);
  EXPECT_EQ(d.records[2].timestamp_ms, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(d.records[3].timestamp_ms, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(d.records[3].value.size(), 100'000u);
  EXPECT_EQ(d.records[4].value, "{\"a\":1,\"b\":2}");
  EXPECT_EQ(d.records[4].offset, Offset(1004));
}

class Codecs : public testing::TestWithParam<Compression> {};
INSTANTIATE_TEST_SUITE_P(All, Codecs,
                         testing::Values(Compression::kNone, Compression::kGzip, Compression::kSnappy,
                                         Compression::kLz4, Compression::kZstd),
                         [](const auto& test) { return std::string(compression_name(test.param)); });

TEST_P(Codecs, RoundTripBatches) {
  std::string batch = sample(GetParam());
  EXPECT_EQ(header_of(batch).compression(), GetParam());
  Decoded d = decode(batch);
  ASSERT_FALSE(d.error);
  ASSERT_EQ(d.records.size(), 50u);
  EXPECT_EQ(d.records[49].key, "key-0");
  EXPECT_EQ(d.records[49].value.substr(0, 7), "{\"n\":49");
  if (GetParam() != Compression::kNone) {
    EXPECT_LT(batch.size(), sample(Compression::kNone).size() / 4);
  } else {
    EXPECT_EQ(d.records[0].value.data() - batch.data(), 61 + 2 + 3 + 1 + 5 + 2);  // a view, no copy
  }
}

TEST_P(Codecs, RoundTripWholeBuffersOfManySizes) {
  SeededRandom random(7);
  for (size_t size : {0, 1, 2, 63, 64, 65, 1000, 65'535, 65'536, 65'537, 300'000}) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random.below(4));
    std::string packed = compress(GetParam(), bytes).value();
    std::string out = "old";
    auto status = decompress(GetParam(), packed, size, &out);  // exactly at the limit
    ASSERT_TRUE(status.ok()) << size << ": " << status.error().message;
    EXPECT_EQ(out, bytes);
    if (size > 0) {
      status = decompress(GetParam(), packed, size - 1, &out);
      ASSERT_FALSE(status.ok());
      EXPECT_EQ(status.error().code, Code::kInvalid);
    }
  }
}

TEST_P(Codecs, RefuseCutData) {
  if (GetParam() == Compression::kNone) return;
  std::string packed = compress(GetParam(), std::string(1000, 'a') + "tail").value();
  std::string out;
  for (size_t size = 0; size < packed.size(); ++size) {
    auto status = decompress(GetParam(), std::string_view(packed).substr(0, size), kLimit, &out);
    ASSERT_FALSE(status.ok()) << size;
    EXPECT_EQ(status.error().code, Code::kCorrupt);
  }
}

// A frame that announces 40 bytes of content, and is cut short.
TEST_P(Codecs, AreNotDisturbedByDamagedData) {
  using namespace std::string_view_literals;
  constexpr std::string_view kCut =
      "\x04\x22\x4d\x18\x68\x40\x28\0\0\0\0\0\0\0\x75\x0b\0\0\0\x1f\x61\x01\0\x0f\x50"sv;
  std::string out;
  EXPECT_FALSE(decompress(Compression::kLz4, kCut, kLimit, &out).ok());
  std::string packed = compress(GetParam(), "whole").value();
  for (size_t size = 0; size < packed.size(); ++size) {
    if (GetParam() == Compression::kNone) break;
    EXPECT_FALSE(decompress(GetParam(), std::string_view(packed).substr(0, size), kLimit, &out).ok());
    ASSERT_TRUE(decompress(GetParam(), packed, kLimit, &out).ok()) << size;
    EXPECT_EQ(out, "whole");
  }
  ASSERT_TRUE(decompress(GetParam(), packed, kLimit, &out).ok());
  EXPECT_EQ(out, "whole");
}

TEST_P(Codecs, StopBombsAtTheLimit) {
  if (GetParam() == Compression::kNone) return;
  std::string records;
  for (int i = 0; i < 64; ++i) records += std::string(1 << 20, '\0');
  std::string packed = compress(GetParam(), records).value();
  Decoded d = decode(batch_of(packed, 1, GetParam()), 1 << 20);
  EXPECT_EQ(d.error, Code::kInvalid);
  EXPECT_LE(d.scratch.capacity(), size_t{4} << 20);
  EXPECT_TRUE(d.records.empty());
}

TEST_P(Codecs, SurviveEverySingleChangedByte) {
  std::string batch = sample(GetParam(), 3);
  for (size_t i = 0; i < batch.size(); ++i) {
    std::string damaged = batch;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    Decoded d = decode(damaged);
    bool outside_checksum = i < kLength || (i >= kLeaderEpoch && i < kMagic);
    EXPECT_TRUE(d.error.has_value() || outside_checksum) << i;
    decode(damaged, kLimit, false);
  }
}

TEST(Snappy, ReadsTheFramingOfJavaClients) {
  std::string framed("\x82SNAPPY\0\0\0\0\1\0\0\0\1", 16);
  std::string expected;
  for (const std::string& part : {std::string(40'000, 'a'), std::string("tail")}) {
    std::string packed = compress(Compression::kSnappy, part).value();
    ByteWriter(framed).be(static_cast<int32_t>(packed.size()));
    framed += packed;
    expected += part;
  }
  std::string out;
  ASSERT_TRUE(decompress(Compression::kSnappy, framed, expected.size(), &out).ok());
  EXPECT_EQ(out, expected);
  EXPECT_EQ(decompress(Compression::kSnappy, framed, expected.size() - 1, &out).error().code, Code::kInvalid);
  EXPECT_FALSE(decompress(Compression::kSnappy, framed.substr(0, framed.size() - 1), kLimit, &out).ok());
  EXPECT_FALSE(decompress(Compression::kSnappy, framed.substr(0, 12), kLimit, &out).ok());
  ByteWriter(framed).be<int32_t>(-1);
  EXPECT_FALSE(decompress(Compression::kSnappy, framed, kLimit, &out).ok());
}

TEST(Snappy, RefusesAnImpossibleLengthBeforeAllocatingIt) {
  std::string out;
  auto status = decompress(Compression::kSnappy, "\xff\xff\xff\xff\x0f", kLimit * 1024, &out);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kCorrupt);
  EXPECT_LT(out.capacity(), 1000u);
}

TEST(Gzip, ReadsMembersThatFollowOneAnother) {
  std::string two =
      compress(Compression::kGzip, "one,").value() + compress(Compression::kGzip, "two").value();
  std::string out;
  ASSERT_TRUE(decompress(Compression::kGzip, two, 100, &out).ok());
  EXPECT_EQ(out, "one,two");
  EXPECT_FALSE(decompress(Compression::kGzip, two + "x", 100, &out).ok());
}

TEST(Header, NeedsAllItsBytesButNotTheBatchs) {
  std::string batch = sample(Compression::kNone, 1);
  for (size_t size : {0, 1, 12, 60}) {
    auto header = parse_batch_header(std::string_view(batch).substr(0, size));
    ASSERT_TRUE(header.ok());
    EXPECT_FALSE(header.value().has_value());
  }
  EXPECT_TRUE(parse_batch_header(std::string_view(batch).substr(0, 61)).value().has_value());
}

TEST(Header, RefusesWhatNoBatchCanSay) {
  const std::string good = sample(Compression::kNone, 1);
  auto refused = [&](size_t at, auto value) {
    std::string batch = good;
    store_be(batch.data() + at, value);
    auto header = parse_batch_header(batch);
    return !header.ok() && header.error().code == Code::kCorrupt;
  };
  EXPECT_TRUE(refused(kMagic, int8_t{1}));
  EXPECT_TRUE(refused(kLength, int32_t{48}));
  EXPECT_TRUE(refused(kLength, int32_t{-1}));
  EXPECT_TRUE(refused(kBaseOffset, int64_t{-1}));
  EXPECT_TRUE(refused(kBaseOffset, std::numeric_limits<int64_t>::max()));
  EXPECT_TRUE(refused(kLastOffsetDelta, int32_t{-1}));
  EXPECT_TRUE(refused(kCount, int32_t{-1}));
  EXPECT_TRUE(refused(kCount, int32_t{2}));
  EXPECT_TRUE(refused(kAttributes, int16_t{5}));
  EXPECT_FALSE(refused(kLength, int32_t{2'000'000'000}));  // the batch may be longer than these bytes
}

TEST(Check, RefusesAWrongLengthOrChecksum) {
  std::string batch = sample(Compression::kNone, 2);
  BatchHeader header = header_of(batch);
  EXPECT_TRUE(check_batch(header, batch).ok());
  EXPECT_EQ(check_batch(header, batch + "x").error().code, Code::kCorrupt);
  EXPECT_EQ(check_batch(header, batch.substr(0, 70)).error().code, Code::kCorrupt);
  batch.back() = static_cast<char>(batch.back() + 1);
  EXPECT_EQ(check_batch(header, batch).error().code, Code::kCorrupt);
}

TEST(HostileRecords, AreRefusedAndLeaveTheOutputAsItWas) {
  std::string varint_of_2gb = "\xfe\xff\xff\xff\x0f";
  std::string endless(11, '\xff');
  std::vector<std::pair<std::string, int32_t>> bad = {
      {"", 1},                                                          // nothing there
      {record_of(0, kEmptyTail), 2},                                    // fewer than announced
      {record_of(0, kEmptyTail), std::numeric_limits<int32_t>::max()},  // absurd count
      {record_of(0, kEmptyTail) + "x", 1},                              // trailing byte
      {varint_of_2gb + std::string(20, '\0'), 1},                       // record longer than the batch
      {endless + std::string(20, '\0'), 1},                             // varint without end
      {"\x01" + std::string(10, '\0'), 1},                              // record length -1
      {"\x03" + std::string(10, '\0'), 1},                              // record length -2
      {record_of(0, std::string("\x03\x01\x00", 3)), 1},                // key length -2
      {record_of(0, varint_of_2gb + "aaa"), 1},                         // key of 2 GB
      {record_of(0, "\x01" + varint_of_2gb + "aaa"), 1},                // value of 2 GB
      {record_of(0, "\x01\x01"), 1},                                    // no header count
      {record_of(0, "\x01\x01\x01"), 1},                                // header count -1
      {record_of(0, "\x01\x01" + varint_of_2gb), 1},                    // 2 G headers
      {record_of(0, "\x01\x01\x02\x01\x01"), 1},                        // null header key
      {record_of(0, std::string("\x01\x01\x00\x00", 4)), 1},            // byte behind the headers
      {record_of(1, kEmptyTail), 1},                                    // offset beyond the last
      {record_of(-1, kEmptyTail), 1},                                   // negative offset
      {record_of(0, kEmptyTail) + record_of(0, kEmptyTail), 2},         // the same offset twice
      {record_of(int64_t{1} << 62, kEmptyTail), 1},                     // offset overflow
  };
  for (size_t i = 0; i < bad.size(); ++i) {
    std::string batch = batch_of(bad[i].first, bad[i].second);
    std::string scratch;
    std::vector<Record> records(3);
    auto status = decode_records(header_of(batch), batch, kLimit, &scratch, &records);
    ASSERT_FALSE(status.ok()) << i;
    EXPECT_EQ(status.error().code, Code::kCorrupt) << i;
    EXPECT_EQ(records.size(), 3u) << i;
  }
  std::string good = batch_of(record_of(0, kEmptyTail) + record_of(1, kEmptyTail), 2);
  EXPECT_FALSE(decode(good).error);
}

TEST(CompactedBatch, KeepsGapsInItsOffsets) {
  std::string batch = batch_of(record_of(1, kEmptyTail) + record_of(4, kEmptyTail), 2);
  store_be<int32_t>(batch.data() + kLastOffsetDelta, 6);
  seal_batch(batch.data(), batch.size());
  Decoded d = decode(batch);
  ASSERT_FALSE(d.error);
  EXPECT_EQ(d.records[0].offset, Offset(1));
  EXPECT_EQ(d.records[1].offset, Offset(4));
  std::string empty = batch_of("", 0);
  d = decode(empty);
  EXPECT_FALSE(d.error);
  EXPECT_TRUE(d.records.empty());
}

TEST(Patches, ChangeTheHeaderAndSealingMakesItValid) {
  RecordBatchBuilder builder;
  builder.add(10, "k", "v");
  builder.add(30, "k", "v");
  std::string batch = builder.finish(false).value();
  EXPECT_EQ(load_be<uint32_t>(batch.data() + kCrc), 0u);
  set_batch_producer(batch.data(), 4, 5, 6);
  set_batch_append_time(batch.data(), 12345);
  seal_batch(batch.data(), batch.size());
  set_batch_position(batch.data(), 99, 2);  // leaves the checksum valid
  Decoded d = decode(batch);
  ASSERT_FALSE(d.error);
  BatchHeader header = header_of(batch);
  EXPECT_EQ(header.timestamp_type(), TimestampType::kLogAppendTime);
  EXPECT_EQ(header.producer_id, 4);
  EXPECT_EQ(header.producer_epoch, 5);
  EXPECT_EQ(header.base_sequence, 6);
  EXPECT_EQ(d.records[0].timestamp_ms, 12345);
  EXPECT_EQ(d.records[1].timestamp_ms, 12345);
  EXPECT_EQ(d.records[1].offset, Offset(100));
}

TEST(Builder, IsReusable) {
  RecordBatchBuilder builder;
  builder.add(1, "a", "b");
  std::string first = builder.finish().value();
  builder.reset({.compression = Compression::kLz4, .transactional = true});
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.size_bytes(), kRecords);
  builder.add(1, "a", "b");
  std::string second = builder.finish().value();
  EXPECT_TRUE(header_of(second).transactional());
  EXPECT_FALSE(decode(second).error);
  builder.reset({});
  builder.add(1, "a", "b");
  EXPECT_EQ(builder.finish().value(), first);
}

TEST(Marker, SaysCommitOrAbortAndGivesNoRecords) {
  for (bool commit : {true, false}) {
    std::string batch = make_transaction_marker(commit, 42, 7, 1000, 3);
    BatchHeader header = header_of(batch);
    EXPECT_TRUE(check_batch(header, batch).ok());
    EXPECT_TRUE(header.control());
    EXPECT_TRUE(header.transactional());
    EXPECT_EQ(header.base_sequence, -1);
    EXPECT_EQ(header.producer_id, 42);
    EXPECT_EQ(header.count, 1);
    EXPECT_EQ(transaction_marker_commits(header, batch).value(), commit);
    EXPECT_TRUE(decode(batch).records.empty());
    // Key {int16 0, int16 type}, value {int16 0, int32 coordinator epoch}.
    std::string expected("\x20\0\0\0\x08\0\0\0\0\x0c\0\0\0\0\0\x03\0", 17);
    expected[8] = commit ? 1 : 0;
    EXPECT_EQ(batch.substr(kRecords), expected);
  }
  std::string data = sample(Compression::kNone, 1);
  EXPECT_EQ(transaction_marker_commits(header_of(data), data).error().code, Code::kCorrupt);
}

TEST(Headers, RefuseMalformedBytes) {
  EXPECT_TRUE(decode_headers("").value().empty());
  EXPECT_TRUE(decode_headers(std::string_view("\0", 1)).value().empty());
  EXPECT_FALSE(decode_headers("\x01").ok());
  EXPECT_FALSE(decode_headers("\x02").ok());
  EXPECT_FALSE(decode_headers("\x02\x02").ok());
  EXPECT_FALSE(decode_headers("\x02\x02k\x03").ok());
  EXPECT_FALSE(decode_headers(std::string_view("\0x", 2)).ok());
  EXPECT_EQ(encode_headers({}), "");
}

TEST(CompressionNames, RoundTrip) {
  for (std::string_view name : {"none", "gzip", "snappy", "lz4", "zstd"}) {
    EXPECT_EQ(compression_name(parse_compression(name).value()), name);
  }
  EXPECT_EQ(parse_compression("brotli").error().domain, Domain::kUser);
}

}  // namespace
}  // namespace tidemill
