#include "pg/api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <mutex>

namespace tidemill::pg {
namespace {

constexpr int kOldest = 120000;  // the first that knows tcp_user_timeout

std::atomic<const Api*> loaded{nullptr};

template <class Function>
bool bind_symbol(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  return function != nullptr;
}

// Returns what is wrong with the library at `path`, or an empty text when `table` is filled.
std::string try_library(const std::string& path, Api& table) {
  // Never unloaded: OpenSSL, which it loads, registers what runs at the end of the process.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return reason == nullptr ? "cannot be loaded" : reason;
  }
  const char* missing = nullptr;
#define TM_PG_BIND(name) \
  if (!bind_symbol(library, "PQ" #name, table.name) && missing == nullptr) missing = "PQ" #name;
  TM_PG_FUNCTIONS(TM_PG_BIND)
#undef TM_PG_BIND
  std::string problem;
  if (missing != nullptr) {
    problem = fmt::format("lacks {}", missing);
  } else if (table.libVersion() < kOldest) {
    problem = fmt::format("is libpq {}, older than {}", table.libVersion() / 10000, kOldest / 10000);
  }
  if (!problem.empty()) dlclose(library);
  return problem;
}

}  // namespace

std::vector<std::string> library_candidates() {
  if (const char* chosen = std::getenv("TIDEMILL_LIBPQ"); chosen != nullptr && *chosen != '\0') {
    return {chosen};
  }
  return {"libpq.so.5"};
}

Result<const Api*> load_api() {
  if (const Api* table = loaded.load(std::memory_order_acquire)) return table;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (const Api* table = loaded.load(std::memory_order_acquire)) return table;

  static Api table;
  std::string tried;
  for (const auto& path : library_candidates()) {
    std::string problem = try_library(path, table);
    if (problem.empty()) {
      loaded.store(&table, std::memory_order_release);
      return &table;
    }
    tried += fmt::format("\n  {}: {}", path, problem);
  }
  return user_error(
      fmt::format("cannot load PostgreSQL's client library (libpq.so.5); install it (Debian: libpq5), or set "
                  "TIDEMILL_LIBPQ to its path. Tried:{}",
                  tried),
      Code::kNotFound);
}

const Api& api() {
  const Api* table = loaded.load(std::memory_order_acquire);
  TM_CHECK(table != nullptr, "libpq used before a connection was opened");
  return *table;
}

}  // namespace tidemill::pg
