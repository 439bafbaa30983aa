#include "duck/api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>

namespace tidemill::duck {
namespace {

constexpr int kOldestMajor = 1;
constexpr int kOldestMinor = 5;

std::atomic<const Api*> loaded{nullptr};

template <class Function>
bool bind_symbol(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  return function != nullptr;
}

// Returns what is wrong with the library at `path`, or an empty text when `table` is filled.
std::string try_library(const std::string& path, Api& table) {
  // Never unloaded: DuckDB's threads and thread-local objects outlive any Database.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return reason == nullptr ? "cannot be loaded" : reason;
  }
  const char* missing = nullptr;
#define TM_DUCK_BIND(name) \
  if (!bind_symbol(library, "duckdb_" #name, table.name) && missing == nullptr) missing = "duckdb_" #name;
  TM_DUCK_FUNCTIONS(TM_DUCK_BIND)
#undef TM_DUCK_BIND
  std::string problem;
  int major = 0;
  int minor = 0;
  if (missing != nullptr) {
    problem = fmt::format("lacks {}", missing);
  } else if (std::sscanf(table.library_version(), "v%d.%d", &major, &minor) == 2 &&
             (major < kOldestMajor || (major == kOldestMajor && minor < kOldestMinor))) {
    problem =
        fmt::format("is DuckDB {}, older than {}.{}", table.library_version(), kOldestMajor, kOldestMinor);
  }
  if (!problem.empty()) dlclose(library);
  return problem;
}

}  // namespace

std::vector<std::string> library_candidates() {
  if (const char* chosen = std::getenv("TIDEMILL_DUCKDB"); chosen != nullptr && *chosen != '\0') {
    return {chosen};
  }
  std::vector<std::string> candidates;
  std::error_code error;
  auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    auto folder = program.parent_path();
    candidates.push_back((folder / "libduckdb.so").string());
    candidates.push_back((folder.parent_path() / "lib" / "tidemill" / "libduckdb.so").string());
  }
#ifdef TIDEMILL_DUCKDB_LIBRARY
  candidates.emplace_back(TIDEMILL_DUCKDB_LIBRARY);
#endif
  candidates.emplace_back("libduckdb.so");
  return candidates;
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
      fmt::format("cannot load DuckDB (libduckdb.so, {}.{} or later); set TIDEMILL_DUCKDB to its "
                  "path, or put it beside the program. Tried:{}",
                  kOldestMajor, kOldestMinor, tried),
      Code::kNotFound);
}

const Api& api() {
  const Api* table = loaded.load(std::memory_order_acquire);
  TM_CHECK(table != nullptr, "DuckDB used before a database was opened");
  return *table;
}

}  // namespace tidemill::duck
