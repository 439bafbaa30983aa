// How commands of other processes reach the owner of a run: a Unix socket in its directory (mode
// 0600), requests with a streamed reply. Frames: docs/formats/socket.md.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/result.h"

namespace tidemill::solution {

struct Request {
  std::string verb;  // "query", "append" …
  std::map<std::string, std::string> arguments;
  std::string body;

  std::string get(const std::string& key, const std::string& otherwise = {}) const;
  int64_t number(const std::string& key, int64_t otherwise) const;
};

// Where a reply goes, piece by piece. Returns false when the asker has gone: stop the work.
using Reply = std::function<bool(std::string_view piece)>;

// Answers one request; pieces of the answer go to `reply`, its end is the return. Called on a thread of
// the connection (so several at once). `gone` turns true when the asker has left.
using Handler = std::function<Status(Request& request, const Reply& reply, const std::atomic<bool>& gone)>;

// Listens on <directory>/socket until destroyed. A connection carries one request at a time.
class SocketServer {
 public:
  static Result<std::unique_ptr<SocketServer>> start(const std::string& directory, Handler handler);
  ~SocketServer();
  SocketServer(const SocketServer&) = delete;
  SocketServer& operator=(const SocketServer&) = delete;

 private:
  struct Connection;
  SocketServer() = default;
  void accept_loop();
  void serve(Connection& connection);
  void reap(bool all);

  std::string path_;
  int listener_ = -1;
  int wake_[2] = {-1, -1};
  Handler handler_;
  std::thread acceptor_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> connections_;
};

// A connection to an owner. Used by one thread at a time; cancel() from any.
class SocketClient {
 public:
  // Errors: kNotFound where nobody listens.
  static Result<std::unique_ptr<SocketClient>> connect(const std::string& directory);
  ~SocketClient();
  SocketClient(const SocketClient&) = delete;
  SocketClient& operator=(const SocketClient&) = delete;

  // Sends the request and hands every piece of the answer to `each` (return false to leave, which ends the
  // connection). Errors: the owner's own; retryable where the connection was lost. When `cancelled` turns
  // true it ends the connection within a tenth of a second and returns kStopped.
  Status ask(const Request& request, const std::function<bool(std::string_view piece)>& each,
             const std::atomic<bool>* cancelled = nullptr);
  // The whole answer, at most `limit` bytes.
  Result<std::string> ask(const Request& request, size_t limit = 64u << 20);
  // Ends the connection: the ask under way returns an error.
  void cancel();
  // The connection broke: the last ask's error is its, not the owner's.
  bool lost() const { return lost_; }

 private:
  explicit SocketClient(int fd) : fd_(fd) {}
  int fd_;
  bool lost_ = false;
};

}  // namespace tidemill::solution
