// The owner of a run whose store breaks under it: DuckDB gives a database up when a checkpoint fails in the
// middle.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "solution/testing/owned_run.h"

namespace tidemill::solution {
namespace {

using testing::OwnedRun;

// -1 where the table is not there yet, or the database is being given up.
int64_t rows(Host& host) {
  auto database = host.database();
  if (!database.ok()) return -1;
  auto connection = (*database)->connect();
  if (!connection.ok()) return -1;
  auto counted = (*connection)->query("SELECT count(*) FROM rawdata");
  if (!counted.ok()) return -1;
  auto found = (*counted)->next();
  return found.ok() && *found == 1 ? (*counted)->integer(0, 0) : -1;
}

// While it lives this process can make no file longer than `bytes`, as if the disk were full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : ignored_(::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit now{bytes, before_.rlim_max};
    EXPECT_EQ(::setrlimit(RLIMIT_FSIZE, &now), 0);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, ignored_);
  }

 private:
  void (*ignored_)(int);
  rlimit before_{};
};

TEST(HostStore, AStoreThatACheckpointGaveUpIsOpenedAgainAndNothingIsLost) {
  OwnedRun run(
      "name: t\nevent: telemetry\ningest: {log: {partitions: 2}}\nprocess: [enrich, dedup]\nserve: duckdb\n");
  Host& host = *run.host;
  ASSERT_TRUE(host.log().ok());
  ASSERT_TRUE(host.enter_processing().ok());
  const auto simulate = [&](const std::string& name) {
    std::atomic<bool> never{false};
    Status simulated = run.simulator(3000, 0, name)->run(never);
    EXPECT_TRUE(simulated.ok()) << simulated.error().message;
    Status settled = host.wait_settled([] { return false; });
    EXPECT_TRUE(settled.ok()) << settled.error().message;
  };
  simulate("a");
  EXPECT_EQ(rows(host), 3000);
  {
    auto connection = host.database().value()->connect().value();
    FullDisk disk(std::filesystem::file_size(host.directory() + "/store.duckdb"));
    EXPECT_FALSE(connection->execute("CHECKPOINT").ok());
  }
  EXPECT_FALSE(host.database().value()->check().ok()) << "the failed checkpoint did not cost the database";
  simulate("b");
  EXPECT_EQ(rows(host), 6000);
  EXPECT_TRUE(host.leave_processing().ok());
}

}  // namespace
}  // namespace tidemill::solution
