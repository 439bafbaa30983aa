#include "solution/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "solution/host.h"
#include "solution/load.h"

namespace tidemill::solution {
namespace {

using ::testing::HasSubstr;

constexpr const char* kSolution =
    "name: t\nevent: telemetry\nserve: {duckdb: {memory_limit: 256MiB}}\nquery: {timeout: 1s}\n";

// A run's owner with a store of 50,000 rows, and somebody who commits to it all the time.
class Query : public ::testing::Test {
 protected:
  void SetUp() override {
    char pattern[] = "/tmp/tidemill-query-XXXXXX";
    root_ = ::mkdtemp(pattern);
    open(kSolution);
  }
  void TearDown() override {
    host_.reset();
    std::filesystem::remove_all(root_);
  }

  void open(const std::string& yaml) {
    host_.reset();
    LoadRequest request;
    request.file = "t.yaml";
    request.text = yaml;
    auto loaded = load_solution(request);
    ASSERT_TRUE(loaded.ok()) << loaded.error().message;
    RunStore runs(FileSystem::posix(), root_);
    RunRecord record;
    record.name = "t";
    auto latest = runs.latest("t");
    auto created = runs.create(record, latest ? latest->number : 0);
    ASSERT_TRUE(created.ok());
    auto opened = Host::open(runs, *created, loaded->solution);
    ASSERT_TRUE(opened.ok()) << opened.error().message;
    host_ = std::move(*opened);
  }
  std::unique_ptr<duck::Connection> connect() {
    auto database = host_->database();
    EXPECT_TRUE(database.ok());
    return std::move((*database)->connect()).value();
  }
  void fill() {
    auto made = connect()->execute(
        "CREATE TABLE rawdata AS SELECT range AS i, random() AS value, 'TEMP' AS type FROM range(50000)");
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  // The answer, or "error: …".
  std::string ask(const std::string& sql, const std::string& format = "csv") {
    std::atomic<bool> gone{false};
    std::string out;
    Status asked = answer_query(
        *host_, {"query", {{"sql", sql}, {"format", format}}, ""},
        [&](std::string_view piece) {
          out += piece;
          return true;
        },
        gone);
    return asked.ok() ? out : "error: " + asked.error().message;
  }

  std::string root_;
  std::unique_ptr<Host> host_;
};

TEST_F(Query, DoesNotNeedTheLog) {
  fill();
  EXPECT_TRUE(host_->log_partitions().empty());
  EXPECT_FALSE(std::filesystem::exists(host_->directory() + "/log"));
}

TEST_F(Query, ChangesNothing) {
  fill();
  const std::string secret = root_ + "/secret.csv", out = root_ + "/out.csv";
  std::ofstream(secret) << "a\n1\n";
  for (const std::string& sql : std::vector<std::string>{
           "DROP TABLE rawdata",
           "DELETE FROM rawdata",
           "INSERT INTO rawdata VALUES (1, 1, 'x')",
           "WITH x AS (SELECT 1) INSERT INTO rawdata SELECT 1, 1, 'x'",
           "CREATE TABLE mine AS SELECT 1",
           "CREATE TEMP TABLE mine AS SELECT 1",
           "SELECT 1; DROP TABLE rawdata",
           "SELECT 1; COMMIT; DROP TABLE rawdata",
           "COMMIT",
           "ROLLBACK; DELETE FROM rawdata; SELECT 1",
           "EXPLAIN ANALYZE DELETE FROM rawdata",
           "SET memory_limit = '1MB'",
           "SET GLOBAL threads = 1",
           "RESET GLOBAL memory_limit",
           "PRAGMA memory_limit='1MB'",
           "SELECT 1; SET memory_limit = '1MB'; SELECT 1",
           "ATTACH '" + root_ + "/other.db' AS other",
           "ATTACH ':memory:' AS other",
           "DETACH store",
           "USE memory",
           "COPY rawdata TO '" + out + "'",
           "EXPLAIN ANALYZE COPY rawdata TO '" + out + "'",
           "EXPORT DATABASE '" + root_ + "/out'",
           "SELECT * FROM read_csv('" + secret + "')",
           "SELECT * FROM read_text('/etc/passwd')",
           "FROM '" + secret + "'",
           "SELECT * FROM glob('/etc/*')",
           "SELECT * FROM read_blob('" + host_->directory() + "/store.duckdb')",
           "FROM '" + host_->directory() + "/store.duckdb'",
           "SELECT * FROM query('FROM rawdata')",
           "SELECT * FROM force_checkpoint()",
           "SELECT * FROM \"checkpoint\"()",
           "EXPLAIN ANALYZE SELECT * FROM checkpoint()",
           "SELECT * FROM enable_logging()",
           "CALL force_checkpoint()",
           "CHECKPOINT",
           "FORCE CHECKPOINT",
           "VACUUM",
           "INSTALL httpfs",
           "LOAD json",
           "PREPARE p AS DELETE FROM rawdata",
           "EXECUTE p",
           "",
           "nonsense",
       }) {
    EXPECT_TRUE(ask(sql).starts_with("error")) << sql << "\n" << ask(sql);
  }
  EXPECT_EQ(ask("SELECT count(*) AS n FROM rawdata"), "n\n50000\n");
  EXPECT_EQ(ask("SELECT count(*) AS n FROM duckdb_tables()"), "n\n1\n");
  EXPECT_EQ(ask("SELECT current_setting('memory_limit') AS m"), "m\n256.0 MiB\n");
  EXPECT_FALSE(std::filesystem::exists(out));
  EXPECT_FALSE(std::filesystem::exists(root_ + "/other.db"));
}

// What costs most that SQL can cost: none of it keeps a commit out, none lasts longer than it may. One that
// doubles its memory in a single step may leave a commit none before it is stopped: that commit must fail
// with an error that a pipeline tries again, and the next ones must succeed; or, in the middle of a
// checkpoint, with one after which the pipeline's owner opens the store again (Host::processing_failed).
TEST_F(Query, HoldsUpNoCommitWhateverItCosts) {
  fill();
  std::atomic<bool> end{false};
  std::atomic<int> commits{0};
  std::atomic<bool> stopped{false};
  std::atomic<bool> given_up{false};
  std::string why;
  const auto write = [&] {
    auto connection = connect();
    while (!end && !stopped && !given_up) {
      for (const char* sql :
           {"BEGIN", "INSERT INTO rawdata SELECT range, random(), repeat('x', 500) FROM range(1000)",
            "COMMIT"}) {
        auto done = connection->execute(sql);
        if (done.ok()) {
          commits += std::string_view(sql) == "COMMIT" ? 1 : 0;
          continue;
        }
        if (!done.error().retryable && !host_->database().value()->check().ok()) {
          given_up = true;
        } else if (!done.error().retryable) {
          why = done.error().message;
          stopped = true;
        }
        static_cast<void>(connection->execute("ROLLBACK").ok());
        break;
      }
    }
  };
  std::thread writer(write);
  for (const char* sql : {
           "SELECT count(*) FROM range(10000000) a, range(10000000) b",
           "SELECT * FROM range(1000000000000)",
           "SELECT max(h) FROM (SELECT hash(range) AS h FROM range(1000000000) ORDER BY h)",
           "SELECT length(list(repeat('y', 100) || range)) FROM range(1000000000)",
           "SELECT length(string_agg(repeat('z', 1000), '')) FROM range(100000000)",
           "WITH RECURSIVE x AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM x) SELECT count(*) FROM x",
           "WITH RECURSIVE x AS (SELECT 1::HUGEINT AS i UNION SELECT i * 2 + r FROM x, range(2) t(r)) SELECT "
           "count(*) "
           "FROM x",
           "SELECT hash(range) AS h, count(*) FROM range(1000000000) GROUP BY h ORDER BY 2 LIMIT 1",
           "SELECT count(*) FROM (SELECT range, row_number() OVER (ORDER BY hash(range)) FROM "
           "range(1000000000))",
           "SELECT count(DISTINCT repeat('y', 200) || range) FROM range(1000000000)",
       }) {
    const int before = commits;
    EXPECT_THAT(ask(sql), ::testing::AnyOf(HasSubstr("query.timeout"), HasSubstr("query.memory"),
                                           HasSubstr("Out of Memory"), HasSubstr("max_temp_directory_size"),
                                           HasSubstr("Out of Range"), HasSubstr("invalidated")))
        << sql;
    // It goes on: the next commits are waited for.
    while (commits < before + 2 && !stopped && !given_up) std::this_thread::yield();
    if (given_up) {
      writer.join();
      open(kSolution);
      fill();
      given_up = false;
      writer = std::thread(write);
    }
    EXPECT_FALSE(stopped) << sql;
    if (stopped) break;
  }
  end = true;
  writer.join();
  EXPECT_EQ(why, "");
  EXPECT_EQ(abandoned_queries(), 0);
}

TEST_F(Query, IsLeftToItselfWhereNothingStopsIt) {
  // One call of a function on one huge value: DuckDB looks up only when it has returned.
  open("name: t\nevent: telemetry\nserve: duckdb\nquery: {timeout: 200ms}\n");
  EXPECT_THAT(ask("SELECT length(list_sort(list_transform(range(5000000), x -> hash(x))))"),
              ::testing::AnyOf(HasSubstr("query.timeout"), HasSubstr("query.memory"),
                               HasSubstr("Out of Memory"), HasSubstr("length")));
  while (abandoned_queries() > 0) std::this_thread::yield();
  EXPECT_EQ(ask("SELECT 1 AS one"), "one\n1\n");
}

}  // namespace
}  // namespace tidemill::solution
