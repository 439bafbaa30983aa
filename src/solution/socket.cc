#include "solution/socket.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <system_error>

#include "base/bytes.h"

namespace tidemill::solution {
namespace {

constexpr uint32_t kMaxFrameBytes = 64u << 20;
constexpr size_t kFirstPieceBytes = 64u << 10;
constexpr uint64_t kMaxArguments = 100;
constexpr size_t kMaxConnections = 256;
constexpr int kLookUpMs = 100;
constexpr time_t kSendLimitSeconds = 30;
constexpr int kAcceptAgainMs = 100;
enum FrameType : uint8_t { kRequest = 1, kPiece = 2, kEnd = 3, kError = 4 };

Error lost(const std::string& what) {
  return external_error("connection to the run's owner: " + what, Code::kFailed, true);
}

Status send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return lost(n == 0 ? "closed" : std::strerror(errno));
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return {};
}

Status receive_all(int fd, char* to, size_t size) {
  while (size > 0) {
    ssize_t n = ::recv(fd, to, size, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return lost(n == 0 ? "closed" : std::strerror(errno));
    to += n;
    size -= static_cast<size_t>(n);
  }
  return {};
}

Status send_frame(int fd, FrameType type, std::string_view payload) {
  TM_CHECK(payload.size() <= kMaxFrameBytes);
  char head[5];
  store_le<uint32_t>(head, static_cast<uint32_t>(payload.size()));
  head[4] = static_cast<char>(type);
  if (payload.size() < 4096) {
    std::string frame(head, sizeof head);
    frame.append(payload);
    return send_all(fd, frame);
  }
  TM_TRY(send_all(fd, {head, sizeof head}));
  return send_all(fd, payload);
}

struct Frame {
  uint8_t type = 0;
  std::string payload;
};

Result<Frame> receive_frame(int fd) {
  char head[5];
  TM_TRY(receive_all(fd, head, sizeof head));
  auto size = load_le<uint32_t>(head);
  if (size > kMaxFrameBytes)
    return external_error("connection to the run's owner: a frame of " + std::to_string(size) + " bytes",
                          Code::kInvalid);
  Frame frame;
  frame.type = static_cast<uint8_t>(head[4]);
  // Grows with the bytes that come: a length alone takes no memory.
  while (frame.payload.size() < size) {
    size_t had = frame.payload.size();
    size_t more = std::min<size_t>(size - had, std::max(kFirstPieceBytes, had));
    frame.payload.resize(had + more);
    TM_TRY(receive_all(fd, frame.payload.data() + had, more));
  }
  return frame;
}

std::string encode_request(const Request& request) {
  std::string out;
  ByteWriter writer(out);
  writer.sized(request.verb);
  writer.varuint(request.arguments.size());
  for (const auto& [key, value] : request.arguments) {
    writer.sized(key);
    writer.sized(value);
  }
  writer.sized(request.body);
  return out;
}

Result<Request> decode_request(std::string_view bytes) {
  ByteReader reader(bytes);
  Request request;
  request.verb = reader.sized();
  uint64_t count = reader.varuint();
  if (count > kMaxArguments) return user_error("malformed request: " + std::to_string(count) + " arguments");
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    std::string key(reader.sized());
    request.arguments[key] = reader.sized();
  }
  request.body = reader.sized();
  if (!reader.ok() || reader.remaining() > 0) return user_error("malformed request");
  return request;
}

std::string encode_error(const Error& error) {
  std::string out;
  ByteWriter writer(out);
  writer.le<uint8_t>(static_cast<uint8_t>(error.domain));
  writer.le<uint8_t>(static_cast<uint8_t>(error.code));
  writer.le<uint8_t>(error.retryable ? 1 : 0);
  writer.sized(error.message);
  return out;
}

Error decode_error(std::string_view bytes) {
  ByteReader reader(bytes);
  Error error;
  error.domain =
      static_cast<Domain>(std::min<uint8_t>(reader.le<uint8_t>(), static_cast<uint8_t>(Domain::kInternal)));
  error.code =
      static_cast<Code>(std::min<uint8_t>(reader.le<uint8_t>(), static_cast<uint8_t>(Code::kStopped)));
  error.retryable = reader.le<uint8_t>() != 0;
  error.message = reader.sized();
  return error;
}

// A path for sun_path, which holds 107 bytes: through an open descriptor of the directory, so that
// the directory's own path may be of any length.
struct SocketAddress {
  sockaddr_un address{};
  int directory = -1;
  ~SocketAddress() {
    if (directory >= 0) ::close(directory);
  }
};

Status fill_address(const std::string& directory, const char* name, SocketAddress* to) {
  to->directory = ::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (to->directory < 0) return external_error(directory + ": " + std::strerror(errno), Code::kNotFound);
  std::string path = "/proc/self/fd/" + std::to_string(to->directory) + "/" + name;
  TM_CHECK(path.size() < sizeof to->address.sun_path);
  to->address.sun_family = AF_UNIX;
  std::memcpy(to->address.sun_path, path.c_str(), path.size() + 1);
  return {};
}

}  // namespace

std::string Request::get(const std::string& key, const std::string& otherwise) const {
  auto found = arguments.find(key);
  return found == arguments.end() ? otherwise : found->second;
}

int64_t Request::number(const std::string& key, int64_t otherwise) const {
  std::string text = get(key);
  int64_t value = otherwise;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
}

struct SocketServer::Connection {
  int fd = -1;
  std::thread thread;
  std::atomic<bool> gone{false};
  std::atomic<bool> ended{false};
};

Result<std::unique_ptr<SocketServer>> SocketServer::start(const std::string& directory, Handler handler) {
  auto server = std::unique_ptr<SocketServer>(new SocketServer());
  server->handler_ = std::move(handler);
  server->path_ = directory + "/socket";
  // It gets its name when it has its mode. Only the owner of the directory's lock comes here: a socket that
  // lies there is a dead one's.
  const std::string unnamed = server->path_ + ".new";
  SocketAddress address;
  TM_TRY(fill_address(directory, "socket.new", &address));
  ::unlink(unnamed.c_str());
  server->listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server->listener_ < 0) return external_error(server->path_ + ": socket: " + std::strerror(errno));
  auto failed = [&](const char* what) {
    return external_error(server->path_ + ": " + what + ": " + std::strerror(errno));
  };
  if (::bind(server->listener_, reinterpret_cast<sockaddr*>(&address.address), sizeof address.address) != 0)
    return failed("bind");
  if (::chmod(unnamed.c_str(), 0600) != 0) return failed("chmod");
  if (::listen(server->listener_, 64) != 0) return failed("listen");
  if (::rename(unnamed.c_str(), server->path_.c_str()) != 0) return failed("rename");
  if (::pipe2(server->wake_, O_CLOEXEC) != 0)
    return external_error(server->path_ + ": pipe: " + std::strerror(errno));
  server->acceptor_ = std::thread([raw = server.get()] { raw->accept_loop(); });
  return server;
}

SocketServer::~SocketServer() {
  if (acceptor_.joinable()) {
    (void)!::write(wake_[1], "x", 1);
    acceptor_.join();
  }
  reap(true);
  for (int fd : {listener_, wake_[0], wake_[1]}) {
    if (fd >= 0) ::close(fd);
  }
  ::unlink(path_.c_str());
}

void SocketServer::accept_loop() {
  while (true) {
    // The wait is bounded so that connections that ended are cleared away, and those whose asker has
    // left in the middle of a request are noticed.
    pollfd waits[2] = {{listener_, POLLIN, 0}, {wake_[0], POLLIN, 0}};
    int ready = ::poll(waits, 2, 100);
    if (ready > 0 && (waits[1].revents & POLLIN) != 0) return;
    {
      std::lock_guard lock(mutex_);
      for (auto& connection : connections_) {
        pollfd watch{connection->fd, POLLRDHUP, 0};
        if (!connection->ended && ::poll(&watch, 1, 0) > 0 &&
            (watch.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
          connection->gone = true;
        }
      }
    }
    reap(false);
    if (ready <= 0 || (waits[0].revents & POLLIN) == 0) continue;
    int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      // Without file descriptors, whoever asks goes on waiting, and poll says so again at once.
      ::poll(&waits[1], 1, kAcceptAgainMs);
      continue;
    }
    {
      std::lock_guard lock(mutex_);
      if (connections_.size() >= kMaxConnections) {
        (void)send_frame(fd, kError,
                         encode_error(external_error("the run's owner has as many connections as it takes",
                                                     Code::kFailed, true)))
            .ok();
        ::close(fd);
        continue;
      }
    }
    // An asker that reads no more holds nobody up for longer than this.
    timeval limit{kSendLimitSeconds, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    auto connection = std::make_unique<Connection>();
    connection->fd = fd;
    Connection* raw = connection.get();
    try {
      connection->thread = std::thread([this, raw] { serve(*raw); });
    } catch (const std::system_error&) {
      ::close(fd);  // no more threads: its asker is told that the run's owner closed the connection
      continue;
    }
    std::lock_guard lock(mutex_);
    connections_.push_back(std::move(connection));
  }
}

void SocketServer::serve(Connection& connection) {
  while (true) {
    auto frame = receive_frame(connection.fd);
    if (!frame.ok() || frame->type != kRequest) break;
    Status answered;
    auto request = decode_request(frame->payload);
    if (request.ok()) {
      frame->payload.clear();
      auto reply = [&](std::string_view piece) {
        while (piece.size() > kMaxFrameBytes) {
          if (!send_frame(connection.fd, kPiece, piece.substr(0, kMaxFrameBytes)).ok()) return false;
          piece.remove_prefix(kMaxFrameBytes);
        }
        return send_frame(connection.fd, kPiece, piece).ok();
      };
      answered = handler_(*request, reply, connection.gone);
    } else {
      answered = std::move(request).error();
    }
    Status sent = answered.ok() ? send_frame(connection.fd, kEnd, {})
                                : send_frame(connection.fd, kError, encode_error(answered.error()));
    if (!sent.ok()) break;
  }
  // The asker need not wait until the connection is cleared away.
  ::shutdown(connection.fd, SHUT_RDWR);
  connection.ended = true;
}

void SocketServer::reap(bool all) {
  std::vector<std::unique_ptr<Connection>> ended;
  {
    std::lock_guard lock(mutex_);
    for (auto& connection : connections_) {
      if (!all && !connection->ended) continue;
      connection->gone = true;
      // No more requests; the answer under way still reaches its asker.
      ::shutdown(connection->fd, SHUT_RD);
      ended.push_back(std::move(connection));
    }
    std::erase(connections_, nullptr);
  }
  for (auto& connection : ended) {
    connection->thread.join();
    ::close(connection->fd);
  }
}

Result<std::unique_ptr<SocketClient>> SocketClient::connect(const std::string& directory) {
  SocketAddress address;
  TM_TRY(fill_address(directory, "socket", &address));
  int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return external_error(directory + ": socket: " + std::strerror(errno));
  if (::connect(fd, reinterpret_cast<sockaddr*>(&address.address), sizeof address.address) != 0) {
    int error = errno;
    ::close(fd);
    return external_error(directory + "/socket: " + std::strerror(error), Code::kNotFound, true);
  }
  return std::unique_ptr<SocketClient>(new SocketClient(fd));
}

SocketClient::~SocketClient() {
  ::close(fd_);
}

void SocketClient::cancel() {
  ::shutdown(fd_, SHUT_RDWR);
}

Status SocketClient::ask(const Request& request, const std::function<bool(std::string_view)>& each,
                         const std::atomic<bool>* cancelled) {
  lost_ = true;  // until the owner has answered
  TM_TRY(send_frame(fd_, kRequest, encode_request(request)));
  while (true) {
    pollfd answer{fd_, POLLIN, 0};
    while (cancelled != nullptr && ::poll(&answer, 1, kLookUpMs) <= 0) {
      if (!*cancelled) continue;
      cancel();
      return Error{Domain::kUser, Code::kStopped, false, "stopped"};
    }
    TM_ASSIGN(Frame frame, receive_frame(fd_));
    lost_ = frame.type == kPiece;
    if (frame.type == kEnd) return {};
    if (frame.type == kError) return decode_error(frame.payload);
    if (!each(frame.payload)) {
      cancel();
      return {};
    }
  }
}

Result<std::string> SocketClient::ask(const Request& request, size_t limit) {
  std::string whole;
  bool too_long = false;
  TM_TRY(ask(request, [&](std::string_view piece) {
    too_long = whole.size() + piece.size() > limit;
    if (!too_long) whole.append(piece);
    return !too_long;
  }));
  if (too_long) return user_error("the answer is longer than " + std::to_string(limit) + " bytes");
  return whole;
}

}  // namespace tidemill::solution
