#include "solution/socket.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>

#include "base/testing/memory_peak.h"

namespace tidemill::solution {
namespace {

class SocketThreads : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/tidemill-socket-XXXXXX";
    // Far longer than a socket's address may be.
    directory_ = std::string(::mkdtemp(pattern)) + "/" + std::string(100, 'd');
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(std::filesystem::path(directory_).parent_path()); }
  std::string directory_;
};

TEST_F(SocketThreads, AnswersInPiecesToManyAtOnce) {
  auto server = SocketServer::start(
      directory_, [](Request& request, const Reply& reply, const std::atomic<bool>&) -> Status {
        if (request.verb == "fail") return user_error("no " + request.get("what"), Code::kNotFound);
        for (int64_t i = 0; i < request.number("times", 1); ++i) reply(request.body);
        return {};
      });
  ASSERT_TRUE(server.ok()) << server.error().message;
  struct stat info {};
  ASSERT_EQ(::stat((directory_ + "/socket").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);

  std::vector<std::thread> askers;
  std::atomic<int> right{0};
  for (int t = 0; t < 4; ++t) {
    askers.emplace_back([&, t] {
      auto client = SocketClient::connect(directory_);
      for (int i = 0; client.ok() && i < 50; ++i) {
        auto answer = (*client)->ask(
            Request{"echo", {{"times", "3"}}, std::string(static_cast<size_t>(t) * 5000, 'x')});
        if (answer.ok() && answer->size() == static_cast<size_t>(t) * 15000) ++right;
      }
      auto failed = (*client)->ask(Request{"fail", {{"what", "table"}}, ""});
      if (!failed.ok() && failed.error().code == Code::kNotFound && failed.error().message == "no table")
        ++right;
    });
  }
  for (auto& asker : askers) asker.join();
  EXPECT_EQ(right, 4 * 51);
}

TEST_F(SocketThreads, TellsTheHandlerThatItsAskerHasLeft) {
  std::mutex mutex;
  std::condition_variable changed;
  bool noticed = false;
  auto server = SocketServer::start(
      directory_, [&](Request&, const Reply& reply, const std::atomic<bool>& gone) -> Status {
        reply("started");
        while (!gone) std::this_thread::yield();
        std::lock_guard lock(mutex);
        noticed = true;
        changed.notify_all();
        return {};
      });
  ASSERT_TRUE(server.ok());
  {
    auto client = SocketClient::connect(directory_);
    ASSERT_TRUE(client.ok());
    EXPECT_TRUE((*client)->ask(Request{"wait", {}, ""}, [](std::string_view) { return false; }).ok());
  }
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(10), [&] { return noticed; }));
}

// What a raw client sends, on a connection that stays open.
class RawClient {
 public:
  explicit RawClient(const std::string& directory) {
    // Through a descriptor, as the path is longer than an address may be.
    int folder = ::open(directory.c_str(), O_PATH | O_CLOEXEC);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::string path = "/proc/self/fd/" + std::to_string(folder) + "/socket";
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(folder);
  }
  ~RawClient() { ::close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;
  void send(std::string_view bytes) {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // Whether the other side closed the connection or answered, with the first bytes of that.
  std::string receive() {
    char bytes[64];
    ssize_t got = ::recv(fd_, bytes, sizeof bytes, 0);
    return std::string(bytes, static_cast<size_t>(std::max<ssize_t>(got, 0)));
  }

 private:
  int fd_ = -1;
};

TEST_F(SocketThreads, ALengthAloneTakesNoMemory) {
  auto server = SocketServer::start(
      directory_, [](Request&, const Reply&, const std::atomic<bool>&) { return ok_status(); });
  ASSERT_TRUE(server.ok());
  constexpr size_t kAllowed = size_t{300} << 20;  // threads cost a sanitizer megabytes
  std::vector<std::unique_ptr<RawClient>> clients;
  size_t peak = resident_peak([&] {
    for (int i = 0; i < 20; ++i) {
      clients.push_back(std::make_unique<RawClient>(directory_));
      clients.back()->send(std::string_view("\0\0\0\4\1", 5));  // 64 MiB will come, it says
    }
    RawClient liar(directory_);
    liar.send(std::string_view("\xff\xff\xff\x7f\1", 5));  // 2 GiB: refused at once
    EXPECT_EQ(liar.receive(), "");
    // Twenty arguments would be there, two thousand million are announced.
    RawClient counting(directory_);
    counting.send(
        std::string_view("\x0b\0\0\0\1\1x\xff\xff\xff\xff\x07"
                         "abcd",
                         16));
    EXPECT_EQ(counting.receive().substr(4, 1), "\4");  // an error
    EXPECT_TRUE(SocketClient::connect(directory_).value()->ask(Request{"x", {}, ""}).ok());
  });
  EXPECT_LT(peak, kAllowed);
}

TEST_F(SocketThreads, MoreConnectionsThanItTakesAreRefusedUntilSomeEnd) {
  auto server = SocketServer::start(
      directory_, [](Request&, const Reply&, const std::atomic<bool>&) { return ok_status(); });
  ASSERT_TRUE(server.ok());
  std::vector<std::unique_ptr<SocketClient>> clients;
  Status asked;
  while (clients.size() < 1000) {
    auto client = SocketClient::connect(directory_);
    ASSERT_TRUE(client.ok());
    auto answer = (*client)->ask(Request{"x", {}, ""});
    if (!answer.ok()) break;
    clients.push_back(std::move(*client));
  }
  EXPECT_EQ(clients.size(), 256u);
  clients.clear();
  bool answered = false;
  for (int i = 0; i < 1000 && !answered; ++i) {
    auto client = SocketClient::connect(directory_);
    answered = client.ok() && (*client)->ask(Request{"x", {}, ""}).ok();
  }
  EXPECT_TRUE(answered);
}

TEST_F(SocketThreads, ALostOwnerIsARetryableError) {
  EXPECT_EQ(SocketClient::connect(directory_).error().code, Code::kNotFound);
  auto server = SocketServer::start(
      directory_, [](Request&, const Reply&, const std::atomic<bool>&) { return ok_status(); });
  auto client = SocketClient::connect(directory_);
  ASSERT_TRUE(client.ok());
  EXPECT_TRUE((*client)->ask(Request{"x", {}, ""}).ok());
  *server = nullptr;
  auto answer = (*client)->ask(Request{"x", {}, ""});
  ASSERT_FALSE(answer.ok());
  EXPECT_TRUE(answer.error().retryable);
}

}  // namespace
}  // namespace tidemill::solution
