// libcurl as a table of functions, filled from libcurl.so.4 at run time. Each member is the function of
// curl/curl.h of the same name without its prefix: api().easy_perform is curl_easy_perform. For src/azure;
// everybody else needs only container.h.
#pragma once

#include <curl/curl.h>

#include <string>
#include <vector>

#include "base/result.h"

// clang-format off
#define TM_CURL_FUNCTIONS(F)                                                                              \
  F(global_init) F(version_info) F(easy_init) F(easy_cleanup) F(easy_reset) F(easy_setopt) F(easy_perform) \
  F(easy_getinfo) F(easy_strerror) F(slist_append) F(slist_free_all)
// clang-format on

namespace tidemill::azure {

struct Api {
#define TM_CURL_MEMBER(name) decltype(&::curl_##name) name = nullptr;
  TM_CURL_FUNCTIONS(TM_CURL_MEMBER)
#undef TM_CURL_MEMBER
};

// Loads the library once; later calls return the first outcome if it was a success and try again if
// it was not. Thread-safe. Errors: kUser, naming every place that was searched and what was wrong there.
Result<const Api*> load_api();

// Precondition: load_api() succeeded, as it has wherever a Container exists.
const Api& api();

// Where load_api() looks, in order. An explicit choice (TIDEMILL_LIBCURL) is the only candidate.
std::vector<std::string> library_candidates();

}  // namespace tidemill::azure
