#include "azure/container.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "azure/api.h"
#include "azure/digest.h"
#include "azure/sign.h"
#include "base/text.h"

namespace tidemill::azure {
namespace {

constexpr uint64_t kErrorLimit = 1u << 20;  // of answers that are no blob's content
constexpr int64_t kFirstPauseUs = 200'000, kLongestPauseUs = 5'000'000;
constexpr int64_t kSkewSeconds = 600;
constexpr int kNoHostAttempts = 4;
constexpr size_t kParallel = 4;  // requests
constexpr uint64_t kMostBlocks = 50'000;

bool is_taken(const Answer& answer) {
  if (answer.failure != Answer::kNone) return false;
  const std::string code = answer.error_code();
  return (answer.status == 409 || answer.status == 412) &&
         (code == "BlobAlreadyExists" || code == "ConditionNotMet" ||
          code == "UnmodifiedSinceConditionNotMet" || code.empty());
}

// As a SAS has it: "2026-01-31T12:00:00Z", or a day; empty: it has none. They order as texts do.
std::string sas_expiry(const std::string& sas) {
  size_t at = sas.starts_with("se=") ? 0 : sas.find("&se=");
  if (at == std::string::npos) return {};
  at = sas.find('=', at) + 1;
  return url_decoded(sas.substr(at, std::min(sas.find('&', at), sas.size()) - at));
}
std::string iso_time(int64_t unix_s) {
  const time_t seconds = unix_s;
  tm parts = {};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

Request put_request(const std::string& blob, std::string_view content, bool if_absent) {
  Request request;
  request.verb = "PUT";
  request.blob = blob;
  request.body = content;
  request.headers["x-ms-blob-type"] = "BlockBlob";
  if (if_absent) request.headers["if-none-match"] = "*";
  return request;
}

}  // namespace

Status in_parallel(size_t count, const std::function<Status(size_t)>& one) {
  if (count == 1) return one(0);
  std::atomic<size_t> next = 0;
  std::mutex mutex;
  std::optional<Error> failed;
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) {
      Status done = one(i);
      if (done.ok()) continue;
      std::lock_guard lock(mutex);
      if (!failed) failed = std::move(done).error();
      next = count;
    }
  };
  std::vector<std::thread> threads;
  for (size_t n = 0; n < std::min(count, kParallel); ++n) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  if (failed) return std::move(*failed);
  return {};
}

Result<std::unique_ptr<Container>> Container::open(Access access, Clock& clock, Random& random,
                                                   ContainerOptions options) {
  TM_TRY(load_api());
  return std::unique_ptr<Container>(new Container(std::move(access), clock, random, options));
}

Container::Container(Access access, Clock& clock, Random& random, ContainerOptions options)
    : transport_(std::move(access), options.timeout_s), clock_(clock), random_(random), options_(options) {}

// A name that is not known may be one that is wrong: that is said soon.
bool Container::again(const Answer& answer, int attempt) const {
  const int most =
      answer.failure == Answer::kNoHost ? std::min(options_.attempts, kNoHostAttempts) : options_.attempts;
  return answer.may_pass() && attempt + 1 < most;
}

void Container::pause(int attempt) {
  const int64_t most = std::min(kFirstPauseUs << std::min(attempt, 10), kLongestPauseUs);
  clock_.sleep_us(most / 2 + static_cast<int64_t>(random_.below(static_cast<uint64_t>(most / 2))));
}

Answer Container::send(const Request& request, bool* may_be_done) {
  for (int attempt = 0;; ++attempt) {
    Answer answer = transport_.send(request, clock_.wall_us() / 1'000'000, kErrorLimit);
    const bool sent = answer.failure == Answer::kNone || answer.failure == Answer::kLost;
    if (may_be_done != nullptr && answer.may_pass() && sent) *may_be_done = true;
    if (!again(answer, attempt)) return answer;
    pause(attempt);
  }
}

// Why Azure lets us in no further. Its own text is not cited: it has the signature.
std::string Container::denied(const Answer& answer) const {
  const Access& access = transport_.access();
  auto date = answer.headers.find("date");
  const int64_t theirs_s = date == answer.headers.end() ? -1 : parse_http_date(date->second);
  const int64_t ahead_s = clock_.wall_us() / 1'000'000 - theirs_s;
  if (theirs_s >= 0 && std::abs(ahead_s) > kSkewSeconds) {
    return fmt::format(
        "this machine's clock is {} minutes {} Azure's, which takes no request dated so; set it",
        std::abs(ahead_s) / 60, ahead_s > 0 ? "ahead of" : "behind");
  }
  if (access.key.empty()) {
    const std::string expiry = sas_expiry(access.sas);
    if (!expiry.empty() && expiry < iso_time(clock_.wall_us() / 1'000'000))
      return "the shared access signature is expired, since " + expiry;
    return "the shared access signature does not permit it: it needs read, write, create, delete and list "
           "(rwcdl) on the container, and a key of this account that is still in use";
  }
  return "the key is not that of account " + access.place.account +
         ", or the account's firewall or settings keep this machine or all keys out";
}

Error Container::error_of(const Request& request, const Answer& answer) const {
  const Place& place = transport_.access().place;
  const std::string container =
      fmt::format("container {} of Azure storage account {}", place.container, place.account);
  const std::string where = request.blob.empty() ? container : request.blob + " in " + container;
  if (answer.failure != Answer::kNone) {
    std::string host = place.endpoint.substr(place.endpoint.find("://") + 3);
    host = host.substr(0, host.find('/'));
    Error error = external_error(fmt::format("{}: {}: {}", where, host, answer.trouble), Code::kFailed,
                                 answer.may_pass());
    if (answer.failure == Answer::kNoHost)
      error.message += "; is the account's name right, and is there a network?";
    return error;
  }
  const std::string code = answer.error_code();
  const std::string said = fmt::format("{} {}", answer.status, code.empty() ? "without a reason" : code);
  if (code == "ContainerNotFound" || code == "ContainerBeingDeleted") {
    return user_error(fmt::format(
        "{} does not exist; make it: az storage container create --account-name {} --name {}, or set "
        "serve.delta.azure.create: on",
        container, place.account, place.container));
  }
  if (answer.status == 404) return external_error(where + " does not exist", Code::kNotFound);
  if (answer.status == 401 || answer.status == 403)
    return user_error(fmt::format("{}: {} ({})", where, denied(answer), said));
  return external_error(fmt::format("{}: Azure answers {}", where, said), Code::kFailed, answer.may_pass());
}

Status Container::probe(bool patient) {
  Request request;
  request.verb = "GET";
  request.query = {{"restype", "container"}, {"comp", "list"}, {"maxresults", "1"}};
  const Answer answer =
      patient ? send(request) : transport_.send(request, clock_.wall_us() / 1'000'000, kErrorLimit);
  if (answer.ok()) return {};
  return error_of(request, answer);
}

Status Container::create_if_missing() {
  Request request;
  request.verb = "PUT";
  request.query = {{"restype", "container"}};
  const Answer answer = send(request);
  if (answer.ok() || (answer.failure == Answer::kNone && answer.error_code() == "ContainerAlreadyExists"))
    return {};
  // A signature of the container alone may not make it, and need not where it is there.
  const bool refused = answer.failure == Answer::kNone && answer.status == 403;
  if (refused && probe(true).ok()) return {};
  return error_of(request, answer);
}

Status Container::put_whole(const std::string& blob, std::string_view content, bool if_absent) {
  const Request request = put_request(blob, content, if_absent);
  const Answer answer = send(request);
  if (answer.ok()) return {};
  if (if_absent && is_taken(answer)) return external_error(blob + " is there already", Code::kExists);
  return error_of(request, answer);
}

Status Container::check_size(const std::string& blob, std::string_view content) const {
  if (content.size() <= options_.most_bytes) return {};
  return external_error(fmt::format("{} would have {}; read as a whole it may have {} at most", blob,
                                    format_bytes(static_cast<int64_t>(content.size())),
                                    format_bytes(static_cast<int64_t>(options_.most_bytes))));
}

Status Container::put(const std::string& blob, std::string_view content) {
  TM_TRY(check_size(blob, content));
  return put_whole(blob, content, false);
}

Status Container::put_if_absent(const std::string& blob, std::string_view content) {
  TM_TRY(check_size(blob, content));
  const Request request = put_request(blob, content, true);
  bool may_be_done = false;
  const Answer answer = send(request, &may_be_done);
  if (answer.ok()) return {};
  if (is_taken(answer)) {
    // By whom? libcurl itself sends a request again whose connection turned out to be closed.
    auto there = get(blob);
    if (there.ok() && *there == content) return {};
    if (there.ok()) return external_error(blob + " is there already", Code::kExists);
    Error error = std::move(there).error();
    error.code = Code::kUnknown;
    error.retryable = false;
    return error;
  }
  Error error = error_of(request, answer);
  if (may_be_done) {
    error.message += "; whether it was stored is not known";
    error.code = Code::kUnknown;
    error.retryable = false;
  }
  return error;
}

Status Container::put_file(const std::string& blob, const std::string& path, bool if_absent) {
  TM_ASSIGN(auto file, FileSystem::posix().open(path, OpenMode::kRead));
  TM_ASSIGN(uint64_t size, file->size());
  if (size > 2 * options_.block_bytes) return put_blocks(blob, *file, size, if_absent);
  std::string content(size, '\0');
  TM_ASSIGN(size_t count, file->read_at(0, content.data(), size));
  if (count != size) return external_error(path + " became shorter while it was read");
  return put_whole(blob, content, if_absent);
}

Status Container::put_blocks(const std::string& blob, File& file, uint64_t size, bool if_absent) {
  const uint64_t block_bytes = std::max(options_.block_bytes, size / kMostBlocks + 1);
  // Of another upload to the same name none is taken.
  const std::string upload = fmt::format("{:016x}", random_.next());
  std::string block, ids = "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>";
  for (uint64_t at = 0; at < size; at += block_bytes) {
    block.resize(std::min(block_bytes, size - at));
    TM_ASSIGN(size_t count, file.read_at(at, block.data(), block.size()));
    if (count != block.size()) return external_error(file.path() + " became shorter while it was read");
    const std::string id = to_base64(fmt::format("{}-{:06}", upload, at / block_bytes));
    ids += "<Uncommitted>" + id + "</Uncommitted>";
    Request request;
    request.verb = "PUT";
    request.blob = blob;
    request.query = {{"comp", "block"}, {"blockid", id}};
    request.body = block;
    const Answer answer = send(request);
    if (!answer.ok()) return error_of(request, answer);
  }
  ids += "</BlockList>";
  Request request;
  request.verb = "PUT";
  request.blob = blob;
  request.query = {{"comp", "blocklist"}};
  request.headers["content-type"] = "application/xml";
  request.headers["x-ms-blob-content-type"] = "application/octet-stream";
  if (if_absent) request.headers["if-none-match"] = "*";
  request.body = ids;
  bool may_be_done = false;
  const Answer answer = send(request, &may_be_done);
  if (answer.ok()) return {};
  if (if_absent && is_taken(answer)) return external_error(blob + " is there already", Code::kExists);
  // A list that was carried out has used its blocks up.
  if (may_be_done && answer.error_code() == "InvalidBlockList") {
    Error error = error_of(request, answer);
    error.retryable = true;
    return error;
  }
  return error_of(request, answer);
}

Result<std::string> Container::get(const std::string& blob) {
  std::string content;
  bool too_long = false;
  Request request;
  request.verb = "GET";
  request.blob = blob;
  request.take = [&](std::string_view piece) {
    too_long = content.size() + piece.size() > options_.most_bytes;
    if (!too_long) content += piece;
    return !too_long;
  };
  for (int attempt = 0;; ++attempt) {
    content.clear();
    const Answer answer = transport_.send(request, clock_.wall_us() / 1'000'000, kErrorLimit);
    if (answer.ok()) return content;
    if (too_long) {
      return external_error(fmt::format("{} is longer than {}, which is the most that is read as a whole",
                                        blob, format_bytes(static_cast<int64_t>(options_.most_bytes))));
    }
    if (!again(answer, attempt)) return error_of(request, answer);
    pause(attempt);
  }
}

Status Container::download(const std::string& blob, const std::string& path) {
  // What is at `path` stays as it is until there is something in its place.
  std::unique_ptr<File> file;
  const auto begin = [&]() -> Status {
    if (file) return {};
    TM_ASSIGN(file, FileSystem::posix().open(path, OpenMode::kCreate));
    return file->truncate(0);
  };
  uint64_t have = 0;
  std::optional<Error> disk;
  Request request;
  request.verb = "GET";
  request.blob = blob;
  request.take = [&](std::string_view piece) {
    Status written = begin();
    if (written.ok()) written = file->write_at(have, piece);
    if (written.ok()) have += piece.size();
    if (!written.ok()) disk = std::move(written).error();
    return !disk;
  };
  for (int attempt = 0;; ++attempt) {
    const uint64_t before = have;
    // From where the last connection was cut; what is under a name is never changed.
    if (have > 0) request.headers["x-ms-range"] = fmt::format("bytes={}-", have);
    const Answer answer = transport_.send(request, clock_.wall_us() / 1'000'000, kErrorLimit);
    if (answer.ok() && before > 0 && answer.status != 206)
      return external_error(blob + ": Azure sends all of it where a part was asked for");
    if (answer.ok()) return begin();
    if (disk) return std::move(*disk);
    if (have > before) attempt = 0;
    if (!again(answer, attempt)) return error_of(request, answer);
    pause(attempt);
  }
}

Status Container::list(const std::string& prefix, bool deep, const std::function<void(ListedBlob&&)>& each) {
  Request request;
  request.verb = "GET";
  request.query = {{"restype", "container"},
                   {"comp", "list"},
                   {"prefix", prefix},
                   {"maxresults", std::to_string(options_.page)}};
  if (!deep) request.query["delimiter"] = "/";
  while (true) {
    Answer answer;
    for (int attempt = 0;; ++attempt) {
      answer = transport_.send(request, clock_.wall_us() / 1'000'000, 64u << 20);
      if (!again(answer, attempt)) break;
      pause(attempt);
    }
    if (!answer.ok()) return error_of(request, answer);
    TM_ASSIGN(ListPage page, parse_list(answer.body));
    for (ListedBlob& blob : page.blobs) each(std::move(blob));
    if (page.next.empty()) return {};
    if (request.query["marker"] == page.next)
      return external_error("Azure's list of blobs does not go on after " + prefix, Code::kCorrupt);
    request.query["marker"] = page.next;
  }
}

Status Container::remove(const std::string& blob) {
  Request request;
  request.verb = "DELETE";
  request.blob = blob;
  const Answer answer = send(request);
  if (answer.ok()) return {};
  return error_of(request, answer);
}

}  // namespace tidemill::azure
