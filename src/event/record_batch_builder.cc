#include <algorithm>
#include <limits>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "event/compression.h"
#include "event/record_batch.h"
#include "event/record_size.h"

namespace tidemill {
namespace {

using namespace record_batch_layout;

constexpr size_t kMaxVarint32 = 5;
constexpr size_t kMaxVarint64 = 10;

int64_t wrapping_minus(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) - static_cast<uint64_t>(b));
}

// Length, attributes, timestamp, offset, sizes of key and value, no headers.
static_assert(kRecordOverheadBytes >= kMaxVarint64 + 1 + kMaxVarint64 + kMaxVarint32 + 2 * kMaxVarint64 + 1);

}  // namespace

void RecordBatchBuilder::reset(const Options& options, std::string memory) {
  if (memory.capacity() > bytes_.capacity()) bytes_ = std::move(memory);
  // Batches of one stream are about as large as the last one: with some room to spare, or every second
  // one would be moved to twice the memory for its last few bytes.
  size_t room = std::max(bytes_.capacity(), last_size_ + last_size_ / 8);
  options_ = options;
  bytes_.clear();
  bytes_.reserve(room);
  bytes_.resize(kRecords);
  count_ = 0;
  base_timestamp_ms_ = 0;
  max_timestamp_ms_ = 0;
}

void RecordBatchBuilder::add(int64_t timestamp_ms, std::optional<std::string_view> key,
                             std::optional<std::string_view> value, std::string_view headers) {
  if (value) return add_parts(timestamp_ms, key, &*value, 1, headers);
  add_parts(timestamp_ms, key, nullptr, 0, headers);
}

void RecordBatchBuilder::add_parts(int64_t timestamp_ms, std::optional<std::string_view> key,
                                   const std::string_view* parts, size_t part_count,
                                   std::string_view headers) {
  TM_CHECK(count_ < std::numeric_limits<int32_t>::max());
  if (count_ == 0) base_timestamp_ms_ = max_timestamp_ms_ = timestamp_ms;
  max_timestamp_ms_ = std::max(max_timestamp_ms_, timestamp_ms);

  if (headers.empty()) headers = std::string_view("\0", 1);
  int64_t value_size = parts == nullptr ? -1 : 0;
  for (size_t i = 0; i < part_count; ++i) value_size += static_cast<int64_t>(parts[i].size());
  int64_t key_size = key ? static_cast<int64_t>(key->size()) : -1;
  int64_t timestamp_delta = wrapping_minus(timestamp_ms, base_timestamp_ms_);
  size_t body_size = 1 + varint_size(timestamp_delta) + varint_size(count_) + varint_size(key_size) +
                     static_cast<size_t>(std::max<int64_t>(key_size, 0)) + varint_size(value_size) +
                     static_cast<size_t>(std::max<int64_t>(value_size, 0)) + headers.size();

  char buffer[kMaxVarint64 + 1 + kMaxVarint64 + kMaxVarint32 + kMaxVarint64];
  char* to = put_varint(buffer, static_cast<int64_t>(body_size));
  *to++ = 0;  // attributes: none are defined
  to = put_varint(to, timestamp_delta);
  to = put_varint(to, count_);
  to = put_varint(to, key_size);
  bytes_.append(buffer, static_cast<size_t>(to - buffer));
  if (key) bytes_.append(*key);
  to = put_varint(buffer, value_size);
  bytes_.append(buffer, static_cast<size_t>(to - buffer));
  for (size_t i = 0; i < part_count; ++i) bytes_.append(parts[i]);
  bytes_.append(headers);
  ++count_;
}

Result<std::string> RecordBatchBuilder::finish(bool with_crc) {
  TM_CHECK(count_ > 0, "a batch holds at least one record");
  last_size_ = bytes_.size();
  std::string batch;
  if (options_.compression == Compression::kNone) {
    batch = std::move(bytes_);
    bytes_.clear();
  } else {
    batch.resize(kRecords);
    TM_TRY(compress_behind(options_.compression, std::string_view(bytes_).substr(kRecords), &batch));
  }
  size_t length = batch.size() - kLogOverhead;
  if (length > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    return user_error("a batch of " + std::to_string(batch.size()) + " bytes; at most 2 GiB fit");
  }
  int attributes = static_cast<int>(options_.compression) | (options_.transactional ? kTransactionalBit : 0) |
                   (options_.control ? kControlBit : 0);
  char* at = batch.data();
  store_be<int64_t>(at + kBaseOffset, 0);
  store_be<int32_t>(at + kLength, static_cast<int32_t>(length));
  store_be<int32_t>(at + kLeaderEpoch, -1);
  store_be<int8_t>(at + kMagic, 2);
  store_be<uint32_t>(at + kCrc, 0);
  store_be<int16_t>(at + kAttributes, static_cast<int16_t>(attributes));
  store_be<int32_t>(at + kLastOffsetDelta, count_ - 1);
  store_be<int64_t>(at + kBaseTimestamp, base_timestamp_ms_);
  store_be<int64_t>(at + kMaxTimestamp, max_timestamp_ms_);
  store_be<int64_t>(at + kProducerId, options_.producer_id);
  store_be<int16_t>(at + kProducerEpoch, options_.producer_epoch);
  store_be<int32_t>(at + kBaseSequence, options_.base_sequence);
  store_be<int32_t>(at + kCount, count_);
  if (with_crc) seal_batch(at, batch.size());
  return batch;
}

void set_batch_position(char* batch, int64_t base_offset, int32_t leader_epoch) {
  store_be(batch + kBaseOffset, base_offset);
  store_be(batch + kLeaderEpoch, leader_epoch);
}

void set_batch_producer(char* batch, int64_t producer_id, int16_t producer_epoch, int32_t base_sequence) {
  store_be(batch + kProducerId, producer_id);
  store_be(batch + kProducerEpoch, producer_epoch);
  store_be(batch + kBaseSequence, base_sequence);
}

void set_batch_append_time(char* batch, int64_t timestamp_ms) {
  auto attributes = load_be<int16_t>(batch + kAttributes);
  store_be(batch + kAttributes, static_cast<int16_t>(attributes | kTimestampTypeBit));
  store_be(batch + kMaxTimestamp, timestamp_ms);
}

void seal_batch(char* batch, size_t size) {
  TM_CHECK(size >= kRecords);
  store_be<uint32_t>(batch + kCrc, crc32c(std::string_view(batch, size).substr(kAttributes)));
}

std::string make_transaction_marker(bool commit, int64_t producer_id, int16_t producer_epoch,
                                    int64_t timestamp_ms, int32_t coordinator_epoch) {
  std::string key;
  ByteWriter key_writer(key);
  key_writer.be<int16_t>(0);  // version
  key_writer.be<int16_t>(commit ? 1 : 0);
  std::string value;
  ByteWriter value_writer(value);
  value_writer.be<int16_t>(0);  // version
  value_writer.be<int32_t>(coordinator_epoch);

  RecordBatchBuilder::Options options;
  options.transactional = true;
  options.control = true;
  options.producer_id = producer_id;
  options.producer_epoch = producer_epoch;
  RecordBatchBuilder builder(options);
  builder.add(timestamp_ms, key, value);
  return builder.finish().value();
}

}  // namespace tidemill
