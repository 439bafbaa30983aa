// Assertions on invariants. They stay on in release builds: a broken invariant stops the process
// before it can write anything wrong.
#pragma once

namespace tidemill {

// Prints expression, place and message to stderr, then aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line, const char* message = "");

}  // namespace tidemill

#define TM_CHECK(condition, ...) \
  (static_cast<bool>(condition)  \
       ? static_cast<void>(0)    \
       : ::tidemill::check_failed(#condition, __FILE__, __LINE__ __VA_OPT__(, ) __VA_ARGS__))
