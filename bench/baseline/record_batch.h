// RecordBatch v2 as a hand-written loop would read it: no checks, no objects. For valid batches only.
#pragma once

#include <cstdint>
#include <cstring>

namespace baseline {

inline constexpr uint32_t kBatchHeader = 61, kBatchOverhead = 12, kBatchChecked = 21;

inline uint32_t load_be32(const char* at) {
  uint32_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap32(value);
}
inline uint64_t load_be64(const char* at) {
  uint64_t value;
  std::memcpy(&value, at, sizeof value);
  return __builtin_bswap64(value);
}
inline void store_be16(char* at, uint16_t value) {
  value = __builtin_bswap16(value);
  std::memcpy(at, &value, sizeof value);
}
inline void store_be32(char* at, uint32_t value) {
  value = __builtin_bswap32(value);
  std::memcpy(at, &value, sizeof value);
}
inline void store_be64(char* at, uint64_t value) {
  value = __builtin_bswap64(value);
  std::memcpy(at, &value, sizeof value);
}

// Of the whole batch, its first 12 bytes included.
inline uint32_t batch_size(const char* batch) {
  return load_be32(batch + 8) + kBatchOverhead;
}
inline uint32_t batch_records(const char* batch) {
  return load_be32(batch + 57);
}
inline bool is_control(const char* batch) {
  return (batch[22] & 0x20) != 0;
}

inline int64_t read_varint(const char*& at) {
  uint64_t bits = static_cast<uint8_t>(*at++);
  if (bits >= 0x80) {
    bits &= 0x7f;
    for (int shift = 7;; shift += 7) {
      uint64_t byte = static_cast<uint8_t>(*at++);
      bits |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
  }
  return static_cast<int64_t>(bits >> 1) ^ -static_cast<int64_t>(bits & 1);
}
inline char* write_varint(char* to, int64_t value) {
  uint64_t bits = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  while (bits >= 0x80) {
    *to++ = static_cast<char>(bits | 0x80);
    bits >>= 7;
  }
  *to++ = static_cast<char>(bits);
  return to;
}
inline uint32_t varint_size(int64_t value) {
  uint64_t bits = (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
  return static_cast<uint32_t>((70 - __builtin_clzll(bits | 1)) / 7);
}

struct RecordView {
  const char* key;
  const char* value;
  uint32_t key_size;
  uint32_t value_size;
  int64_t timestamp_delta;
};

// Calls each(record) for the records of an uncompressed batch with keys and values.
template <class Each>
void for_each_record(const char* batch, const Each& each) {
  const char* at = batch + kBatchHeader;
  for (uint32_t left = batch_records(batch); left > 0; --left) {
    int64_t size = read_varint(at);
    const char* end = at + size;
    ++at;  // attributes
    RecordView record;
    record.timestamp_delta = read_varint(at);
    read_varint(at);  // offset
    record.key_size = static_cast<uint32_t>(read_varint(at));
    record.key = at;
    at += record.key_size;
    record.value_size = static_cast<uint32_t>(read_varint(at));
    record.value = at;
    each(record);
    at = end;
  }
}

}  // namespace baseline
