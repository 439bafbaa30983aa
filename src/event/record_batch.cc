#include "event/record_batch.h"

#include <limits>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace tidemill {
namespace {

using namespace record_batch_layout;

// The smallest record: length, attributes, two deltas, null key, null value, no headers.
constexpr size_t kMinRecordBytes = 7;
constexpr int32_t kMinLength = static_cast<int32_t>(kRecords - kLogOverhead);
constexpr int kMaxCompression = static_cast<int>(Compression::kZstd);

Error corrupt(const std::string& what) {
  return external_error("record batch: " + what, Code::kCorrupt);
}

// A cursor over one run of records. Like ByteReader, but every read reports whether it fitted and
// the usual one-byte varint takes one branch: this loop touches every record that flows.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes)
      : at_(reinterpret_cast<const uint8_t*>(bytes.data())), end_(at_ + bytes.size()) {}

  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  const char* at() const { return reinterpret_cast<const char*>(at_); }

  bool varint(int64_t* value) {
    if (end_ - at_ >= 2) [[likely]] {
      uint32_t low = at_[0];
      uint32_t high = at_[1];
      if (low < 0x80) {
        ++at_;
        *value = unzigzag(low);
        return true;
      }
      if (high < 0x80) {
        at_ += 2;
        *value = unzigzag((low & 0x7f) | high << 7);
        return true;
      }
    }
    return long_varint(value);
  }
  bool skip(size_t size) {
    if (remaining() < size) return false;
    at_ += size;
    return true;
  }
  // A byte string behind its length; a length of -1 is null.
  bool sized(std::string_view* value, bool* present) {
    int64_t size;
    if (!varint(&size)) return false;
    *present = size >= 0;
    if (size < 0) return size == -1;
    if (static_cast<uint64_t>(size) > remaining()) return false;
    *value = std::string_view(at(), static_cast<size_t>(size));
    at_ += size;
    return true;
  }

 private:
  bool long_varint(int64_t* value) {
    uint64_t bits = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) return false;
      uint8_t byte = *at_++;
      if (shift == 63 && byte > 1) return false;
      bits |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) {
        *value = unzigzag(bits);
        return true;
      }
    }
    return false;
  }

  const uint8_t* at_;
  const uint8_t* end_;
};

bool well_formed_headers(std::string_view encoded) {
  Cursor cursor(encoded);
  int64_t count;
  if (!cursor.varint(&count) || count < 0) return false;
  std::string_view bytes;
  bool present;
  for (int64_t i = 0; i < count; ++i) {
    if (!cursor.sized(&bytes, &present) || !present) return false;
    if (!cursor.sized(&bytes, &present)) return false;
  }
  return cursor.remaining() == 0;
}

// Fills what the record itself holds; false where its bytes are not one record.
bool parse_record(std::string_view body, int64_t* timestamp_delta, int64_t* offset_delta, Record* record) {
  Cursor cursor(body);
  if (!cursor.skip(1) || !cursor.varint(timestamp_delta) || !cursor.varint(offset_delta)) return false;
  if (!cursor.sized(&record->key, &record->has_key)) return false;
  if (!cursor.sized(&record->value, &record->has_value)) return false;
  std::string_view headers(cursor.at(), cursor.remaining());
  if (headers.size() == 1 && headers[0] == 0) return true;
  record->headers = headers;
  return well_formed_headers(headers);
}

Status parse_records(const BatchHeader& header, std::string_view bytes, size_t max_bytes,
                     std::vector<Record>* out) {
  auto count = static_cast<size_t>(header.count);
  if (count > bytes.size() / kMinRecordBytes)
    return corrupt("more records announced than its bytes can hold");
  // Seven bytes become a Record of many: a few that compress well would fill the memory.
  if (count > max_bytes / sizeof(Record)) {
    return external_error("record batch: " + std::to_string(count) + " records take more than the limit of " +
                              std::to_string(max_bytes) + " bytes",
                          Code::kInvalid);
  }
  size_t start = out->size();
  out->resize(start + count);
  bool append_time = header.timestamp_type() == TimestampType::kLogAppendTime;
  Cursor cursor(bytes);
  int64_t last_delta = -1;
  for (size_t i = 0; i < count; ++i) {
    Record& record = (*out)[start + i];
    std::string_view body;
    bool present = false;
    int64_t timestamp_delta;
    int64_t offset_delta;
    bool ok = cursor.sized(&body, &present) && present &&
              parse_record(body, &timestamp_delta, &offset_delta, &record) && offset_delta > last_delta &&
              offset_delta <= header.last_offset_delta;
    if (!ok) {
      out->resize(start);
      return corrupt("record " + std::to_string(i) + " of offset " + std::to_string(header.base_offset) +
                     " is malformed");
    }
    last_delta = offset_delta;
    record.offset = Offset(header.base_offset + offset_delta);
    // Wraps like the builder's subtraction, so that any two timestamps fit one batch.
    auto own_time = static_cast<int64_t>(static_cast<uint64_t>(header.base_timestamp_ms) +
                                         static_cast<uint64_t>(timestamp_delta));
    record.timestamp_ms = append_time ? header.max_timestamp_ms : own_time;
    record.leader_epoch = header.leader_epoch;
  }
  if (cursor.remaining() != 0) {
    out->resize(start);
    return corrupt("bytes behind the last record");
  }
  return {};
}

}  // namespace

Result<std::optional<BatchHeader>> parse_batch_header(std::string_view bytes) {
  if (bytes.size() < kRecords) return std::optional<BatchHeader>();
  const char* at = bytes.data();
  BatchHeader header;
  header.magic = load_be<int8_t>(at + kMagic);
  if (header.magic != 2) return corrupt("format " + std::to_string(header.magic) + " instead of 2");
  header.base_offset = load_be<int64_t>(at + kBaseOffset);
  header.length = load_be<int32_t>(at + kLength);
  header.leader_epoch = load_be<int32_t>(at + kLeaderEpoch);
  header.crc = load_be<uint32_t>(at + kCrc);
  header.attributes = load_be<int16_t>(at + kAttributes);
  header.last_offset_delta = load_be<int32_t>(at + kLastOffsetDelta);
  header.base_timestamp_ms = load_be<int64_t>(at + kBaseTimestamp);
  header.max_timestamp_ms = load_be<int64_t>(at + kMaxTimestamp);
  header.producer_id = load_be<int64_t>(at + kProducerId);
  header.producer_epoch = load_be<int16_t>(at + kProducerEpoch);
  header.base_sequence = load_be<int32_t>(at + kBaseSequence);
  header.count = load_be<int32_t>(at + kCount);
  if (header.length < kMinLength) return corrupt("length " + std::to_string(header.length));
  if (header.base_offset < 0 || header.last_offset_delta < 0 ||
      header.base_offset > std::numeric_limits<int64_t>::max() - header.last_offset_delta - 1) {
    return corrupt("offsets " + std::to_string(header.base_offset) + " + " +
                   std::to_string(header.last_offset_delta));
  }
  // Compaction may leave fewer records than offsets, never more.
  if (header.count < 0 || header.count - 1 > header.last_offset_delta) {
    return corrupt(std::to_string(header.count) + " records");
  }
  if ((header.attributes & 7) > kMaxCompression) return corrupt("unknown compression");
  return std::optional<BatchHeader>(header);
}

Status check_batch(const BatchHeader& header, std::string_view batch) {
  if (header.length < kMinLength || batch.size() != header.size_bytes()) {
    return corrupt(std::to_string(batch.size()) + " bytes where its length says " +
                   std::to_string(static_cast<int64_t>(header.length) + static_cast<int64_t>(kLogOverhead)));
  }
  if (crc32c(batch.substr(kAttributes)) != header.crc) {
    return corrupt("wrong checksum at offset " + std::to_string(header.base_offset));
  }
  return {};
}

Status decode_records(const BatchHeader& header, std::string_view batch, size_t max_bytes,
                      std::string* scratch, std::vector<Record>* out) {
  if (header.control()) return {};
  if (batch.size() < kRecords || header.count < 0) return corrupt("no header");
  std::string_view records = batch.substr(kRecords);
  if (header.compression() != Compression::kNone) {
    TM_TRY(decompress(header.compression(), records, max_bytes, scratch));
    records = *scratch;
  }
  return parse_records(header, records, max_bytes, out);
}

Result<std::vector<RecordHeader>> decode_headers(std::string_view encoded) {
  std::vector<RecordHeader> headers;
  if (encoded.empty()) return headers;
  if (!well_formed_headers(encoded)) return corrupt("malformed record headers");
  Cursor cursor(encoded);
  int64_t count = 0;
  cursor.varint(&count);
  for (int64_t i = 0; i < count; ++i) {
    std::string_view key;
    std::string_view value;
    bool has_key = false;
    bool has_value = false;
    cursor.sized(&key, &has_key);
    cursor.sized(&value, &has_value);
    RecordHeader header{std::string(key), std::nullopt};
    if (has_value) header.value = std::string(value);
    headers.push_back(std::move(header));
  }
  return headers;
}

std::string encode_headers(const std::vector<RecordHeader>& headers) {
  std::string out;
  if (headers.empty()) return out;
  ByteWriter writer(out);
  writer.varint(static_cast<int64_t>(headers.size()));
  for (const RecordHeader& header : headers) {
    writer.varint(static_cast<int64_t>(header.key.size()));
    writer.bytes(header.key);
    writer.varint(header.value ? static_cast<int64_t>(header.value->size()) : -1);
    if (header.value) writer.bytes(*header.value);
  }
  return out;
}

Result<bool> transaction_marker_commits(const BatchHeader& header, std::string_view batch) {
  constexpr size_t kMarkerKeyBytes = 4;  // int16 version, int16 type
  if (!header.control() || batch.size() < kRecords || header.count != 1)
    return corrupt("not a control batch");
  std::vector<Record> records;
  TM_TRY(parse_records(header, batch.substr(kRecords), kMaxDecompressedBytes, &records));
  std::string_view key = records[0].key;
  if (key.size() < kMarkerKeyBytes) return corrupt("a control record without a type");
  auto type = load_be<int16_t>(key.data() + 2);
  if (type != 0 && type != 1) return corrupt("control type " + std::to_string(type));
  return type == 1;
}

}  // namespace tidemill
