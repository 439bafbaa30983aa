// Byte order, variable-length integers, and bounded reading and writing of byte strings.
// Bytes are std::string_view (borrowed) and std::string (owned); both may hold any byte.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace tidemill {

static_assert(std::endian::native == std::endian::little, "big-endian hosts are not supported");

template <class T>
constexpr T byte_swap(T value) {
  static_assert(std::is_integral_v<T>);
  using U = std::make_unsigned_t<T>;
  if constexpr (sizeof(T) == 1) return value;
  if constexpr (sizeof(T) == 2) return static_cast<T>(__builtin_bswap16(static_cast<U>(value)));
  if constexpr (sizeof(T) == 4) return static_cast<T>(__builtin_bswap32(static_cast<U>(value)));
  if constexpr (sizeof(T) == 8) return static_cast<T>(__builtin_bswap64(static_cast<U>(value)));
}

// Big-endian integers, Kafka's byte order. `from`/`to` need sizeof(T) bytes; any alignment.
template <class T>
T load_be(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return byte_swap(value);
}
template <class T>
void store_be(char* to, T value) {
  value = byte_swap(value);
  std::memcpy(to, &value, sizeof value);
}
// Little-endian integers, for our own formats.
template <class T>
T load_le(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
void store_le(char* to, T value) {
  std::memcpy(to, &value, sizeof value);
}

constexpr uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

// LEB128, at most 10 bytes. Returns the end of what was written.
inline char* put_varuint(char* to, uint64_t value) {
  while (value >= 0x80) {
    *to++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *to++ = static_cast<char>(value);
  return to;
}
inline char* put_varint(char* to, int64_t value) {
  return put_varuint(to, zigzag(value));
}
constexpr size_t varuint_size(uint64_t value) {
  return static_cast<size_t>((std::bit_width(value | 1) + 6) / 7);
}
constexpr size_t varint_size(int64_t value) {
  return varuint_size(zigzag(value));
}

// Reads from borrowed bytes. Every read is bounded: after the first that does not fit, ok() is
// false and every further read gives zero or an empty view, so that callers check once.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  bool ok() const { return ok_; }
  size_t remaining() const { return static_cast<size_t>(end_ - at_); }
  const char* position() const { return at_; }

  template <class T>
  T be() {
    if (remaining() < sizeof(T)) return fail<T>();
    T value = load_be<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  template <class T>
  T le() {
    if (remaining() < sizeof(T)) return fail<T>();
    T value = load_le<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  uint64_t varuint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
      if (at_ == end_) return fail<uint64_t>();
      auto byte = static_cast<uint8_t>(*at_++);
      if (shift == 63 && byte > 1) return fail<uint64_t>();
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    return fail<uint64_t>();
  }
  int64_t varint() { return unzigzag(varuint()); }
  int32_t varint32() {
    int64_t value = varint();
    return value == static_cast<int32_t>(value) ? static_cast<int32_t>(value) : fail<int32_t>();
  }
  std::string_view bytes(size_t size) {
    if (remaining() < size) return fail<std::string_view>();
    std::string_view view(at_, size);
    at_ += size;
    return view;
  }
  // A byte string behind its varuint length, as ByteWriter::sized writes it.
  std::string_view sized() { return bytes(static_cast<size_t>(varuint())); }

 private:
  template <class T>
  T fail() {
    ok_ = false;
    at_ = end_;
    return T{};
  }
  const char* at_;
  const char* end_;
  bool ok_ = true;
};

// Appends to a string that the caller owns; the string may be reused to save allocations.
class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}
  template <class T>
  void be(T value) {
    char buffer[sizeof(T)];
    store_be(buffer, value);
    out_.append(buffer, sizeof buffer);
  }
  template <class T>
  void le(T value) {
    char buffer[sizeof(T)];
    store_le(buffer, value);
    out_.append(buffer, sizeof buffer);
  }
  void varuint(uint64_t value) {
    char buffer[10];
    out_.append(buffer, static_cast<size_t>(put_varuint(buffer, value) - buffer));
  }
  void varint(int64_t value) { varuint(zigzag(value)); }
  void bytes(std::string_view value) { out_.append(value); }
  void sized(std::string_view value) {
    varuint(value.size());
    out_.append(value);
  }
  size_t size() const { return out_.size(); }

 private:
  std::string& out_;
};

}  // namespace tidemill
