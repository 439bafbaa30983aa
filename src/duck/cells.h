// Reading one value of a flat DuckDB vector.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "duck/api.h"

namespace tidemill::duck {

template <class T>
const T& cell(const void* data, size_t row) {
  return static_cast<const T*>(data)[row];
}

// VARCHAR, BLOB, BIT and BIGNUM. Borrowed from the vector; short texts lie inside it.
inline std::string_view text_cell(const void* data, size_t row) {
  constexpr uint32_t kInlined = sizeof(duckdb_string_t{}.value.inlined.inlined);
  const auto& text = cell<duckdb_string_t>(data, row);
  uint32_t length = text.value.inlined.length;
  return {length <= kInlined ? text.value.inlined.inlined : text.value.pointer.ptr, length};
}

// Validity masks have one bit per row; no mask means no NULL.
inline bool null_cell(const uint64_t* validity, size_t row) {
  return validity != nullptr && (validity[row / 64] >> (row % 64) & 1) == 0;
}

}  // namespace tidemill::duck
