// Decoded columns. The layout is Arrow's: a validity bitmap (bit i set: row i is not null; least
// significant bit first), and
//   BOOLEAN                              a bitmap
//   INTEGER, BIGINT, TIMESTAMP, DOUBLE   8 bytes a row (INTEGER is widened to int64)
//   VARCHAR, JSON                        int32 offsets (rows + 1) into one data buffer (Arrow Utf8)
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "event/schema.h"

namespace tidemill {

class Column {
 public:
  Column() = default;
  Column(std::string name, Type type) : name_(std::move(name)), type_(type) { clear(); }

  const std::string& name() const { return name_; }
  Type type() const { return type_; }
  size_t size() const { return size_; }
  size_t null_count() const { return null_count_; }
  bool fixed_width() const { return type_ != Type::kBoolean && !is_text(); }
  bool is_text() const { return type_ == Type::kVarchar || type_ == Type::kJson; }

  bool valid(size_t row) const { return bit(validity_, row); }
  int64_t int64_at(size_t row) const { return static_cast<int64_t>(words_[row]); }
  double double_at(size_t row) const { return std::bit_cast<double>(words_[row]); }
  bool bool_at(size_t row) const { return bit(words_, row); }
  std::string_view text_at(size_t row) const {
    return std::string_view(data_).substr(static_cast<size_t>(offsets_[row]),
                                          static_cast<size_t>(offsets_[row + 1] - offsets_[row]));
  }

  // Raw buffers, for columnar sinks.
  const uint64_t* validity() const { return validity_.data(); }
  const uint64_t* words() const { return words_.data(); }  // 8-byte values, or the bits of a BOOLEAN
  const int32_t* offsets() const { return offsets_.data(); }
  const std::string& data() const { return data_; }

  void clear();
  void append_null();
  void append_int64(int64_t value) {
    push_valid();
    words_.push_back(static_cast<uint64_t>(value));
  }
  void append_double(double value) {
    push_valid();
    words_.push_back(std::bit_cast<uint64_t>(value));
  }
  void append_bool(bool value);
  // The column's text stays below 2 GiB; a batch is far smaller.
  void append_text(std::string_view value) {
    push_valid();
    data_.append(value);
    offsets_.push_back(static_cast<int32_t>(data_.size()));
  }
  // Removes rows from `rows` on, so that a row whose decoding failed half-way leaves nothing behind.
  void truncate(size_t rows);
  void reserve(size_t rows);
  void reserve_text(size_t bytes) { data_.reserve(bytes); }
  size_t memory_bytes() const;

 private:
  static bool bit(const std::vector<uint64_t>& bits, size_t row) {
    return ((bits[row / 64] >> (row % 64)) & 1) != 0;
  }
  void push_valid() {
    if (size_ % 64 == 0) validity_.push_back(0);
    validity_.back() |= uint64_t{1} << (size_ % 64);
    ++size_;
  }

  std::string name_;
  Type type_ = Type::kVarchar;
  size_t size_ = 0;
  size_t null_count_ = 0;
  std::vector<uint64_t> validity_;
  std::vector<uint64_t> words_;
  std::vector<int32_t> offsets_;
  std::string data_;
};

}  // namespace tidemill
