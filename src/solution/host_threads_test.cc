// The owner of a run with everything at once: a simulator, the pipeline, and other processes that ask for
// reports, metrics, events and replays, leave in the middle, and stop it. Run under ThreadSanitizer too.
#include <gtest/gtest.h>

#include <thread>

#include "solution/run_metrics.h"
#include "solution/testing/owned_run.h"

namespace tidemill::solution {
namespace {

using testing::OwnedRun;

constexpr int64_t kEvents = 3000;

// One process of many: asks again and again until `over`; `most` pieces of an answer are enough.
void ask_until(const std::string& directory, const Request& request, int most, const std::atomic<bool>& over,
               std::atomic<int>* answered) {
  while (!over) {
    auto client = SocketClient::connect(directory);
    if (!client.ok()) continue;
    int pieces = 0;
    Status asked = (*client)->ask(
        request,
        [&](std::string_view piece) {
          pieces += piece.empty() ? 0 : 1;
          return pieces < most;
        },
        &over);
    if (pieces > 0 || asked.ok()) ++*answered;
  }
}

TEST(HostThreads, EverythingAtOnceLosesNothing) {
  OwnedRun run(
      "name: t\nevent: {schema: telemetry, max_bytes: 256KiB}\nlog: {durability: none, segment_bytes: 1MiB, "
      "max_batch_bytes: 1MiB}\n"
      "ingest: {log: {partitions: 2}}\nprocess: [enrich: [enqueuedAt], dedup]\nserve: log\n");
  Host& host = *run.host;
  ASSERT_TRUE(host.log().ok());
  ASSERT_TRUE(host.enter_processing().ok());

  auto simulator = run.simulator(kEvents, 3000);

  const std::vector<std::pair<Request, int>> asked = {
      {{"report", {{"every_us", "20000"}, {"format", "json"}}, ""}, 3},
      {{"report", {{"every_us", "10000"}, {"rows", "4"}}, ""}, 1000},
      {{"summary", {{"format", "json"}}, ""}, 10},
      {{"status", {}, ""}, 10},
      {{"log.topics", {}, ""}, 10},
      {{"log.read", {{"topic", "t-out"}, {"follow", "1"}}, ""}, 20},
      {{"replay", {{"into", "again"}}, ""}, 1},
      {{"process", {}, ""}, 1},
  };
  std::atomic<bool> over{false};
  std::vector<std::atomic<int>> answers(asked.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < asked.size(); ++i) {
    threads.emplace_back(
        [&, i] { ask_until(host.directory(), asked[i].first, asked[i].second, over, &answers[i]); });
  }
  std::atomic<int> scrapes{0};
  threads.emplace_back([&] {
    while (!over) scrapes += run_metrics(host).empty() ? 0 : 1;
  });
  std::atomic<bool> never{false};
  Status simulated = simulator->run(never);
  EXPECT_TRUE(simulated.ok()) << simulated.error().message;
  EXPECT_TRUE(host.wait_settled([] { return false; }).ok());
  over = true;
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < asked.size(); ++i) EXPECT_GT(answers[i], 0) << asked[i].first.verb;
  EXPECT_GT(scrapes, 0);
  EXPECT_EQ(host.metrics().traffic().stored_rows, static_cast<uint64_t>(kEvents));
  EXPECT_TRUE(host.leave_processing().ok());
}

// Who begins while the last one still drains finds the sink's lock free.
TEST(HostThreads, WhoeverLeavesHandsTheSinkToWhoeverBegins) {
  OwnedRun run("name: t\nevent: telemetry\nserve: {files: {}}\n");
  Host& host = *run.host;
  ASSERT_TRUE(host.log().ok());
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 100; ++turn) {
        Status entered = host.enter_processing();
        ASSERT_TRUE(entered.ok()) << entered.error().message;
        Status left = host.leave_processing();
        ASSERT_TRUE(left.ok()) << left.error().message;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(host.processing());
}

TEST(HostThreads, AStopIsHeardByEveryoneWhoAsks) {
  OwnedRun run("name: t\nevent: telemetry\nserve: log\n");
  Host& host = *run.host;
  ASSERT_TRUE(host.log().ok());
  std::vector<std::thread> threads;
  std::atomic<int> ended{0};
  for (const std::string verb : {"process", "report", "process", "report"}) {
    threads.emplace_back([&, verb] {
      auto client = SocketClient::connect(host.directory()).value();
      (void)client->ask({verb, {{"every_us", "5000"}}, ""}, [](std::string_view) { return true; });
      ++ended;
    });
  }
  while (!host.processing()) std::this_thread::yield();
  auto client = SocketClient::connect(host.directory()).value();
  EXPECT_TRUE(client->ask({"stop", {}, ""}).ok());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ended, 4);
  EXPECT_FALSE(host.processing());
}

}  // namespace
}  // namespace tidemill::solution
