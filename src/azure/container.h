// Blobs of one container of Azure storage, through its REST interface.
//
// A request that fails in a way that may pass (a cut connection, a timeout, 429, 5xx) is sent again with
// growing pauses, a few times; then the error is retryable. Errors name account, container and blob, never a
// URL: it may hold a signature.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "azure/list_xml.h"
#include "azure/place.h"
#include "azure/request.h"
#include "base/clock.h"
#include "base/file_system.h"
#include "base/random.h"
#include "base/result.h"

namespace tidemill::azure {

struct ContainerOptions {
  int page = 5000;                  // of a list; the most that Azure gives at once
  int timeout_s = 20;               // without a byte, of a connection or an answer
  int attempts = 8;                 // of one request
  uint64_t block_bytes = 8u << 20;  // of larger files, in memory one of each that is sent at a time
  uint64_t most_bytes = 1u << 30;   // of what is put or got as one text
};

// Does `one` for 0 … count-1, a few at a time; the first error, after which no more begin.
Status in_parallel(size_t count, const std::function<Status(size_t)>& one);

// Thread-safe.
class Container {
 public:
  // Nothing is asked yet. Errors (kUser): no libcurl. `clock` and `random` must outlive it.
  static Result<std::unique_ptr<Container>> open(Access access, Clock& clock, Random& random,
                                                 ContainerOptions options = {});

  const Place& place() const { return transport_.access().place; }

  // Whether the container is there and may be listed; one try, or several.
  Status probe(bool patient);
  // Where it is missing.
  Status create_if_missing();

  // Replaces what is there. Errors, here, too: content of more than most_bytes, which could not be got.
  Status put(const std::string& blob, std::string_view content);
  // Errors: kExists where there is another content; kUnknown where no answer says whether it is there now.
  // `content` must be nobody else's: one that is there already is taken for the own.
  Status put_if_absent(const std::string& blob, std::string_view content);
  // The same of a file of this machine, in bounded memory. kExists, too, where it is the same content.
  Status put_file(const std::string& blob, const std::string& path, bool if_absent);
  Result<std::string> get(const std::string& blob);                   // kNotFound
  Status download(const std::string& blob, const std::string& path);  // kNotFound
  // All blobs whose names begin with `prefix`; without `deep` those only that have no '/' behind it.
  Status list(const std::string& prefix, bool deep, const std::function<void(ListedBlob&&)>& each);
  Status remove(const std::string& blob);  // kNotFound

 private:
  Container(Access access, Clock& clock, Random& random, ContainerOptions options);

  // `may_be_done`: set where an answer was lost of a try that may have been carried out.
  Answer send(const Request& request, bool* may_be_done = nullptr);
  bool again(const Answer& answer, int attempt) const;  // after `attempt`, counted from 0
  void pause(int attempt);
  Error error_of(const Request& request, const Answer& answer) const;
  std::string denied(const Answer& answer) const;
  Status check_size(const std::string& blob, std::string_view content) const;
  Status put_whole(const std::string& blob, std::string_view content, bool if_absent);
  Status put_blocks(const std::string& blob, File& file, uint64_t size, bool if_absent);

  Transport transport_;
  Clock& clock_;
  Random& random_;
  const ContainerOptions options_;
};

}  // namespace tidemill::azure
