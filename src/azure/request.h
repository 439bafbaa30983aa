// One HTTP request to Azure's blobs and its answer; for container.cc.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "azure/place.h"

namespace tidemill::azure {

struct Request {
  std::string verb;
  std::string blob;                            // empty: the container itself
  std::map<std::string, std::string> query;    // values not coded
  std::map<std::string, std::string> headers;  // names in small letters
  std::string_view body;
  // Takes the body of an answer that is no error, piece by piece, in place of Answer::body; false: it cannot.
  std::function<bool(std::string_view)> take;
};

struct Answer {
  // kNoHost: kNotSent, and there is no such host; kFinal: no retry helps.
  enum Failure { kNone, kNotSent, kNoHost, kLost, kFinal } failure = kNone;
  std::string trouble;  // where there is no answer: what happened
  long status = 0;
  std::map<std::string, std::string> headers;  // names in small letters
  std::string body;                            // at most the transport's limit

  bool ok() const { return failure == kNone && status >= 200 && status < 300; }
  bool may_pass() const;  // the same request may succeed later
  // What Azure calls the error: "BlobNotFound"; empty: it does not say.
  std::string error_code() const;
};

// Connections, kept for later requests. Thread-safe.
class Transport {
 public:
  Transport(Access access, int timeout_s) : access_(std::move(access)), timeout_s_(timeout_s) {}
  ~Transport();
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;

  // One try. `now_s`: since 1970 UTC. Precondition: load_api() succeeded.
  Answer send(const Request& request, int64_t now_s, uint64_t body_limit);
  const Access& access() const { return access_; }

 private:
  void* acquire();
  void release(void* handle);

  const Access access_;
  const int timeout_s_;
  std::mutex mutex_;
  std::vector<void*> idle_;  // CURL
};

}  // namespace tidemill::azure
