#include "duck/duck.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "duck/api.h"

namespace tidemill::duck {
namespace {

using ::testing::HasSubstr;

std::shared_ptr<Database> memory() {
  auto database = Database::open(":memory:", {{"threads", "2"}});
  EXPECT_TRUE(database.ok()) << (database.ok() ? "" : database.error().message);
  return std::move(database).value();
}

class DuckTest : public ::testing::Test {
 protected:
  std::shared_ptr<Database> database_ = memory();
  std::unique_ptr<Connection> connection_ = database_->connect().value();

  std::unique_ptr<Rows> rows(const std::string& sql, const std::vector<Value>& values = {}) {
    auto result = connection_->query(sql, values);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error().message);
    return std::move(result).value();
  }
  // The first chunk of a query.
  std::unique_ptr<Rows> first(const std::string& sql, const std::vector<Value>& values = {}) {
    auto result = rows(sql, values);
    EXPECT_GT(result->next().value(), 0U);
    return result;
  }
  int64_t number(const std::string& sql, const std::vector<Value>& values = {}) {
    return first(sql, values)->integer(0, 0);
  }
  std::string shown(const std::string& expression) { return first("SELECT " + expression)->display(0, 0); }
  std::string type(const std::string& expression) { return rows("SELECT " + expression)->column_type(0); }
};

TEST_F(DuckTest, ReadsEveryKindOfValue) {
  auto row = first(
      "SELECT 42::TINYINT, -7::BIGINT, 4294967295::UINTEGER, 0.1::DOUBLE, 0.5::FLOAT, true, "
      "'short', 'a text that is longer than twelve bytes', NULL::VARCHAR, 18446744073709551615::UBIGINT");
  ASSERT_EQ(row->column_count(), 10U);
  EXPECT_EQ(row->integer(0, 0), 42);
  EXPECT_EQ(row->integer(1, 0), -7);
  EXPECT_EQ(row->integer(2, 0), 4294967295);
  EXPECT_EQ(row->real(3, 0), 0.1);
  EXPECT_EQ(row->real(4, 0), 0.5);
  EXPECT_TRUE(row->boolean(5, 0));
  EXPECT_EQ(row->text(6, 0), "short");
  EXPECT_EQ(row->text(7, 0), "a text that is longer than twelve bytes");
  EXPECT_FALSE(row->is_null(7, 0));
  EXPECT_TRUE(row->is_null(8, 0));
  EXPECT_EQ(static_cast<uint64_t>(row->integer(9, 0)), 18446744073709551615U);
  EXPECT_EQ(row->column_kind(0), Kind::kInteger);
  EXPECT_EQ(row->column_kind(3), Kind::kDouble);
  EXPECT_EQ(row->column_kind(5), Kind::kBoolean);
  EXPECT_EQ(row->column_kind(6), Kind::kText);
}

TEST_F(DuckTest, TimestampsOfEveryPrecisionAreMicroseconds) {
  constexpr int64_t kSecond = 1'700'000'000;
  auto row = first(
      "SELECT '2023-11-14 22:13:20.000001'::TIMESTAMP, '2023-11-14 22:13:20'::TIMESTAMP_S, "
      "'2023-11-14 22:13:20.001'::TIMESTAMP_MS, '2023-11-14 22:13:20.000001999'::TIMESTAMP_NS, "
      "'2023-11-15 00:13:20+02'::TIMESTAMPTZ, '1969-12-31 23:59:59.999999999'::TIMESTAMP_NS");
  for (size_t i = 0; i < row->column_count(); ++i) EXPECT_EQ(row->column_kind(i), Kind::kTimestamp);
  EXPECT_EQ(row->integer(0, 0), kSecond * 1'000'000 + 1);
  EXPECT_EQ(row->integer(1, 0), kSecond * 1'000'000);
  EXPECT_EQ(row->integer(2, 0), kSecond * 1'000'000 + 1000);
  EXPECT_EQ(row->integer(3, 0), kSecond * 1'000'000 + 1);
  EXPECT_EQ(row->integer(4, 0), kSecond * 1'000'000);
  EXPECT_EQ(row->integer(5, 0), -1);
}

TEST_F(DuckTest, BlobsAreReadAsBytesAndShownAsText) {
  auto row = first("SELECT '\\x00\\xFFa'::BLOB");
  EXPECT_EQ(row->column_kind(0), Kind::kOther);
  EXPECT_EQ(row->text(0, 0), std::string_view("\x00\xFF"
                                              "a",
                                              3));
  EXPECT_EQ(row->display(0, 0), "\\x00\\xFFa");
}

TEST_F(DuckTest, TypesAreNamedAsInSql) {
  EXPECT_EQ(type("{'a': 1.5::DOUBLE, 'b c': ['x']}"), "STRUCT(a DOUBLE, \"b c\" VARCHAR[])");
  EXPECT_EQ(type("1.25::DECIMAL(18,3)"), "DECIMAL(18,3)");
  EXPECT_EQ(type("MAP {'k': 1::SMALLINT}"), "MAP(VARCHAR, SMALLINT)");
  EXPECT_EQ(type("'a'::ENUM('a', 'it''s')"), "ENUM('a', 'it''s')");
  EXPECT_EQ(type("[1, 2]::INTEGER[2]"), "INTEGER[2]");
  EXPECT_EQ(type("union_value(n := 1::BIGINT)"), "UNION(n BIGINT)");
  EXPECT_EQ(type("'{}'::JSON"), "JSON");
  EXPECT_EQ(type("now()"), "TIMESTAMP WITH TIME ZONE");
  EXPECT_EQ(type("uuid()"), "UUID");
}

TEST_F(DuckTest, EveryTypeNameIsSqlThatNamesTheSameType) {
  for (const char* expression :
       {"{'a': {'b \" c': [MAP {'k': 1::HUGEINT}]}}", "'x'::ENUM('x','it''s')", "[[1.5::DECIMAL(9,2)]]",
        "now()", "TIME '10:00'", "INTERVAL 1 DAY", "'1'::BIT", "1::UHUGEINT", "DATE '2020-01-01'"}) {
    std::string name = type(expression);
    EXPECT_EQ(type("NULL::" + name), name) << expression;
  }
}

// What DuckDB itself casts is the model.
TEST_F(DuckTest, DisplaysWhatDuckDbsCastToTextGives) {
  for (const char* expression : {"true",
                                 "(-128)::TINYINT",
                                 "300::SMALLINT",
                                 "70000::INTEGER",
                                 "9223372036854775807",
                                 "255::UTINYINT",
                                 "65535::USMALLINT",
                                 "4294967295::UINTEGER",
                                 "18446744073709551615::UBIGINT",
                                 "-170141183460469231731687303715884105727::HUGEINT",
                                 "340282366920938463463374607431768211455::UHUGEINT",
                                 "123456789012345678901234567890123456789012::BIGNUM",
                                 "(-123456789012345678901234567890)::BIGNUM",
                                 "1.5::FLOAT",
                                 "0.1::DOUBLE",
                                 "'nan'::DOUBLE",
                                 "1e300",
                                 "-1.25::DECIMAL(4,2)",
                                 "-1.250::DECIMAL(9,3)",
                                 "-1.25::DECIMAL(18,2)",
                                 "-1.25::DECIMAL(38,2)",
                                 "DATE '1999-12-31'",
                                 "TIME '10:11:12.5'",
                                 "TIMESTAMP '2020-01-02 03:04:05.678901'",
                                 "'2020-01-02 03:04:05'::TIMESTAMP_S",
                                 "'2020-01-02 03:04:05.25'::TIMESTAMP_MS",
                                 "'2020-01-02 03:04:05.123456789'::TIMESTAMP_NS",
                                 "'infinity'::TIMESTAMP",
                                 "TIMESTAMPTZ '2020-01-02 03:04:05+01'",
                                 "'10:00:00+02'::TIMETZ",
                                 "INTERVAL '1 year 2 days 3 seconds'",
                                 "'it''s'",
                                 "'\\xAA\\x00'::BLOB",
                                 "'0010110'::BIT",
                                 "'0c7a1f3e-3c4b-4ff2-a1b2-9d8e7f6a5b4c'::UUID",
                                 "'fc7a1f3e-3c4b-4ff2-a1b2-9d8e7f6a5b4c'::UUID",
                                 "'b'::ENUM('a','b')",
                                 "[1, NULL, 3]",
                                 "[]::INTEGER[]",
                                 "[[1], [2, 3]]",
                                 "[1, 2]::INTEGER[2]",
                                 "{'a': 1, 'b': NULL, 'c': {'d': 'x, y'}}",
                                 "MAP {'k': [1], 'l': NULL}",
                                 "'{\"a\": 1}'::JSON",
                                 "union_value(n := 5)",
                                 "MAP {}::MAP(VARCHAR, INTEGER)",
                                 "[{'a': DATE '2020-01-01'}]",
                                 "'a text that is longer than twelve bytes'"}) {
    std::string cast = std::string(first("SELECT (" + std::string(expression) + ")::VARCHAR")->text(0, 0));
    EXPECT_EQ(shown(expression), cast) << expression;
  }
  EXPECT_EQ(shown("NULL::STRUCT(a INTEGER)"), "NULL");
}

TEST_F(DuckTest, NestedValuesOfLaterRowsAreFound) {
  auto row =
      first("SELECT [i, i + 1], {'a': i, 'l': [i]}, MAP {i: 'v'}, [i, i]::BIGINT[2] FROM range(5) t(i)");
  EXPECT_EQ(row->display(0, 3), "[3, 4]");
  EXPECT_EQ(row->display(1, 4), "{'a': 4, 'l': [4]}");
  EXPECT_EQ(row->display(2, 2), "{2=v}");
  EXPECT_EQ(row->display(3, 1), "[1, 1]");
}

TEST_F(DuckTest, EveryValueHasAFormInJson) {
  auto json = [&](const std::string& expression) {
    std::string out;
    first("SELECT " + expression)->append_json(0, 0, &out);
    return out;
  };
  for (const auto& [expression, expected] : std::vector<std::pair<std::string, std::string>>{
           {"NULL", "null"},
           {"true", "true"},
           {"9223372036854775807", "9223372036854775807"},
           {"18446744073709551615::UBIGINT", "18446744073709551615"},
           {"sum(i) FROM range(4) t(i)", "6"},  // a HUGEINT
           {"-1.25::DECIMAL(38,2)", "-1.25"},
           {"63.09999999999999::DOUBLE", "63.09999999999999"},
           {"'-0.0'::DOUBLE", "-0.0"},
           {"5e-324::DOUBLE", "5e-324"},
           {"1.7976931348623157e308::DOUBLE", "1.7976931348623157e+308"},
           {"1e16::DOUBLE", "1e+16"},
           {"0.1::FLOAT", "0.1"},
           {"'nan'::DOUBLE", "\"nan\""},
           {"'-inf'::FLOAT", "\"-inf\""},
           {"'a\"b' || chr(10)", "\"a\\\"b\\n\""},
           {"TIMESTAMP '2020-01-02 03:04:05.678901'", "\"2020-01-02 03:04:05.678901\""},
           {"'b'::ENUM('a','b')", "\"b\""},
           {"{'a': 1, 'b c': NULL, 'c': {'d': [0.1, 'nan'::DOUBLE]}}",
            "{\"a\":1,\"b c\":null,\"c\":{\"d\":[0.1,\"nan\"]}}"},
           {"[[1], [], NULL, [2, 3]]", "[[1],[],null,[2,3]]"},
           {"[1, 2]::INTEGER[2]", "[1,2]"},
           {"MAP {'k': [1], 'l': NULL}", "{\"k\":[1],\"l\":null}"},
           {"MAP {7: 'x'}", "{\"7\":\"x\"}"},
           {"union_value(n := 5)", "5"},
           {"('{\"a\":' || chr(10) || '[1]}')::JSON", "{\"a\": [1]}"},
           {"'{\"a\": 1}'", "\"{\\\"a\\\": 1}\""},
       }) {
    EXPECT_EQ(json(expression), expected) << expression;
  }
  // Of a later row, and of a later row inside of it.
  auto row =
      first("SELECT [i, i + 1], {'a': i, 'l': [i]}, MAP {i: 'v'}, [i, i]::BIGINT[2] FROM range(5) t(i)");
  std::string out;
  for (size_t column = 0; column < 4; ++column) row->append_json(column, 3, &out);
  EXPECT_EQ(out, "[3,4]{\"a\":3,\"l\":[3]}{\"3\":\"v\"}[3,3]");
}

TEST_F(DuckTest, BindsValuesOfEveryKind) {
  Value truth;
  truth.kind = Kind::kBoolean;
  truth.integer = 1;
  auto row = first("SELECT $1, $2, $3, $4, $5, $6::TIMESTAMPTZ, $7",
                   {Value::of(int64_t{-5}), Value::of(0.1), Value::of(std::string("a\0b", 3)),
                    Value::timestamp(1'700'000'000'000'001), Value::null(), Value::timestamp(5), truth});
  EXPECT_EQ(row->integer(0, 0), -5);
  EXPECT_EQ(row->real(1, 0), 0.1);
  EXPECT_EQ(row->text(2, 0), std::string_view("a\0b", 3));
  EXPECT_EQ(row->integer(3, 0), 1'700'000'000'000'001);
  EXPECT_TRUE(row->is_null(4, 0));
  EXPECT_EQ(row->integer(5, 0), 5);
  EXPECT_TRUE(row->boolean(6, 0));
}

TEST_F(DuckTest, AStatementThatIsExecutedAgainSeesTheTableAsItIsNow) {
  ASSERT_TRUE(connection_->execute("CREATE TABLE t (i INTEGER, n BIGINT)").ok());
  const std::string insert = "INSERT INTO t BY NAME SELECT ? AS i, ? AS n";
  const int64_t large = int64_t{1} << 40;
  ASSERT_TRUE(connection_->execute(insert, {Value::of(int64_t{1}), Value::of(large)}).ok());
  EXPECT_FALSE(connection_->execute(insert, {Value::of(large), Value::of(large)}).ok()) << "no INTEGER";
  ASSERT_TRUE(connection_->execute(insert, {Value(), Value::of(int64_t{2})}).ok());
  ASSERT_TRUE(connection_->execute("ALTER TABLE t ADD COLUMN more VARCHAR DEFAULT 'x'").ok());
  ASSERT_TRUE(connection_->execute(insert, {Value::of(int64_t{3}), Value::of(int64_t{3})}).ok());
  ASSERT_TRUE(connection_->execute("BEGIN").ok());
  EXPECT_EQ(
      connection_->execute("UPDATE t SET n = n + ? WHERE i = ?", {Value::of(large), Value::of(int64_t{3})})
          .value(),
      1);
  EXPECT_EQ(
      connection_->execute("UPDATE t SET n = n + ? WHERE i = ?", {Value::of(large), Value::of(int64_t{4})})
          .value(),
      0);
  ASSERT_TRUE(connection_->execute("ROLLBACK").ok());
  EXPECT_EQ(
      connection_->execute("UPDATE t SET n = n + ? WHERE i = ?", {Value::of(large), Value::of(int64_t{1})})
          .value(),
      1);
  auto row = first("SELECT sum(n)::BIGINT, count(more), count(i) FROM t");
  EXPECT_EQ(row->integer(0, 0), 2 * large + 5);
  EXPECT_EQ(row->integer(1, 0), 3);
  EXPECT_EQ(row->integer(2, 0), 2);
}

TEST_F(DuckTest, AWrongNumberOfValuesIsAnError) {
  EXPECT_THAT(connection_->query("SELECT ?", {}).error().message, HasSubstr("1 parameters, but 0 values"));
}

TEST_F(DuckTest, ExecutesSeveralStatementsAndCountsTheLastOnesRows) {
  auto changed = connection_->execute("CREATE TABLE t(a BIGINT); INSERT INTO t VALUES (1), (2), (?)",
                                      {Value::of(int64_t{3})});
  ASSERT_TRUE(changed.ok()) << changed.error().message;
  EXPECT_EQ(changed.value(), 3);
  EXPECT_EQ(connection_->execute("UPDATE t SET a = 9 WHERE a > ?", {Value::of(int64_t{1})}).value(), 2);
  EXPECT_EQ(number("INSERT INTO t VALUES (7); SELECT count(*) FROM t"), 4);
}

TEST_F(DuckTest, ErrorsTellWhoCanDoSomething) {
  auto parser = connection_->query("SELEC 1");
  EXPECT_EQ(parser.error().domain, Domain::kUser);
  EXPECT_THAT(parser.error().message, HasSubstr("syntax error"));
  auto missing = connection_->query("SELECT * FROM nowhere");
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_THAT(missing.error().message, HasSubstr("nowhere"));
  EXPECT_EQ(connection_->query("").error().domain, Domain::kUser);
  ASSERT_TRUE(connection_->execute("CREATE TABLE t(a BIGINT PRIMARY KEY); INSERT INTO t VALUES (1)").ok());
  EXPECT_EQ(connection_->execute("INSERT INTO t VALUES (1)").error().code, Code::kExists);
  EXPECT_EQ(connection_->execute("CREATE TABLE t(a BIGINT)").error().code, Code::kExists);
}

TEST_F(DuckTest, AConflictOfTransactionsMayBeRetried) {
  ASSERT_TRUE(connection_->execute("CREATE TABLE t AS SELECT 1 AS a").ok());
  auto other = database_->connect().value();
  ASSERT_TRUE(connection_->execute("BEGIN; UPDATE t SET a = 2").ok());
  auto conflict = other->execute("UPDATE t SET a = 3");
  ASSERT_FALSE(conflict.ok());
  EXPECT_TRUE(conflict.error().retryable) << conflict.error().message;
}

TEST_F(DuckTest, AnErrorInTheMiddleOfAResultIsReported) {
  auto result = rows("SELECT CASE WHEN i = 900000 THEN error('planted') ELSE i END FROM range(1000000) t(i)");
  for (;;) {
    auto count = result->next();
    if (!count.ok()) {
      EXPECT_THAT(count.error().message, HasSubstr("planted"));
      break;
    }
    ASSERT_GT(count.value(), 0U) << "the result ended as if it were complete";
  }
  EXPECT_EQ(result->next().value(), 0U);
}

TEST_F(DuckTest, ResultsAreStreamed) {
  ASSERT_TRUE(connection_->execute("SET memory_limit = '64MB'").ok());
  // 100 million rows of 8 bytes would be 800 MB.
  auto result = rows("SELECT i FROM range(100000000) t(i)");
  int64_t expected = 0;
  for (size_t chunks = 0; chunks < 1000; ++chunks) {
    size_t count = result->next().value();
    ASSERT_GT(count, 0U);
    ASSERT_EQ(result->integer(0, 0), expected);
    expected += static_cast<int64_t>(count);
  }
}

TEST_F(DuckTest, InterruptConcurrentlyStopsAQuery) {
  std::thread interrupter;
  auto slow = connection_->query("SELECT count(*) FROM range(10) t(i)");
  ASSERT_TRUE(slow.ok());
  std::atomic<bool> done{false};
  // Again and again, since an interrupt that comes before the query starts is forgotten.
  interrupter = std::thread([&] {
    while (!done.load()) {
      connection_->interrupt();
      std::this_thread::yield();
    }
  });
  auto stopped =
      connection_->execute("SELECT sum(a.i * b.i) FROM range(10000000) a(i), range(10000000) b(i)");
  done = true;
  interrupter.join();
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().code, Code::kStopped) << stopped.error().message;
}

TEST_F(DuckTest, RowsMayOutliveTheConnectionAndTheDatabase) {
  auto result = rows("SELECT i FROM range(10000) t(i)");
  connection_.reset();
  database_.reset();
  size_t total = 0;
  while (size_t count = result->next().value()) total += count;
  EXPECT_EQ(total, 10000U);
}

TEST_F(DuckTest, ANewStatementEndsTheRowsBeingRead) {
  auto result = rows("SELECT i FROM range(10000000) t(i)");
  ASSERT_GT(result->next().value(), 0U);
  ASSERT_TRUE(connection_->execute("SELECT 1").ok());
  auto more = result->next();
  while (more.ok() && more.value() > 0) more = result->next();
  EXPECT_FALSE(more.ok()) << "a cut result must not look complete";
}

TEST_F(DuckTest, SqlTimesAreUtcWhateverTheMachinesZone) {
  EXPECT_EQ(first("SELECT TIMESTAMPTZ '2020-07-01 00:00:00+00'::VARCHAR")->text(0, 0),
            "2020-07-01 00:00:00+00");
}

class AppenderTest : public DuckTest {
 protected:
  // Fills a chunk of (n BIGINT, s VARCHAR) with `count` rows from `from`; every third text is NULL.
  static void fill(Appender& appender, int64_t from, size_t count) {
    duckdb_data_chunk chunk = appender.chunk();
    duckdb_vector numbers = api().data_chunk_get_vector(chunk, 0);
    duckdb_vector texts = api().data_chunk_get_vector(chunk, 1);
    auto* number = static_cast<int64_t*>(api().vector_get_data(numbers));
    api().vector_ensure_validity_writable(texts);
    uint64_t* valid = api().vector_get_validity(texts);
    for (size_t i = 0; i < count; ++i) {
      number[i] = from + static_cast<int64_t>(i);
      std::string text = "a text of row " + std::to_string(number[i]);
      if (number[i] % 3 == 0) {
        valid[i / 64] &= ~(uint64_t{1} << (i % 64));
      } else {
        api().vector_assign_string_element_len(texts, i, text.data(), text.size());
      }
    }
    api().data_chunk_set_size(chunk, count);
  }

  void SetUp() override { ASSERT_TRUE(connection_->execute("CREATE TABLE t(n BIGINT, s VARCHAR)").ok()); }
};

TEST_F(AppenderTest, AppendsChunkAfterChunkInTheConnectionsTransaction) {
  ASSERT_TRUE(connection_->execute("BEGIN").ok());
  auto appender = connection_->appender("t").value();
  int64_t next = 0;
  for (size_t count : {appender->vector_size(), size_t{1}, size_t{100}}) {
    fill(*appender, next, count);
    ASSERT_TRUE(appender->append_chunk().ok());
    next += static_cast<int64_t>(count);
  }
  ASSERT_TRUE(appender->flush().ok());
  auto other = database_->connect().value();
  auto before = other->query("SELECT count(*) FROM t").value();
  ASSERT_EQ(before->next().value(), 1U);
  EXPECT_EQ(before->integer(0, 0), 0);
  ASSERT_TRUE(connection_->execute("COMMIT").ok());
  EXPECT_EQ(number("SELECT count(*) FROM t"), next);
  EXPECT_EQ(number("SELECT count(*) FROM t WHERE s = 'a text of row ' || n"), next - (next + 2) / 3);
}

TEST_F(AppenderTest, WhatWasNotFlushedIsDropped) {
  auto appender = connection_->appender("t").value();
  fill(*appender, 0, 10);
  ASSERT_TRUE(appender->append_chunk().ok());
  appender.reset();
  EXPECT_EQ(number("SELECT count(*) FROM t"), 0);
}

TEST_F(AppenderTest, AMissingTableIsAnErrorThatNamesIt) {
  auto missing = connection_->appender("nowhere");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, Code::kNotFound) << missing.error().message;
  EXPECT_THAT(missing.error().message, HasSubstr("nowhere"));
}

TEST_F(AppenderTest, ABrokenConstraintIsReportedAtTheLatestByFlush) {
  ASSERT_TRUE(
      connection_->execute("CREATE TABLE k(n BIGINT PRIMARY KEY, s VARCHAR); INSERT INTO k VALUES (5, '')")
          .ok());
  auto appender = connection_->appender("k").value();
  fill(*appender, 0, 10);
  Status status = appender->append_chunk();
  if (status.ok()) status = appender->flush();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, Code::kExists) << status.error().message;
}

class FileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "duck_test_XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/events.duckdb";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
  std::string path_;
};

TEST_F(FileTest, CommittedRowsAreThereAfterReopening) {
  {
    auto database = Database::open(path_).value();
    ASSERT_TRUE(database->connect().value()->execute("CREATE TABLE t AS SELECT 7::BIGINT AS a").ok());
  }
  auto database = Database::open(path_, {{"access_mode", "READ_ONLY"}}).value();
  auto result = database->connect().value()->query("SELECT a FROM t").value();
  ASSERT_EQ(result->next().value(), 1U);
  EXPECT_EQ(result->integer(0, 0), 7);
}

TEST_F(FileTest, ASecondOpenInThisProcessIsAnErrorUntilTheFirstIsClosed) {
  auto database = Database::open(path_).value();
  auto connection = database->connect().value();
  auto second = Database::open(folder_ + "/../" + std::filesystem::path(folder_).filename().string() +
                               "/events.duckdb");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, Code::kExists);
  database.reset();
  EXPECT_FALSE(Database::open(path_).ok()) << "a connection keeps the database open";
  connection.reset();
  EXPECT_TRUE(Database::open(path_).ok());
}

TEST_F(FileTest, AnotherProcessThatHoldsTheFileIsNamed) {
  ASSERT_TRUE(Database::open(path_).ok());
  // DuckDB in a forked child is not safe: the child only holds the lock that DuckDB looks for.
  int ready[2];
  int release[2];
  ASSERT_EQ(pipe(ready), 0);
  ASSERT_EQ(pipe(release), 0);
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    close(release[1]);
    int file = ::open(path_.c_str(), O_RDWR);
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    char done = fcntl(file, F_SETLK, &lock) == 0 ? 'y' : 'n';
    if (write(ready[1], &done, 1) != 1 || read(release[0], &done, 1) < 0) _exit(1);
    _exit(0);
  }
  char locked = 0;
  ASSERT_EQ(read(ready[0], &locked, 1), 1);
  ASSERT_EQ(locked, 'y');
  auto held = Database::open(path_);
  close(release[1]);
  int status = 0;
  waitpid(child, &status, 0);
  for (int fd : {ready[0], ready[1], release[0]}) close(fd);
  ASSERT_FALSE(held.ok());
  EXPECT_EQ(held.error().domain, Domain::kExternal);
  EXPECT_TRUE(held.error().retryable);
  EXPECT_THAT(held.error().message, HasSubstr(path_));
  EXPECT_THAT(held.error().message, HasSubstr(std::to_string(child)));
  EXPECT_TRUE(Database::open(path_).ok()) << "the failed open must leave nothing behind";
}

TEST_F(FileTest, AMissingFolderAndAnUnknownSettingAreErrors) {
  auto missing = Database::open(folder_ + "/no/such/folder/x.duckdb");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().message, HasSubstr("no/such/folder"));
  auto setting = Database::open(path_, {{"no_such_setting", "1"}});
  ASSERT_FALSE(setting.ok());
  EXPECT_THAT(setting.error().message, HasSubstr("no_such_setting"));
}

TEST(LibraryTest, AnExplicitPathIsTheOnlyCandidate) {
  ASSERT_EQ(setenv("TIDEMILL_DUCKDB", "/no/such/libduckdb.so", 1), 0);
  EXPECT_EQ(library_candidates(), std::vector<std::string>{"/no/such/libduckdb.so"});
  ASSERT_EQ(unsetenv("TIDEMILL_DUCKDB"), 0);
  EXPECT_GT(library_candidates().size(), 2U);
  EXPECT_EQ(library_candidates().back(), "libduckdb.so");
}

TEST(LibraryDeathTest, AMissingLibraryIsAnErrorThatSaysWhatToSet) {
  // In a new process, since this one may have loaded the library.
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        static_cast<void>(setenv("TIDEMILL_DUCKDB", "/no/such/libduckdb.so", 1));
        auto database = Database::open(":memory:");
        if (!database.ok()) std::fprintf(stderr, "%s\n", database.error().message.c_str());
        std::exit(database.ok() ? 0 : 3);
      },
      ::testing::ExitedWithCode(3), "set TIDEMILL_DUCKDB.*\n.*/no/such/libduckdb.so: ");
}

}  // namespace
}  // namespace tidemill::duck
