// What DuckDB's C API makes one destroy by hand, as owners.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "duck/api.h"

namespace tidemill::duck {

// A handle and the function of Api that destroys it.
template <class Handle, auto Destroy>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle) {}
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() { reset(); }
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;

  Handle get() const { return handle_; }
  // Where a function of the API stores a new handle. What was held before is destroyed.
  Handle* out() {
    reset();
    return &handle_;
  }
  explicit operator bool() const { return handle_ != nullptr; }
  void reset() {
    if (handle_ != nullptr) (api().*Destroy)(&handle_);
    handle_ = nullptr;
  }

 private:
  Handle handle_ = nullptr;
};

using OwnedConfig = Owned<duckdb_config, &Api::destroy_config>;
using OwnedStatements = Owned<duckdb_extracted_statements, &Api::destroy_extracted>;
using OwnedStatement = Owned<duckdb_prepared_statement, &Api::destroy_prepare>;
using OwnedPending = Owned<duckdb_pending_result, &Api::destroy_pending>;
using OwnedType = Owned<duckdb_logical_type, &Api::destroy_logical_type>;
using OwnedChunk = Owned<duckdb_data_chunk, &Api::destroy_data_chunk>;
using OwnedValue = Owned<duckdb_value, &Api::destroy_value>;
using OwnedErrorData = Owned<duckdb_error_data, &Api::destroy_error_data>;

// A result, which is a struct and not a handle.
class OwnedResult {
 public:
  OwnedResult() = default;
  ~OwnedResult() { api().destroy_result(&result); }
  OwnedResult(const OwnedResult&) = delete;
  OwnedResult& operator=(const OwnedResult&) = delete;

  duckdb_result result{};
};

// Copies and frees a text that the API allocated.
inline std::string take_text(char* text) {
  if (text == nullptr) return {};
  std::string copy = text;
  api().free(text);
  return copy;
}

inline std::string text_or(const char* text, const char* otherwise) {
  return text == nullptr ? otherwise : text;
}

}  // namespace tidemill::duck
