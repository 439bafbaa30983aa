// Whole runs with `rekey`, and what their verification says once somebody has had a hand in the store.
#include "solution/verification.h"

#include <gtest/gtest.h>

#include "solution/testing/owned_run.h"
#include "verify/verify.h"

namespace tidemill::solution {
namespace {

using testing::OwnedRun;

constexpr int64_t kEvents = 2'000;

// The solution simulates nothing: all that is known of its events is what the log holds, half of them twice.
class Rekeyed : public ::testing::Test {
 protected:
  Rekeyed()
      : run_(
            "name: t\nevent: telemetry\ningest: {log: {partitions: 2}}\n"
            "process: [rekey: type, enrich, {dedup: {id: eventId, key: type, last: 10000}}]\nserve: "
            "duckdb\n") {}

  void SetUp() override {
    Host& host = *run_.host;
    ASSERT_TRUE(host.log().ok());
    ASSERT_TRUE(host.enter_processing().ok());
    std::atomic<bool> never{false};
    auto simulator = run_.simulator(kEvents, 0, "simulate", 2);
    ASSERT_TRUE(simulator->run(never).ok());
    Status settled = host.wait_settled([] { return false; });
    ASSERT_TRUE(settled.ok()) << settled.error().message;
    ASSERT_TRUE(host.leave_processing().ok());
  }
  void change(const std::string& sql) {
    auto connection = run_.host->database().value()->connect().value();
    auto changed = connection->execute(sql);
    ASSERT_TRUE(changed.ok()) << changed.error().message;
  }
  verify::Verdict verdict() {
    const std::string scratch = run_.host->directory() + "/scratch";
    auto described = describe_run(*run_.host, run_.host->solution(), scratch, [] { return false; });
    EXPECT_TRUE(described.ok()) << described.error().message;
    return verify::verify(*described);
  }

  OwnedRun run_;
};

const std::string kOne = "(SELECT eventId FROM rawdata ORDER BY eventId LIMIT 1)";
const std::string kOther = "(SELECT eventId FROM rawdata ORDER BY eventId DESC LIMIT 1)";
const std::string kLose = "DELETE FROM rawdata WHERE eventId = " + kOne;
const std::string kDouble = "INSERT INTO rawdata SELECT * FROM rawdata WHERE eventId = " + kOther;
const std::string kAlter = "UPDATE rawdata SET value = value + 1 WHERE eventId = " + kOther;

TEST_F(Rekeyed, PassesAsItIs) {
  const verify::Verdict found = verdict();
  EXPECT_TRUE(found.pass) << verify::to_table(found);
  EXPECT_EQ(found.stored, static_cast<uint64_t>(kEvents));
}

TEST_F(Rekeyed, ALostEventIsTold) {
  change(kLose);
  const verify::Verdict found = verdict();
  EXPECT_FALSE(found.pass);
  EXPECT_EQ(found.lost, 1u) << verify::to_table(found);
}

TEST_F(Rekeyed, ADoubledEventIsTold) {
  change(kDouble);
  const verify::Verdict found = verdict();
  EXPECT_FALSE(found.pass);
  EXPECT_EQ(found.duplicated, 1u) << verify::to_table(found);
}

TEST_F(Rekeyed, AnAlteredEventIsTold) {
  change(kAlter);
  const verify::Verdict found = verdict();
  EXPECT_FALSE(found.pass);
  EXPECT_GE(found.altered, 1u) << verify::to_table(found);
}

// The number of rows is right, and each of them is one that was sent.
TEST_F(Rekeyed, OneLostAndACopyOfAnotherStoredAreTold) {
  change(kDouble);
  change(kLose);
  const verify::Verdict found = verdict();
  EXPECT_FALSE(found.pass);
  EXPECT_EQ(found.lost, 1u) << verify::to_table(found);
}

}  // namespace
}  // namespace tidemill::solution
