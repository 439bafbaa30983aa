#include "event/columns.h"

namespace tidemill {
namespace {

// Drops every bit from `bits` on.
void truncate_bits(std::vector<uint64_t>* words, size_t bits) {
  words->resize((bits + 63) / 64);
  if (bits % 64 != 0) words->back() &= (uint64_t{1} << (bits % 64)) - 1;
}

}  // namespace

void Column::clear() {
  size_ = 0;
  null_count_ = 0;
  validity_.clear();
  words_.clear();
  offsets_.clear();
  data_.clear();
  if (is_text()) offsets_.push_back(0);
}

void Column::append_null() {
  if (size_ % 64 == 0) {
    validity_.push_back(0);
    if (type_ == Type::kBoolean) words_.push_back(0);
  }
  if (fixed_width()) {
    words_.push_back(0);
  } else if (is_text()) {
    offsets_.push_back(offsets_.back());
  }
  ++size_;
  ++null_count_;
}

void Column::append_bool(bool value) {
  if (size_ % 64 == 0) words_.push_back(0);
  if (value) words_.back() |= uint64_t{1} << (size_ % 64);
  push_valid();
}

void Column::truncate(size_t rows) {
  if (rows >= size_) return;
  for (size_t row = rows; row < size_; ++row) {
    if (!valid(row)) --null_count_;
  }
  size_ = rows;
  truncate_bits(&validity_, rows);
  if (type_ == Type::kBoolean) {
    truncate_bits(&words_, rows);
  } else if (is_text()) {
    offsets_.resize(rows + 1);
    data_.resize(static_cast<size_t>(offsets_.back()));
  } else {
    words_.resize(rows);
  }
}

void Column::reserve(size_t rows) {
  size_t bitmap_words = (rows + 63) / 64;
  validity_.reserve(bitmap_words);
  if (type_ == Type::kBoolean) {
    words_.reserve(bitmap_words);
  } else if (is_text()) {
    offsets_.reserve(rows + 1);
  } else {
    words_.reserve(rows);
  }
}

size_t Column::memory_bytes() const {
  return (validity_.capacity() + words_.capacity()) * sizeof(uint64_t) +
         offsets_.capacity() * sizeof(int32_t) + data_.capacity();
}

}  // namespace tidemill
