// The contract of a sink (pipeline/testing), on a server: TIDEMILL_POSTGRES says where (postgres.py starts
// one).
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <random>
#include <thread>

#include "base/clock.h"
#include "base/steps.h"
#include "pg/connection.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "serve/postgres_sink.h"

namespace tidemill {
namespace {

using namespace pipeline::testing;
using serve::PostgresMode;
using serve::PostgresNested;

pg::Options server() {
  pg::Options options;
  const char* url = std::getenv("TIDEMILL_POSTGRES");
  options.connection = url == nullptr ? "" : url;
  return options;
}

std::unique_ptr<pg::Connection> connect() {
  return pg::Connection::open(server()).value();
}
std::string value_of(const std::string& sql) {
  auto answer = connect()->execute(sql);
  EXPECT_TRUE(answer.ok()) << sql << ": " << answer.error().message;
  return answer.ok() && answer->rows() > 0 ? std::string(answer->text(0, 0)) : "";
}
void run(const std::string& sql) {
  auto done = connect()->execute(sql);
  ASSERT_TRUE(done.ok()) << sql << ": " << done.error().message;
}

struct PostgresStore {
  explicit PostgresStore(std::string table = "events") {
    options.connection = server();
    options.pipeline = "pipe";
    options.source = "test";
    options.table.table = std::move(table);
    options.table.stored_at = "storedAt";
    sut.clear = [this]() -> Status {
      return connect()
                     ->execute("DROP TABLE IF EXISTS tidemill_positions, " + name() + ", " +
                               name("_dead_letters"))
                     .ok()
                 ? Status()
                 : Status(internal_error("not cleared"));
    };
    sut.open = [this]() -> Result<std::unique_ptr<pipeline::Sink>> {
      return std::unique_ptr<pipeline::Sink>(std::make_unique<serve::PostgresSink>(Clock::system(), options));
    };
    sut.read = sut.read_live = [this] { return read(); };
    sut.steps = {"postgres.begin", "postgres.rows.copied", "postgres.positions.updated",
                 "postgres.committed"};
    sut.ordered = false;
    EXPECT_TRUE(sut.clear().ok());
  }
  std::string name(const char* suffix = "") const {
    return pg::quote_identifier(options.table.table + suffix);
  }
  Result<StoredContents> read() {
    StoredContents stored;
    auto connection = connect();
    TM_ASSIGN(auto rows, connection->execute("SELECT id FROM " + name()));
    for (size_t i = 0; i < rows.rows(); ++i) stored.rows.push_back(*parse_harness_id(rows.text(i, 0)));
    TM_ASSIGN(auto letters, connection->execute("SELECT \"partition\", \"offset\", reason, encode(\"value\", "
                                                "'hex'), topic, \"key\" FROM " +
                                                name("_dead_letters")));
    for (size_t i = 0; i < letters.rows(); ++i) {
      std::string bytes;
      for (std::string hex(letters.text(i, 3)); hex.size() >= 2; hex.erase(0, 2))
        bytes += static_cast<char>(std::stoi(hex.substr(0, 2), nullptr, 16));
      EXPECT_EQ(letters.text(i, 4), kHarnessTopic);
      stored.dead_letters.push_back(
          {{Partition(static_cast<int32_t>(letters.integer(i, 0))), Offset(letters.integer(i, 1))},
           std::string(letters.text(i, 2)),
           bytes});
    }
    return stored;
  }
  std::string prepare_error(const Schema& schema = harness_schema()) {
    Status status = sut.open().value()->prepare(schema);
    return status.ok() ? "" : status.error().message;
  }

  serve::PostgresSinkOptions options;
  SinkUnderTest sut;
};

// First, while the process has one thread: it forks.
TEST(PostgresSink, StoresAllOrNothingWhereverItIsKilled) {
  PostgresStore store;
  Status status = check_kills(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(PostgresSink, PassesTheHarness) {
  PostgresStore store;
  Status status = check_sink(store.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(PostgresSink, PassesTheHarnessByKey) {
  for (PostgresMode mode : {PostgresMode::kUpsert, PostgresMode::kInsertNew}) {
    PostgresStore store("a \"quoted\" table; --");
    store.options.table.mode = mode;
    store.options.table.key = {"id"};
    store.options.table.nested = PostgresNested::kColumns;
    store.options.table.partitions = mode == PostgresMode::kUpsert ? 3 : 0;
    store.options.table.partition_by = "id";
    store.options.table.indexes = {"n desc, text"};
    store.sut.max_records = 2'100;
    Status status = check_sink(store.sut, 2);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
}

// The harness's events, and what PostgreSQL says of one of them.
TEST(PostgresSink, StoresEveryTypeAsItIs) {
  PostgresStore store;
  auto sink = store.sut.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({0, 1, 2}, model).ok());
  FilledEpoch epoch = session.fill({0}, 60, model).value();
  ASSERT_TRUE(session.commit(epoch).ok());
  EXPECT_EQ(value_of("SELECT concat_ws('|', n, small, ratio, flag, at, \"text\", \"any\", nested->>'a', "
                     "nested#>>'{deep,b}', \"processedAt\") FROM events WHERE id = '0/101'"),
            "9223372036854775706|-101|0.00980392156862745|f|2023-11-14 22:13:20.000101+00|Grüße, 水車 🌊|\"a "
            "\\\"string\\\"\"|0.9803921568627451|202|2023-11-14 22:13:21.000101+00");
  EXPECT_EQ(value_of("SELECT count(*) FROM events WHERE abs(extract(epoch FROM now() - \"storedAt\")) < 60"),
            std::to_string(epoch.rows.size()));
  // A NUL in a text is the only thing in them that PostgreSQL cannot hold.
  EXPECT_EQ(value_of("SELECT DISTINCT reason FROM events_dead_letters WHERE reason LIKE 'text:%'"),
            "text: holds U+0000, which PostgreSQL cannot hold in a text");
}

// A batch of one column of text, one row for each of the values; what comes of them is given back.
std::vector<std::string> reasons_of(PostgresStore& store, Type type, const std::vector<std::string>& values) {
  Schema schema;
  schema.fields.push_back({"id", {"id"}, Type::kBigint, false});
  schema.fields.push_back({"v", {"v"}, type, true});
  auto sink = store.sut.open().value();
  Status prepared = sink->prepare(schema);
  EXPECT_TRUE(prepared.ok()) << prepared.error().message;
  auto writer = sink->open_writer(0).value();
  const TopicPartition source{"t", Partition(0)};
  std::vector<pipeline::Committed> held = writer->acquire(std::vector{source}).value();
  auto batch = std::make_unique<Batch>();
  batch->source = source;
  std::vector<Record> records(values.size());
  Column ids("id", Type::kBigint), column("v", type);
  const int64_t first = held[0].position ? held[0].position->offset.value() : 0;
  for (size_t i = 0; i < values.size(); ++i) {
    records[i].offset = Offset(first + static_cast<int64_t>(i));
    ids.append_int64(records[i].offset.value());
    if (column.is_text()) column.append_text(values[i]);
    if (type == Type::kDouble) column.append_double(std::strtod(values[i].c_str(), nullptr));
    if (type == Type::kBigint || type == Type::kTimestamp) column.append_int64(std::stoll(values[i]));
  }
  batch->set_records(std::move(records), nullptr);
  batch->columns.push_back(std::move(ids));
  batch->columns.push_back(std::move(column));
  batch->select_all();
  sink->screen(*batch);
  std::vector<std::string> reasons(values.size());
  for (const DeadLetter& letter : batch->dead_letters)
    reasons[static_cast<size_t>(letter.offset.value() - first)] = letter.reason;
  auto output = writer->begin().value();
  EXPECT_TRUE(output->write(batch).ok());
  pipeline::CommitRequest request;
  request.partitions.push_back({source,
                                held[0].epoch.next(),
                                held[0].owner,
                                held[0].position,
                                Position{Offset(first + static_cast<int64_t>(values.size())), LeaderEpoch(0)},
                                {},
                                {}});
  Status committed = writer->commit(*output, request);
  EXPECT_TRUE(committed.ok()) << committed.error().message;
  return reasons;
}

// What the screen lets pass must be taken by the server, and what it does not must not be.
TEST(PostgresSink, PutsWhatCannotBeHeldIntoTheDeadLetters) {
  PostgresStore store;
  const std::vector<std::string> json = {R"({"a":"\u0000"})",
                                         R"({"a\u0000":1})",
                                         R"({"a":"\\u0000"})",
                                         R"(["\ud83c\udf0a"])",
                                         "1e400",
                                         "1e131071",
                                         "1e131072",
                                         "1e-16383",
                                         "1e-16384",
                                         "-0.0E+2",
                                         std::string(60, '[') + std::string(60, ']'),
                                         "\"" + std::string(3 << 20, 'x') + "\""};
  const std::vector<std::string> reasons = reasons_of(store, Type::kJson, json);
  for (size_t i = 0; i < json.size(); ++i) {
    auto cast = connect()->execute("SELECT " + pg::quote_literal(json[i]) + "::jsonb");
    EXPECT_EQ(cast.ok(), reasons[i].empty()) << json[i].substr(0, 40) << ": " << reasons[i];
  }
  store.sut.clear().ok();
  store.options.table.types = {{"v", "varchar(3)"}};
  EXPECT_EQ(reasons_of(store, Type::kVarchar, {"水車🌊", "four", ""}),
            (std::vector<std::string>{"", "v: is longer than varchar(3)", ""}));
  store.sut.clear().ok();
  store.options.table.types = {{"v", "uuid"}};
  EXPECT_EQ(reasons_of(store, Type::kVarchar, {"A0EEBC99-9c0b-4ef8-bb6d-6bb9bd380a11", "", "a0eebc99"}),
            (std::vector<std::string>{"", "v: is no uuid", "v: is no uuid"}));
  store.sut.clear().ok();
  store.options.table.types = {{"v", "smallint"}};
  EXPECT_EQ(reasons_of(store, Type::kBigint, {"-32768", "32768"}),
            (std::vector<std::string>{"", "v: 32768 is out of the range of smallint"}));
  store.sut.clear().ok();
  store.options.table.types.clear();
  EXPECT_EQ(reasons_of(store, Type::kTimestamp,
                       {"0", std::to_string(std::numeric_limits<int64_t>::min()),
                        std::to_string(std::numeric_limits<int64_t>::max())}),
            (std::vector<std::string>{"", "v: is beyond PostgreSQL's timestamps", ""}));
  store.sut.clear().ok();
  store.options.table.indexes = {"v"};
  // What does not compress, so that the index refuses it.
  EXPECT_EQ(reasons_of(store, Type::kVarchar, {std::string(2600, 'x'), std::string(2601, 'x')})[1],
            "v: 2601 bytes are too long for an index of table events");
}

// Values of a field in a column of another type: what the server makes of them is stored, and what it refuses
// is held back.
void expect_as_cast(PostgresStore& store, Type type, const std::string& column,
                    const std::vector<std::string>& values) {
  store.sut.clear().ok();
  run("CREATE TABLE events (id bigint NOT NULL, v " + column + ", \"storedAt\" timestamptz)");
  const std::vector<std::string> reasons = reasons_of(store, type, values);
  auto connection = connect();
  for (size_t i = 0; i < values.size(); ++i) {
    const std::string from = type == Type::kDouble && column == "real" ? "::float8" : "";
    auto cast =
        connection->execute("SELECT (" + pg::quote_literal(values[i]) + from + "::" + column + ")::text");
    EXPECT_EQ(cast.ok(), reasons[i].empty()) << values[i] << " as " << column << ": " << reasons[i];
    auto is = connection->execute("SELECT v::text FROM events WHERE id = " + std::to_string(i));
    ASSERT_TRUE(is.ok());
    ASSERT_EQ(is->rows(), reasons[i].empty() ? 1u : 0u) << values[i];
    if (cast.ok() && is->rows() == 1) {
      EXPECT_EQ(is->text(0, 0), cast->text(0, 0)) << values[i] << " as " << column;
    }
  }
}

TEST(PostgresSink, WritesNumbersIntoNumericAndReal) {
  PostgresStore store;
  std::vector<std::string> reals = {"0",
                                    "1",
                                    "-1",
                                    "0.1",
                                    "63.09999999999999",
                                    "10000",
                                    "9999.9999",
                                    "0.0001",
                                    "99.995",
                                    "999.995",
                                    "-999.995",
                                    "999.994",
                                    "0.005",
                                    "0.0049",
                                    "-0.004",
                                    "0.05",
                                    "1e+22",
                                    "123456789.12345679",
                                    "1e-07",
                                    "1.7976931348623157e+308",
                                    "5e-324",
                                    "3.4028235e+38",
                                    "3.5e+38",
                                    "1e-46",
                                    "1e-45",
                                    "NaN"};
  std::mt19937_64 chance(7);
  for (int i = 0; i < 200; ++i) {
    char text[32];
    const double value = std::ldexp(static_cast<double>(static_cast<int64_t>(chance())),
                                    static_cast<int>(chance() % 300) - 200);
    reals.emplace_back(text,
                       std::to_chars(text, text + sizeof text, value, std::chars_format::scientific).ptr);
  }
  for (const char* column : {"numeric", "numeric(5,2)", "numeric(3)", "numeric(38,10)", "real"})
    expect_as_cast(store, Type::kDouble, column, reals);
  const std::vector<std::string> whole = {
      "0", "7", "-99999", "100000", "10000", "-10000000", "9223372036854775807", "-9223372036854775808"};
  for (const char* column : {"numeric", "numeric(7,2)", "numeric(5)"})
    expect_as_cast(store, Type::kBigint, column, whole);
}

TEST(PostgresSink, WritesWholeDoublesIntoIntegers) {
  PostgresStore store;
  store.options.table.types = {{"v", "smallint"}};
  EXPECT_EQ(
      reasons_of(store, Type::kDouble, {"-32768", "32768", "20.5", "-0", "nan", "inf"}),
      (std::vector<std::string>{
          "", "v: 32768 is out of the range of smallint", "v: 20.5 is no whole number, as smallint wants", "",
          "v: nan is no whole number, as smallint wants", "v: inf is out of the range of smallint"}));
  EXPECT_EQ(value_of("SELECT string_agg(v::text, ' ' ORDER BY id) FROM events"), "-32768 0");
  store.sut.clear().ok();
  store.options.table.types = {{"v", "bigint"}};
  EXPECT_EQ(reasons_of(store, Type::kDouble,
                       {"-9223372036854775808", "9223372036854774784", "9223372036854775808"})[2],
            "v: 9223372036854775808 is out of the range of bigint");
  EXPECT_EQ(value_of("SELECT string_agg(v::text, ' ' ORDER BY id) FROM events"),
            "-9223372036854775808 9223372036854774784");
}

TEST(PostgresSink, TakesATableThatIsThere) {
  PostgresStore store;
  run("CREATE TABLE events (\"storedAt\" timestamp, more integer DEFAULT 7, id varchar(40) NOT NULL, n "
      "numeric(20,1), small "
      "smallint, ratio real, flag boolean, at timestamptz, \"text\" text, \"any\" json, nested text, "
      "\"processedAt\" timestamptz)");
  EXPECT_EQ(store.prepare_error(), "");
  Status status = [&]() -> Status {
    TM_ASSIGN(auto sink, store.sut.open());
    TM_TRY(sink->prepare(harness_schema()));
    TM_ASSIGN(SinkSession session, SinkSession::open(*sink, 0));
    StoreModel model;
    TM_TRY(session.acquire({0, 1, 2}, model));
    TM_ASSIGN(FilledEpoch epoch, session.fill({1}, 100, model));
    return session.commit_to(epoch, &model);
  }();
  EXPECT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(value_of("SELECT DISTINCT more FROM events"), "7");
  run("ALTER TABLE events ADD needed integer NOT NULL DEFAULT 1");
  run("ALTER TABLE events ALTER needed DROP DEFAULT");
  EXPECT_NE(store.prepare_error().find("\"needed\" must not be NULL"), std::string::npos)
      << store.prepare_error();
  run("ALTER TABLE events DROP needed, ALTER ratio TYPE text");
  EXPECT_NE(
      store.prepare_error().find("\"ratio\" is text, where it must be double precision or real or numeric"),
      std::string::npos)
      << store.prepare_error();
  run("ALTER TABLE events DROP ratio");
  EXPECT_NE(store.prepare_error().find("\"ratio\" double precision is missing"), std::string::npos)
      << store.prepare_error();
  run("UPDATE events SET small = 0");
  run("ALTER TABLE events ADD ratio float8, ALTER small SET NOT NULL");
  EXPECT_NE(store.prepare_error().find("\"small\" must not be NULL, but events may lack it"),
            std::string::npos)
      << store.prepare_error();
  run("ALTER TABLE events ALTER small DROP NOT NULL");
  store.options.table.mode = PostgresMode::kInsertNew;
  store.options.table.key = {"id"};
  EXPECT_NE(store.prepare_error().find("CREATE UNIQUE INDEX ON \"events\" (\"id\")"), std::string::npos)
      << store.prepare_error();
  run("CREATE UNIQUE INDEX ON events (id)");
  EXPECT_EQ(store.prepare_error(), "");
  run("ALTER TABLE events SET UNLOGGED");
  EXPECT_NE(store.prepare_error().find("UNLOGGED"), std::string::npos) << store.prepare_error();
}

TEST(PostgresSink, RefusesWhatCannotWork) {
  PostgresStore store;
  store.options.table.mode = PostgresMode::kUpsert;
  EXPECT_NE(store.prepare_error().find("serve.postgres.key: is missing"), std::string::npos);
  store.options.table.key = {"small"};
  EXPECT_NE(store.prepare_error().find("events may lack small"), std::string::npos);
  store.options.table.key = {"id"};
  store.options.table.partitions = 2;
  store.options.table.partition_by = "n";
  EXPECT_NE(store.prepare_error().find("n is not in serve.postgres.key"), std::string::npos);
  store.options.table.partitions = 0;
  for (const char* type :
       {"text", "numeric(2,3)", "numeric(1001)", "numeric(5,2,1)", "numeric(x)", "real(3)"}) {
    store.options.table.types = {{"ratio", type}};
    EXPECT_NE(
        store.prepare_error().find(std::string("serve.postgres.types.ratio: ") + type + " does not fit"),
        std::string::npos)
        << type << store.prepare_error();
  }
  store.options.table.types.clear();
  store.options.table.indexes = {"id, x"};
  EXPECT_NE(store.prepare_error().find("x is no column"), std::string::npos);
  store.options.table.indexes.clear();
  store.options.dead_table = "events";
  EXPECT_NE(store.prepare_error().find("dead_letters.name"), std::string::npos);
  store.options.dead_table.clear();
  store.options.table.table = "there_is_none.events";
  EXPECT_NE(store.prepare_error().find("CREATE SCHEMA"), std::string::npos) << store.prepare_error();
  store.options.table.table = "events";
  store.options.connection.password = "wrong";
  EXPECT_NE(store.prepare_error().find("password authentication failed"), std::string::npos);
  EXPECT_EQ(store.prepare_error().find("wrong"), std::string::npos);
  store.options.connection.password.clear();
  store.options.connection.connection = "postgresql://nobody:secret@127.0.0.1:1/none?x=y";
  EXPECT_EQ(store.prepare_error().find("secret"), std::string::npos) << store.prepare_error();
}

struct Owner {
  explicit Owner(PostgresStore& store) : sink(store.sut.open().value()) {
    EXPECT_TRUE(sink->prepare(harness_schema()).ok());
    session.emplace(SinkSession::open(*sink, 0).value());
  }
  std::unique_ptr<pipeline::Sink> sink;
  std::optional<SinkSession> session;
};

void end_others(const std::string& condition) {
  run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = "
      "current_database() AND " +
      condition);
}

// A connection that is cut: before a commit it is opened again, in the middle nothing of it is there, at its
// end the answer is not known.
TEST(PostgresSink, LivesThroughConnectionsThatAreCut) {
  PostgresStore store;
  Owner owner(store);
  StoreModel model;
  ASSERT_TRUE(owner.session->acquire({0, 1, 2}, model).ok());
  end_others("true");
  FilledEpoch epoch = owner.session->fill({0, 1, 2}, 50, model).value();
  Status status = owner.session->commit_to(epoch, &model);
  EXPECT_TRUE(status.ok()) << status.error().message;
  for (const char* step : {"postgres.begin", "postgres.rows.copied", "postgres.positions.updated"}) {
    epoch = owner.session->fill({0, 1, 2}, 50, model).value();
    arm_step(step, [] { end_others("state LIKE 'idle in%'"); });
    status = owner.session->commit(epoch);
    arm_step(step, {});
    ASSERT_FALSE(status.ok());
    const bool unknown = std::string(step) == "postgres.positions.updated";
    EXPECT_EQ(status.error().code == Code::kUnknown, unknown) << step << ": " << status.error().message;
    EXPECT_EQ(status.error().retryable, !unknown) << step << ": " << status.error().message;
    status = owner.session->check(model);
    EXPECT_TRUE(status.ok()) << step << ": " << status.error().message;
    status = owner.session->commit_to(epoch, &model);
    EXPECT_TRUE(status.ok()) << step << ": " << status.error().message;
  }
  StoredContents stored = store.read().value();
  status = model.compare(stored, false, false);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// An owner that stands still in mid-transaction holds keys; whoever takes over ends that.
TEST(PostgresSink, ATakeoverDoesNotWaitForKeysOfAnOwnerThatStandsStill) {
  PostgresStore store;
  store.options.table.mode = PostgresMode::kInsertNew;
  store.options.table.key = {"id"};
  Owner old_owner(store), new_owner(store);
  StoreModel model;
  ASSERT_TRUE(old_owner.session->acquire({0, 1, 2}, model).ok());
  FilledEpoch late = old_owner.session->fill({0, 1, 2}, 50, model).value();
  arm_step("postgres.rows.copied", [&] {
    arm_step("postgres.rows.copied", {});
    ASSERT_TRUE(new_owner.session->acquire({0, 1, 2}, model).ok());
    FilledEpoch same = new_owner.session->fill({0, 1, 2}, 50, model).value();
    Status status = new_owner.session->commit_to(same, &model);
    EXPECT_TRUE(status.ok()) << status.error().message;
  });
  Status status = old_owner.session->expect_fenced(late, model);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// A key that another transaction has inserted, and commits while the rows are copied: too late to be looked
// up.
TEST(PostgresSink, AKeyThatComesWhileNewRowsAreCopiedIsLeftOut) {
  PostgresStore store;
  store.options.table.mode = PostgresMode::kInsertNew;
  store.options.table.key = {"id"};
  Owner owner(store);
  StoreModel model;
  ASSERT_TRUE(owner.session->acquire({0, 1, 2}, model).ok());
  FilledEpoch epoch = owner.session->fill({0}, 50, model).value();
  auto other = connect();
  for (const char* sql :
       {"BEGIN", "INSERT INTO events (id, n, at, \"storedAt\") VALUES ('0/101', 1, now(), '2001-01-01')"}) {
    auto done = other->execute(sql);
    ASSERT_TRUE(done.ok()) << done.error().message;
  }
  Status status;
  std::thread commit([&] { status = owner.session->commit_to(epoch, &model); });
  const int64_t begun_ns = Clock::system().steady_ns();
  while (value_of("SELECT count(*) FROM pg_locks WHERE NOT granted") == "0" &&
         Clock::system().steady_ns() - begun_ns < 20'000'000'000) {
  }
  EXPECT_TRUE(other->commit().ok());
  commit.join();
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(value_of("SELECT count(*) || ' ' || count(DISTINCT id) FROM events"),
            std::to_string(epoch.rows.size()) + " " + std::to_string(epoch.rows.size()));
  EXPECT_EQ(value_of("SELECT extract(year FROM \"storedAt\") FROM events WHERE id = '0/101'"), "2001");
}

TEST(PostgresSink, APositionOfAnotherSourceIsNotTaken) {
  PostgresStore store;
  {
    Owner owner(store);
    StoreModel model;
    ASSERT_TRUE(owner.session->acquire({0}, model).ok());
  }
  store.options.source = "another log";
  Owner other(store);
  StoreModel model;
  Status status = other.session->acquire({0}, model);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("topic harness of test"), std::string::npos)
      << status.error().message;
}

TEST(PostgresSink, AConstraintOfTheTableStopsIt) {
  PostgresStore store;
  Owner owner(store);
  run("ALTER TABLE events ADD CONSTRAINT small_numbers CHECK (n < 0)");
  StoreModel model;
  ASSERT_TRUE(owner.session->acquire({0, 1, 2}, model).ok());
  FilledEpoch epoch = owner.session->fill({0}, 50, model).value();
  Status status = owner.session->commit(epoch);
  ASSERT_FALSE(status.ok());
  EXPECT_FALSE(status.error().retryable);
  EXPECT_NE(status.error().message.find("small_numbers"), std::string::npos) << status.error().message;
  EXPECT_TRUE(owner.session->check(model).ok());
}

// A query is one of these; none of them may go on for ever.
TEST(PostgresConnection, AStreamRefusesCopy) {
  run("CREATE TABLE IF NOT EXISTS copied (n integer)");
  auto connection = connect();
  int rows = 0;
  auto count = [&](const pg::Answer& answer) -> Status {
    rows += static_cast<int>(answer.rows());
    return {};
  };
  for (const char* copy : {"COPY (SELECT generate_series(1, 300000)) TO STDOUT", "COPY copied FROM STDIN"}) {
    Status refused = connection->stream(copy, count);
    ASSERT_FALSE(refused.ok()) << copy;
    EXPECT_EQ(refused.error().domain, Domain::kUser);
    EXPECT_NE(refused.error().message.find("COPY does not"), std::string::npos) << refused.error().message;
    EXPECT_TRUE(connection->stream("SELECT generate_series(1, 3)", count).ok()) << "after " << copy;
  }
  EXPECT_EQ(rows, 6);
}

// What a role's settings would have changed.
TEST(PostgresConnection, SessionsAreAsTheProgramNeedsThem) {
  pg::Options options = server();
  options.connection +=
      "?options=-cextra_float_digits%3D0%20-cstatement_timeout%3D5%20"
      "-cidle_in_transaction_session_timeout%3D5%20-cdatestyle%3DGerman";
  auto connection = pg::Connection::open(options).value();
  auto answer = connection->execute("SELECT 0.1::float8 + 0.2::float8, pg_sleep(0.05)");
  ASSERT_TRUE(answer.ok()) << answer.error().message;
  EXPECT_EQ(answer->text(0, 0), "0.30000000000000004");
  for (const char* name : {"statement_timeout", "idle_in_transaction_session_timeout"})
    EXPECT_EQ(connection->execute("SHOW " + std::string(name))->text(0, 0), "0") << name;
}

TEST(PostgresDdl, IsWhatPrepareMakes) {
  const Schema schema = telemetry_schema(3, 0);
  serve::PostgresSinkOptions options;
  options.connection = server();
  options.pipeline = "pipe";
  options.source = "test";
  options.table.stored_at = "storedAt";
  options.table.mode = PostgresMode::kInsertNew;
  options.table.key = {"eventId", "deviceId"};
  options.table.partitions = 4;
  options.table.partition_by = "deviceId";
  options.table.indexes = {"storedAt desc"};
  options.table.types = {{"eventId", "uuid"}};
  std::string made[2];
  for (const bool by_hand : {false, true}) {
    const std::string name = by_hand ? "ddl_b" : "ddl_a";
    run("DROP SCHEMA IF EXISTS " + name + " CASCADE");
    run("CREATE SCHEMA " + name);
    options.table.table = name + ".rawdata";
    serve::PostgresSink sink(Clock::system(), options);
    if (by_hand) {
      const std::vector<pipeline::Ddl> statements = sink.ddl(schema).value();
      for (const pipeline::Ddl& one : statements) run(one.sql);
    }
    ASSERT_TRUE(sink.prepare(schema).ok());
    made[by_hand ? 1 : 0] = value_of(
        "SELECT (SELECT string_agg(table_name || '.' || column_name || ' ' || data_type || ' ' || "
        "is_nullable, "
        "', ' ORDER BY table_name, ordinal_position) FROM information_schema.columns WHERE table_schema = '" +
        name + "') || (SELECT string_agg(replace(indexdef, '" + name +
        ".', ''), ', ' ORDER BY indexname) FROM pg_indexes WHERE schemaname = '" + name + "')");
    run("DROP SCHEMA " + name + " CASCADE");
  }
  EXPECT_NE(made[0], "");
  EXPECT_EQ(made[0], made[1]);
}

}  // namespace
}  // namespace tidemill
