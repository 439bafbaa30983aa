#include "azure/api.h"

#include <fmt/format.h>

#include "base/library.h"

namespace tidemill::azure {
namespace {

constexpr unsigned kOldest = 0x074200;  // 7.66

LibraryTable<Api> library;

std::string fill(SymbolBinder& bind, Api& table) {
#define TM_CURL_BIND(name) bind("curl_" #name, table.name);
  TM_CURL_FUNCTIONS(TM_CURL_BIND)
#undef TM_CURL_BIND
  if (!bind.missing().empty()) return {};
  const curl_version_info_data* version = table.version_info(CURLVERSION_NOW);
  if (version->version_num < kOldest) return fmt::format("is libcurl {}, older than 7.66", version->version);
  if (table.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return "cannot be initialised";
  return {};
}

}  // namespace

std::vector<std::string> library_candidates() {
  return library_places("TIDEMILL_LIBCURL", "libcurl.so.4");
}

Result<const Api*> load_api() {
  return library.load(library_candidates(), fill, [](const std::string& tried) {
    return user_error(
        "cannot load the HTTP client that Azure storage is reached with (libcurl.so.4); install it (Debian: "
        "libcurl4), or set TIDEMILL_LIBCURL to its path. Tried:" +
            tried,
        Code::kNotFound);
  });
}

const Api& api() {
  return library.get();
}

}  // namespace tidemill::azure
