// One RecordBatch v2: header, checksum, records, control records.
#include <algorithm>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "verify/segment_reader.h"

namespace tidemill::verify {
namespace {

constexpr size_t kOverhead = 12;  // base offset and length, which the length does not count
constexpr size_t kCrcFrom = 21;
constexpr size_t kMostBatchBytes = 1u << 30;
// Of one batch, decompressed; and of its LogRecords, which take many times what they are made from.
constexpr size_t kMostRecordsBytes = 256u << 20;
constexpr size_t kMostRecords = kMostRecordsBytes / sizeof(LogRecord);

Error corrupt(std::string what) {
  return internal_error("record batch: " + std::move(what), Code::kCorrupt);
}

// Bytes behind their zigzag length; -1 stands for null.
bool nullable_bytes(ByteReader& reader, std::string_view* bytes) {
  int64_t size = reader.varint();
  if (size < 0) return false;
  *bytes = reader.bytes(static_cast<size_t>(size));
  return true;
}

Status read_record(ByteReader& reader, const BatchInfo& batch, LogRecord* out) {
  int64_t length = reader.varint();
  if (!reader.ok() || length < 0) return corrupt("a record's length is broken");
  ByteReader record(reader.bytes(static_cast<size_t>(length)));
  record.be<int8_t>();  // attributes, unused
  int64_t timestamp_delta = record.varint();
  int64_t offset_delta = record.varint();
  out->append_time = (batch.attributes & 1 << 3) != 0;
  out->timestamp_ms = out->append_time ? batch.max_timestamp_ms
                                       : static_cast<int64_t>(static_cast<uint64_t>(batch.base_timestamp_ms) +
                                                              static_cast<uint64_t>(timestamp_delta));
  if (offset_delta < 0 || offset_delta > batch.last_offset - batch.base_offset) {
    return corrupt("a record's offset lies outside its batch");
  }
  out->offset = batch.base_offset + offset_delta;
  out->has_key = nullable_bytes(record, &out->key);
  out->has_value = nullable_bytes(record, &out->value);
  out->headers = std::string_view(record.position(), record.remaining());
  if (!reader.ok() || !record.ok()) return corrupt("a record is cut off");
  return ok_status();
}

}  // namespace

bool find_header(std::string_view headers, std::string_view name, std::string_view* value) {
  ByteReader reader(headers);
  int64_t count = reader.varint();
  *value = {};
  for (int64_t n = 0; n < count && reader.ok(); ++n) {
    std::string_view key, content;
    if (!nullable_bytes(reader, &key)) return false;
    nullable_bytes(reader, &content);
    if (reader.ok() && key == name) *value = content;
  }
  return reader.ok();
}

Result<BatchInfo> read_batch_header(std::string_view bytes) {
  if (bytes.size() < kBatchHeaderSize) return corrupt("too short for a header");
  BatchInfo info;
  const char* at = bytes.data();
  info.base_offset = load_be<int64_t>(at);
  auto length = load_be<int32_t>(at + 8);
  auto magic = static_cast<int8_t>(at[16]);
  if (magic != 2) return corrupt("format version " + std::to_string(magic) + " instead of 2");
  if (length < static_cast<int32_t>(kBatchHeaderSize - kOverhead) ||
      static_cast<size_t>(length) > kMostBatchBytes) {
    return corrupt("its length is " + std::to_string(length));
  }
  info.size_bytes = static_cast<uint64_t>(length) + kOverhead;
  info.attributes = load_be<int16_t>(at + 21);
  auto last_delta = load_be<int32_t>(at + 23);
  info.base_timestamp_ms = load_be<int64_t>(at + 27);
  info.max_timestamp_ms = load_be<int64_t>(at + 35);
  info.producer_id = load_be<int64_t>(at + 43);
  info.count = load_be<int32_t>(at + 57);
  if (info.base_offset < 0 || info.base_offset > INT64_MAX - INT32_MAX - 1LL || last_delta < 0 ||
      info.count < 0) {
    return corrupt("its offsets or its count are negative");
  }
  info.last_offset = info.base_offset + last_delta;
  return info;
}

namespace {

Result<BatchInfo> check_whole(std::string_view batch) {
  TM_ASSIGN(BatchInfo info, read_batch_header(batch));
  if (info.size_bytes != batch.size()) return corrupt("its length does not match its bytes");
  uint32_t stored = load_be<uint32_t>(batch.data() + 17);
  uint32_t found = crc32c(batch.substr(kCrcFrom));
  if (stored != found) return corrupt("checksum mismatch");
  return info;
}

}  // namespace

Status read_batch(std::string_view batch, std::string* scratch, std::vector<LogRecord>* records) {
  TM_ASSIGN(BatchInfo info, check_whole(batch));
  records->clear();
  if (info.control()) return ok_status();
  std::string_view bytes = batch.substr(kBatchHeaderSize);
  if (int codec = info.attributes & 7; codec != 0) {
    TM_TRY(decompress(codec, bytes, kMostRecordsBytes, scratch));
    bytes = *scratch;
  }
  if (static_cast<size_t>(info.count) > kMostRecords)
    return corrupt("its " + std::to_string(info.count) + " records are more than are read at once");
  // A record takes 7 bytes at least: a count that cannot be true reserves nothing.
  records->reserve(std::min(static_cast<size_t>(info.count), bytes.size() / 7));
  ByteReader reader(bytes);
  int64_t after = info.base_offset - 1;
  for (int32_t n = 0; n < info.count; ++n) {
    LogRecord record;
    TM_TRY(read_record(reader, info, &record));
    if (record.offset <= after) return corrupt("its records' offsets do not rise");
    after = record.offset;
    records->push_back(record);
  }
  if (reader.remaining() != 0) return corrupt("there are bytes after its last record");
  return ok_status();
}

Result<bool> control_commits(std::string_view batch) {
  TM_ASSIGN(BatchInfo info, check_whole(batch));
  if (!info.control() || (info.attributes & 7) != 0) return corrupt("not a control batch");
  ByteReader reader(batch.substr(kBatchHeaderSize));
  LogRecord record;
  TM_TRY(read_record(reader, info, &record));
  if (record.key.size() < 4) return corrupt("a control record without a type");
  auto type = load_be<int16_t>(record.key.data() + 2);
  if (type != 0 && type != 1) return corrupt("a control record of type " + std::to_string(type));
  return type == 1;
}

}  // namespace tidemill::verify
