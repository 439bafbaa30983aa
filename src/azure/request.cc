#include "azure/request.h"

#include <sys/socket.h>

#include <cstring>
#include <utility>

#include "azure/api.h"
#include "azure/list_xml.h"
#include "azure/sign.h"
#include "base/text.h"

namespace tidemill::azure {
namespace {

constexpr const char* kVersion = "2021-08-06";
constexpr long kConnectSeconds = 10;

struct Receiver {
  const Request& request;
  Answer& answer;
  uint64_t limit;
  bool too_long = false;
  bool refused = false;
};

size_t take_header(char* data, size_t size, size_t count, void* to) {
  Answer& answer = *static_cast<Answer*>(to);
  const std::string_view line = trim(std::string_view(data, size * count));
  if (line.starts_with("HTTP/")) answer.headers.clear();  // after "100 Continue"
  const size_t colon = line.find(':');
  if (colon != std::string_view::npos)
    answer.headers[to_lower(std::string(line.substr(0, colon)))] = trim(line.substr(colon + 1));
  return size * count;
}

size_t take_body(char* data, size_t size, size_t count, void* to) {
  Receiver& receiver = *static_cast<Receiver*>(to);
  const std::string_view piece(data, size * count);
  if (receiver.request.take && receiver.answer.status / 100 == 2) {
    if (receiver.request.take(piece)) return piece.size();
    receiver.refused = true;
    return 0;
  }
  if (receiver.answer.body.size() + piece.size() > receiver.limit) {
    receiver.too_long = true;
    return 0;
  }
  receiver.answer.body += piece;
  return piece.size();
}

// The status stands before the body comes.
size_t take_status_and_header(char* data, size_t size, size_t count, void* to) {
  Answer& answer = *static_cast<Answer*>(to);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/") && line.find(' ') != std::string_view::npos)
    answer.status = std::strtol(std::string(line.substr(line.find(' ') + 1, 3)).c_str(), nullptr, 10);
  return take_header(data, size, count, to);
}

// Bytes count as on their way when a buffer of the system has taken them. One that grows would take a whole
// block, and of a slow connection nothing would then be seen for longer than the timeout.
int bound_buffer(void*, curl_socket_t socket, curlsocktype) {
  constexpr int kSendBuffer = 256 << 10;
  (void)::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  return CURL_SOCKOPT_OK;
}

Answer::Failure failure_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Answer::kNoHost;
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
      return Answer::kNotSent;
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_WEIRD_SERVER_REPLY:
      return Answer::kLost;
    default:
      return Answer::kFinal;
  }
}

bool is_loopback(const std::string& endpoint) {
  const std::string host = endpoint.substr(endpoint.find("://") + 3);
  return host.starts_with("127.") || host.starts_with("localhost:") || host.starts_with("localhost/") ||
         host.starts_with("[::1]");
}

std::string url_of(const Access& access, const Request& request) {
  std::string url = access.place.endpoint + "/" + access.place.container;
  if (!request.blob.empty()) url += "/" + url_path(request.blob);
  char separator = '?';
  for (const auto& [name, value] : request.query) {
    url += separator + name + "=" + url_value(value);
    separator = '&';
  }
  if (!access.sas.empty()) url += separator + access.sas;
  return url;
}

// The part of a URL behind its host.
std::string path_of(const Access& access, const Request& request) {
  const std::string& endpoint = access.place.endpoint;
  const size_t slash = endpoint.find('/', endpoint.find("://") + 3);
  std::string path = slash == std::string::npos ? "" : endpoint.substr(slash);
  path += "/" + access.place.container;
  if (!request.blob.empty()) path += "/" + url_path(request.blob);
  return path;
}

std::map<std::string, std::string> headers_of(const Access& access, const Request& request, int64_t now_s) {
  std::map<std::string, std::string> headers = request.headers;
  headers["x-ms-version"] = kVersion;
  headers["x-ms-date"] = http_date(now_s);
  if (request.verb == "PUT") headers.try_emplace("content-type", "application/octet-stream");
  if (access.key.empty()) return headers;
  SignedParts parts;
  parts.verb = request.verb;
  parts.path = path_of(access, request);
  parts.query = request.query;
  parts.headers = headers;
  parts.length = request.body.size();
  headers["authorization"] = authorization(access.place.account, access.key, parts);
  return headers;
}

}  // namespace

bool Answer::may_pass() const {
  if (failure == kNotSent || failure == kNoHost || failure == kLost) return true;
  return failure == kNone && (status == 408 || status == 429 || (status >= 500 && status != 501));
}

std::string Answer::error_code() const {
  auto header = headers.find("x-ms-error-code");
  return header != headers.end() ? header->second : xml_text(body, "Code");
}

Transport::~Transport() {
  for (void* handle : idle_) api().easy_cleanup(handle);
}

void* Transport::acquire() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      void* handle = idle_.back();
      idle_.pop_back();
      return handle;
    }
  }
  return api().easy_init();
}

void Transport::release(void* handle) {
  api().easy_reset(handle);  // keeps the connections
  std::lock_guard lock(mutex_);
  idle_.push_back(handle);
}

Answer Transport::send(const Request& request, int64_t now_s, uint64_t body_limit) {
  const Api& curl = api();
  Answer answer;
  void* handle = acquire();
  if (handle == nullptr) {
    answer.failure = Answer::kFinal;
    answer.trouble = "out of memory";
    return answer;
  }
  Receiver receiver{request, answer, body_limit};
  curl_slist* lines = nullptr;
  for (const auto& [name, value] : headers_of(access_, request, now_s))
    lines = curl.slist_append(lines, (name + ": " + value).c_str());
  lines = curl.slist_append(lines, "Expect:");
  const std::string url = url_of(access_, request);
  curl.easy_setopt(handle, CURLOPT_URL, url.c_str());
  curl.easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
  curl.easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
  curl.easy_setopt(handle, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  curl.easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, std::min<long>(kConnectSeconds, timeout_s_));
  curl.easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl.easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, static_cast<long>(timeout_s_));
  curl.easy_setopt(handle, CURLOPT_SOCKOPTFUNCTION, &bound_buffer);
  curl.easy_setopt(handle, CURLOPT_HTTPHEADER, lines);
  curl.easy_setopt(handle, CURLOPT_HEADERFUNCTION, &take_status_and_header);
  curl.easy_setopt(handle, CURLOPT_HEADERDATA, &answer);
  curl.easy_setopt(handle, CURLOPT_WRITEFUNCTION, &take_body);
  curl.easy_setopt(handle, CURLOPT_WRITEDATA, &receiver);
  // A proxy of the environment is for what is not on this machine.
  if (is_loopback(access_.place.endpoint)) curl.easy_setopt(handle, CURLOPT_NOPROXY, "*");
  if (request.verb == "PUT") {
    curl.easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    curl.easy_setopt(handle, CURLOPT_POSTFIELDS, request.body.empty() ? "" : request.body.data());
  }
  if (request.verb != "GET") curl.easy_setopt(handle, CURLOPT_CUSTOMREQUEST, request.verb.c_str());
  const CURLcode code = curl.easy_perform(handle);
  if (code != CURLE_OK) {
    answer.failure = receiver.refused || receiver.too_long ? Answer::kFinal : failure_of(code);
    long number = 0;
    curl.easy_getinfo(handle, CURLINFO_OS_ERRNO, &number);
    answer.trouble = curl.easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT && number != 0)
      answer.trouble += std::string(" (") + std::strerror(static_cast<int>(number)) + ")";
    if (receiver.too_long)
      answer.trouble = "it is longer than " + format_bytes(static_cast<int64_t>(body_limit));
    if (receiver.refused) answer.trouble = "it cannot be taken here";
  }
  release(handle);
  curl.slist_free_all(lines);
  return answer;
}

}  // namespace tidemill::azure
