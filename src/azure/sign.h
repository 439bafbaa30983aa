// The signature of a request to Azure's blobs by an account's key ("Shared Key", versions 2015-02-21 and
// later).
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace tidemill::azure {

// What is signed of a request.
struct SignedParts {
  std::string verb;                            // "GET"
  std::string path;                            // of the URL, as it is sent: "/container/a%20b"
  std::map<std::string, std::string> query;    // names in small letters, values not coded
  std::map<std::string, std::string> headers;  // names in small letters; Content-Length apart
  uint64_t length = 0;                         // of the body
};

std::string string_to_sign(const std::string& account, const SignedParts& parts);
// The value of the header Authorization. `key`: its bytes.
std::string authorization(const std::string& account, const std::string& key, const SignedParts& parts);

// "Fri, 26 Jun 2015 23:39:12 GMT", and back; -1: it is none.
std::string http_date(int64_t unix_s);
int64_t parse_http_date(const std::string& text);

}  // namespace tidemill::azure
