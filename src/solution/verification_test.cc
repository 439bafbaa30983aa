// Whole runs with `rekey` and `sql`, and what their verification says once somebody has had a hand in the
// store.
#include "solution/verification.h"

#include <gtest/gtest.h>

#include "event/record_batch.h"
#include "solution/testing/owned_run.h"
#include "verify/verify.h"

namespace tidemill::solution {
namespace {

using testing::OwnedRun;

constexpr int64_t kEvents = 2'000;

verify::Verdict verdict_of(Host& host) {
  auto described = describe_run(host, host.solution(), host.directory() + "/scratch", [] { return false; });
  EXPECT_TRUE(described.ok()) << described.error().message;
  return verify::verify(*described);
}

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
  verify::Verdict verdict() { return verdict_of(*run_.host); }

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

// A run whose rows count events: of those given, after it has come to the end of them.
struct Counted {
  Counted(const std::string& steps, const std::vector<std::string>& events)
      : run("name: t\nevent: {fields: {id: text required, k: text, n: bigint}}\nprocess: [" + steps +
            "{sql: {query: 'SELECT count(*) AS c FROM input', every: 100ms, count: c}}]\nserve: duckdb\n") {
    log::Log& log = *run.host->log().value();
    EXPECT_TRUE(run.host->enter_processing().ok());
    RecordBatchBuilder builder;
    for (const std::string& event : events) builder.add(1'700'000'000'000, std::nullopt, event);
    std::string batch = builder.finish().value();
    auto appended = log.append({"t", Partition(0)}, batch, true);
    EXPECT_TRUE(appended.ok() && log.wait_durable(appended->sync_ticket).ok());
    Status settled = run.host->wait_settled([] { return false; });
    EXPECT_TRUE(settled.ok()) << settled.error().message;
    EXPECT_TRUE(run.host->leave_processing().ok());
  }
  verify::Verdict verdict() { return verdict_of(*run.host); }
  void change(const std::string& sql) {
    EXPECT_TRUE(run.host->database().value()->connect().value()->execute(sql).ok());
  }
  OwnedRun run;
};

const std::vector<std::string> kFour = {R"({"id":"1","k":"a","n":1})", R"({"id":"1","k":"a","n":1})",
                                        R"({"id":"2","k":"x","n":1})", R"({"id":"3","k":"a","n":"x"})"};

TEST(CountedEvents, ADeadLetterOfTheIntervalsIsNotLost) {
  Counted counted("", kFour);
  const verify::Verdict found = counted.verdict();
  EXPECT_TRUE(found.pass) << verify::to_table(found);
  EXPECT_EQ(found.stored, 3u);
  EXPECT_EQ(found.dead_letters, 1u);
}

TEST(CountedEvents, WhatWasDroppedOnTheWayToTheIntervalsIsNotLost) {
  Counted counted("filter: k != 'x', rekey: k, {dedup: {id: id, key: k, last: 10}}, ", kFour);
  verify::Verdict found = counted.verdict();
  EXPECT_TRUE(found.pass) << verify::to_table(found);
  EXPECT_EQ(found.stored, 1u);
  EXPECT_EQ(found.dropped, 2u);
  EXPECT_EQ(found.dead_letters, 1u);

  counted.change("UPDATE rawdata SET c = c - 1");
  found = counted.verdict();
  EXPECT_FALSE(found.pass);
  EXPECT_EQ(found.lost, 1u) << verify::to_table(found);
}

}  // namespace
}  // namespace tidemill::solution
