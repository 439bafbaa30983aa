#include "duck/api.h"

#include <fmt/format.h>

#include <cstdio>

#include "base/library.h"

namespace tidemill::duck {
namespace {

constexpr int kOldestMajor = 1;
constexpr int kOldestMinor = 5;

LibraryTable<Api> library;

std::string fill(SymbolBinder& bind, Api& table) {
#define TM_DUCK_BIND(name) bind("duckdb_" #name, table.name);
  TM_DUCK_FUNCTIONS(TM_DUCK_BIND)
#undef TM_DUCK_BIND
  int major = 0;
  int minor = 0;
  if (!bind.missing().empty() || std::sscanf(table.library_version(), "v%d.%d", &major, &minor) != 2 ||
      major > kOldestMajor || (major == kOldestMajor && minor >= kOldestMinor)) {
    return {};
  }
  return fmt::format("is DuckDB {}, older than {}.{}", table.library_version(), kOldestMajor, kOldestMinor);
}

}  // namespace

std::vector<std::string> library_candidates() {
  return library_places("TIDEMILL_DUCKDB", "libduckdb.so", TIDEMILL_DUCKDB_LIBRARY);
}

Result<const Api*> load_api() {
  return library.load(library_candidates(), fill, [](const std::string& tried) {
    return user_error(
        fmt::format("cannot load DuckDB (libduckdb.so, {}.{} or later); set TIDEMILL_DUCKDB to its "
                    "path, or put it beside the program. Tried:{}",
                    kOldestMajor, kOldestMinor, tried),
        Code::kNotFound);
  });
}

const Api& api() {
  return library.get();
}

}  // namespace tidemill::duck
