#include "solution/socket.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <condition_variable>
#include <filesystem>

namespace tidemill::solution {
namespace {

class SocketThreads : public testing::Test {
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
