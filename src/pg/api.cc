#include "pg/api.h"

#include <fmt/format.h>

#include "base/library.h"

namespace tidemill::pg {
namespace {

constexpr int kOldest = 120000;  // the first that knows tcp_user_timeout

LibraryTable<Api> library;

std::string fill(SymbolBinder& bind, Api& table) {
#define TM_PG_BIND(name) bind("PQ" #name, table.name);
  TM_PG_FUNCTIONS(TM_PG_BIND)
#undef TM_PG_BIND
  if (!bind.missing().empty() || table.libVersion() >= kOldest) return {};
  return fmt::format("is libpq {}, older than {}", table.libVersion() / 10000, kOldest / 10000);
}

}  // namespace

std::vector<std::string> library_candidates() {
  return library_places("TIDEMILL_LIBPQ", "libpq.so.5");
}

Result<const Api*> load_api() {
  return library.load(library_candidates(), fill, [](const std::string& tried) {
    return user_error(
        "cannot load PostgreSQL's client library (libpq.so.5); install it (Debian: libpq5), or set "
        "TIDEMILL_LIBPQ to its path. Tried:" +
            tried,
        Code::kNotFound);
  });
}

const Api& api() {
  return library.get();
}

}  // namespace tidemill::pg
