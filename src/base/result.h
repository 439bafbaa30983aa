// Errors are values. Result<T> holds a T or an Error; dropping one is a compile error.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace tidemill {

// Who can do something about an error.
enum class Domain {
  kUser,      // a wrong option, file or event: the message says what would be right
  kExternal,  // the disk, a store, the network
  kInternal,  // a bug, or a file that we wrote and cannot read any more
};

// What the caller may do about it; most errors are kFailed.
enum class Code {
  kFailed,
  kNotFound,
  kExists,
  kInvalid,     // input that does not follow its format
  kCorrupt,     // stored data that fails its checksum or its format
  kOutOfRange,  // an offset outside what the log holds
  kDiskFull,
  kFenced,   // another owner took over: abort, drop, restore; never retry
  kUnknown,  // a commit whose answer was lost: ask the store what it holds
  kStopped,  // asked to stop
  kRefused,  // a store will not take it however often it is sent, or lets this user not write
  kTooLong,  // a store has not the time for so much at once: less may do
};

struct [[nodiscard]] Error {
  Domain domain = Domain::kInternal;
  Code code = Code::kFailed;
  bool retryable = false;  // the same call may succeed later, unchanged
  std::string message;     // names the thing, the place and the way out; no trailing period

  // The same error, said from one level up: "context: message".
  Error within(const std::string& context) && {
    message = context + ": " + message;
    return std::move(*this);
  }
};

inline Error user_error(std::string message, Code code = Code::kInvalid) {
  return Error{Domain::kUser, code, false, std::move(message)};
}
inline Error external_error(std::string message, Code code = Code::kFailed, bool retryable = false) {
  return Error{Domain::kExternal, code, retryable, std::move(message)};
}
inline Error internal_error(std::string message, Code code = Code::kFailed) {
  return Error{Domain::kInternal, code, false, std::move(message)};
}

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // Precondition: ok().
  T& value() & {
    TM_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    TM_CHECK(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    TM_CHECK(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // Precondition: !ok().
  const Error& error() const& {
    TM_CHECK(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    TM_CHECK(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}
  bool ok() const { return !error_.has_value(); }
  explicit operator bool() const { return ok(); }
  const Error& error() const& {
    TM_CHECK(!ok());
    return *error_;
  }
  Error&& error() && {
    TM_CHECK(!ok());
    return std::move(*error_);
  }

 private:
  std::optional<Error> error_;
};

using Status = Result<void>;
inline Status ok_status() {
  return {};
}

#define TM_CONCAT_(a, b) a##b
#define TM_CONCAT(a, b) TM_CONCAT_(a, b)

// Returns the error of `expr` (a Result) from the enclosing function, if it has one.
#define TM_TRY(expr)                                  \
  do {                                                \
    if (auto tm_result_ = (expr); !tm_result_.ok()) { \
      return std::move(tm_result_).error();           \
    }                                                 \
  } while (false)

// TM_ASSIGN(auto file, open(path)): declares or assigns the value, or returns the error.
#define TM_ASSIGN(target, expr) TM_ASSIGN_(TM_CONCAT(tm_result_, __LINE__), target, expr)
#define TM_ASSIGN_(result, target, expr)              \
  auto result = (expr);                               \
  if (!result.ok()) return std::move(result).error(); \
  target = std::move(result).value()

}  // namespace tidemill
