// Named commit steps: the instants at which a crash is most likely to show a fault. Each is passed
// through by name on the way of a commit; a test asks for the process to be killed (SIGKILL) there.
//
// TIDEMILL_KILL_AT=<step>[:<n>] kills the process when it passes the step for the n-th time
// (the first by default); TIDEMILL_STOP_AT halts it there (SIGSTOP), with <n>x<m> at m times in a row. Read
// once, at the first step passed.
// In-process tests use arm_step.
#pragma once

#include <atomic>
#include <functional>
#include <span>
#include <string_view>

namespace tidemill {

// Every step there is, in the order in which a commit passes them. A step that is passed but not
// listed here fails a check.
std::span<const std::string_view> commit_steps();

namespace internal {
extern std::atomic<bool> steps_armed;  // false once nothing is asked for: passing costs one load
void pass_step(std::string_view name);
}  // namespace internal

inline void commit_step(std::string_view name) {
  if (internal::steps_armed.load(std::memory_order_relaxed)) internal::pass_step(name);
}

// For tests in one process: calls `action` each time `name` is passed; an empty action disarms.
// Not thread-safe against running pipelines; the action runs on the thread that passes the step.
void arm_step(std::string_view name, std::function<void()> action);

}  // namespace tidemill
