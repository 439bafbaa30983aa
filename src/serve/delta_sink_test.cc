#include "serve/delta_sink.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <thread>

#include "base/steps.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "serve/delta_schema.h"
#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

using namespace pipeline::testing;
using pipeline::Sink;

std::shared_ptr<duck::Database> memory_database() {
  return duck::Database::open(":memory:", {{"threads", "1"}}).value();
}

// A table's rows at a version, by a query of its live files.
Result<std::unique_ptr<duck::Rows>> rows_of(duck::Connection& connection, const DeltaState& state,
                                            const std::string& folder) {
  TM_ASSIGN(std::string sql, delta_rows_sql(state, folder));
  return connection.query(sql);
}

struct DeltaTable {
  explicit DeltaTable(const std::string& name) : scratch(name), database(memory_database()) {
    options.folder = scratch.path("events");
    options.dead_folder = scratch.path("letters");
    options.pipeline = "pipe";
    options.source = "the log of a test";
    options.stored_at = "storedAt";
    options.checkpoint_interval = 4;
    options.memory_limit_bytes = 256 << 20;
    options.threads = 1;
    options.merge = false;
    sut.clear = [this]() -> Status {
      scratch.clear();
      return {};
    };
    sut.open = [this] { return open(); };
    sut.read = [this] { return read(); };
    sut.read_live = [this] { return read(); };
    sut.steps = {"delta.commit.written", "delta.committed"};
    sut.steps_with_rows = {"delta.files.written", "delta.files.durable"};
    sut.ordered = false;
  }
  Result<std::unique_ptr<Sink>> open() {
    // Forked processes draw names of their own.
    random = std::make_unique<SeededRandom>(Clock::system().steady_ns() ^ int64_t{::getpid()} << 40);
    return std::unique_ptr<Sink>(
        std::make_unique<DeltaSink>(FileSystem::posix(), Clock::system(), *random, options));
  }
  std::unique_ptr<DeltaLog> log(const std::string& folder) {
    auto store = std::make_shared<FolderStore>(FileSystem::posix(), Random::system(), folder);
    return std::make_unique<DeltaLog>(std::move(store), database, Clock::system());
  }
  DeltaState state() { return log(options.folder)->at(-1, -1).value(); }
  std::string prepare_error(const Schema& schema = harness_schema()) {
    Status status = open().value()->prepare(schema);
    return status.ok() ? "" : status.error().message;
  }

  Result<StoredContents> read() {
    StoredContents stored;
    TM_ASSIGN(auto connection, database->connect());
    TM_ASSIGN(DeltaState rows_state, log(options.folder)->at(-1, -1));
    TM_ASSIGN(auto rows, rows_of(*connection, rows_state, options.folder));
    for (;;) {
      TM_ASSIGN(size_t count, rows->next());
      if (count == 0) break;
      for (size_t i = 0; i < count; ++i) stored.rows.push_back(*parse_harness_id(rows->text(0, i)));
    }
    auto dead = log(options.dead_folder)->at(-1, -1);
    if (!dead.ok() && dead.error().code == Code::kNotFound) return stored;
    if (!dead.ok()) return std::move(dead).error();
    TM_ASSIGN(auto letters, rows_of(*connection, *dead, options.dead_folder));
    for (;;) {
      TM_ASSIGN(size_t count, letters->next());
      if (count == 0) return stored;
      for (size_t i = 0; i < count; ++i) {
        EXPECT_EQ(letters->text(0, i), kHarnessTopic);
        // Those of an epoch whose rows are not committed do not count yet.
        const TopicPartition source = harness_partition(static_cast<int32_t>(letters->integer(1, i)));
        const auto position =
            DeltaPositions(options.pipeline, options.source).read(rows_state, source).position;
        if (!position || letters->integer(2, i) >= position->offset.value()) continue;
        stored.dead_letters.push_back(
            {{Partition(static_cast<int32_t>(letters->integer(1, i))), Offset(letters->integer(2, i))},
             std::string(letters->text(4, i)),
             std::string(letters->text(6, i))});
      }
    }
  }

  Scratch scratch;
  std::shared_ptr<duck::Database> database;
  std::unique_ptr<SeededRandom> random;
  DeltaSinkOptions options;
  SinkUnderTest sut;
};

TEST(DeltaSink, PassesTheHarness) {
  DeltaTable table("delta-sink");
  Status status = check_sink(table.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(DeltaSink, PassesTheHarnessWithPartitions) {
  DeltaTable table("delta-partitions");
  table.options.partition_by = {"flag"};
  table.options.nested = Nested::kColumns;
  table.sut.max_records = 1'000;
  Status status = check_sink(table.sut, 2);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

constexpr int kWriters = 3, kEpochs = 15;

void append_at_once(DeltaTable& table) {
  std::vector<std::thread> writers;
  for (int n = 0; n < kWriters; ++n) {
    writers.emplace_back([&table, n] {
      DeltaSinkOptions options = table.options;
      options.pipeline = "pipe-" + std::to_string(n);
      DeltaSink sink(FileSystem::posix(), Clock::system(), Random::system(), options);
      Status prepared = sink.prepare(harness_schema());
      ASSERT_TRUE(prepared.ok()) << prepared.error().message;
      StoreModel model;
      SinkSession session = SinkSession::open(sink, 0).value();
      ASSERT_TRUE(session.acquire({n}, model).ok());
      for (int e = 0; e < kEpochs; ++e) {
        FilledEpoch epoch = session.fill({n}, 50, model).value();
        Status committed = session.commit_to(epoch, &model);
        ASSERT_TRUE(committed.ok()) << committed.error().message;
      }
      Status held = session.check(model);
      EXPECT_TRUE(held.ok()) << held.error().message;
    });
  }
  for (std::thread& writer : writers) writer.join();
  const DeltaState state = table.state();
  EXPECT_LE(state.files.size(), size_t{kWriters * kEpochs});
  EXPECT_GE(state.version, kWriters * (kEpochs + 1));
  auto connection = table.database->connect().value();
  auto rows = rows_of(*connection, state, table.options.folder).value();
  std::map<std::string, int> ids;
  for (size_t count = rows->next().value(); count > 0; count = rows->next().value()) {
    for (size_t i = 0; i < count; ++i) ++ids[std::string(rows->text(0, i))];
  }
  EXPECT_GT(ids.size(), size_t{kWriters * kEpochs * 40});
  for (const auto& [id, times] : ids) EXPECT_EQ(times, 1) << id;
}

TEST(DeltaSink, WritersOfOneTableLoseNothing) {
  DeltaTable table("delta-writers");
  append_at_once(table);
  EXPECT_EQ(table.state().files.size(), size_t{kWriters * kEpochs});
}

TEST(DeltaSink, WritersLoseNothingWhileEachMergesTheFilesOfAll) {
  DeltaTable table("delta-merging-writers");
  table.options.merge = true;
  table.options.upkeep.merges.fewest_files = 3;
  table.options.upkeep.pause_us = 1000;
  append_at_once(table);
}

// Of two owners of a partition the one whose token is lower is fenced, though it never heard of the other.
TEST(DeltaSink, WhoseCommitWasForestalledIsFencedOnlyByAnotherOwner) {
  DeltaTable table("delta-fence");
  auto first = table.open().value();
  ASSERT_TRUE(first->prepare(harness_schema()).ok());
  auto second =
      std::make_unique<DeltaSink>(FileSystem::posix(), Clock::system(), Random::system(), table.options);
  ASSERT_TRUE(second->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession one = SinkSession::open(*first, 0).value();
  SinkSession other = SinkSession::open(*second, 0).value();
  ASSERT_TRUE(one.acquire({1}, model).ok());
  ASSERT_TRUE(other.acquire({2}, model).ok());  // a version that the first has not seen
  FilledEpoch epoch = one.fill({1}, 100, model).value();
  Status committed = one.commit_to(epoch, &model);
  EXPECT_TRUE(committed.ok()) << committed.error().message;
  epoch = one.fill({1}, 100, model).value();
  ASSERT_TRUE(other.acquire({1}, model).ok());
  Status fenced = one.expect_fenced(epoch, model);
  EXPECT_TRUE(fenced.ok()) << fenced.error().message;
}

TEST(DeltaSink, BeginsFromACheckpointAsFromTheCommits) {
  DeltaTable table("delta-checkpoint");
  table.options.partition_by = {"flag"};
  {
    auto sink = table.open().value();
    ASSERT_TRUE(sink->prepare(harness_schema()).ok());
    StoreModel model;
    SinkSession session = SinkSession::open(*sink, 0).value();
    ASSERT_TRUE(session.acquire({0, 1, 2}, model).ok());
    for (int e = 0; e < 7; ++e) {
      FilledEpoch epoch = session.fill({0, 1, 2}, 20, model).value();
      ASSERT_TRUE(session.commit_to(epoch, &model).ok());
    }
  }
  const DeltaState with = table.state();
  EXPECT_EQ(with.version, 8);
  const std::string log = table.options.folder + "/_delta_log/";
  EXPECT_TRUE(std::filesystem::exists(log + "00000000000000000008.checkpoint.parquet"));
  for (const char* version : {"4", "8"}) {
    std::filesystem::remove(log + "0000000000000000000" + version + ".checkpoint.parquet");
  }
  std::filesystem::remove(log + "_last_checkpoint");
  const DeltaState without = table.state();
  EXPECT_EQ(with.version, without.version);
  EXPECT_EQ(with.meta_data.schema, without.meta_data.schema);
  EXPECT_EQ(with.meta_data.partition_columns, without.meta_data.partition_columns);
  ASSERT_EQ(with.files.size(), without.files.size());
  for (const auto& [path, file] : without.files) {
    ASSERT_TRUE(with.files.contains(path)) << path;
    EXPECT_EQ(with.files.at(path).partition, file.partition);
    EXPECT_EQ(with.files.at(path).json, file.json);
  }
  for (const auto& [app, txn] : without.txns) EXPECT_EQ(with.txns.at(app).json, txn.json);
  EXPECT_EQ(table.log(table.options.folder)->at(3, -1).value().version, 3);
  EXPECT_NE(table.log(table.options.folder)->at(9, -1).error().message.find("no version 9 yet"),
            std::string::npos);
}

// A sink with small files, and an upkeep that merges them when it is told to.
struct Upkept {
  explicit Upkept(DeltaTable& table) : table_(table) {
    table.options.merge = false;
    sink = table.open().value();
    EXPECT_TRUE(sink->prepare(harness_schema()).ok());
    session.emplace(SinkSession::open(*sink, 0).value());
    EXPECT_TRUE(session->acquire({0, 1, 2}, model).ok());
    log = table.log(table.options.folder);
  }
  void append(int epochs) {
    for (int e = 0; e < epochs; ++e) {
      FilledEpoch epoch = session->fill({0, 1, 2}, 20, model).value();
      Status committed = session->commit_to(epoch, &model);
      ASSERT_TRUE(committed.ok()) << committed.error().message;
    }
  }
  DeltaUpkeep upkeep(size_t fewest, int64_t retention_us = 3'600'000'000) {
    DeltaUpkeepOptions options;
    options.merges.fewest_files = fewest;
    options.retention_us = options.unnamed_us = retention_us;
    return {*log, table_.database, Clock::system(), *table_.random, options};
  }
  // Every row once, as the model has them.
  void check() {
    Status same = model.compare(table_.read().value(), false, false);
    EXPECT_TRUE(same.ok()) << same.error().message;
  }
  size_t files_on_disk() const {
    size_t count = 0;
    for (const auto& one : std::filesystem::recursive_directory_iterator(table_.options.folder)) {
      const std::string path = one.path().string();
      if (path.ends_with(".parquet") && path.find("_delta_log") == std::string::npos) ++count;
    }
    return count;
  }

  DeltaTable& table_;
  StoreModel model;
  std::unique_ptr<Sink> sink;
  std::optional<SinkSession> session;
  std::unique_ptr<DeltaLog> log;
};

TEST(DeltaUpkeep, MergesSmallFilesAndKeepsEveryRow) {
  DeltaTable table("delta-merge");
  for (const std::vector<std::string>& by : {std::vector<std::string>{}, std::vector<std::string>{"flag"}}) {
    table.scratch.clear();
    table.options.partition_by = by;
    Upkept kept(table);
    kept.append(6);
    const int64_t before = table.state().version;
    const size_t files = table.state().files.size();
    EXPECT_FALSE(kept.upkeep(7).merge().value());
    while (kept.upkeep(2).merge().value()) {
    }
    const DeltaState state = table.state();
    EXPECT_EQ(state.files.size(), by.empty() ? 1u : 3u);  // true, false, NULL
    EXPECT_EQ(state.removed.size(), files);
    kept.check();
    kept.append(1);  // its writer has not seen the merges
    kept.check();
    // An older version is what it was, and what nobody needs any more is removed in time.
    EXPECT_EQ(table.log(table.options.folder)->at(before, -1).value().files.size(), files);
    EXPECT_EQ(kept.upkeep(2).vacuum().value(), 0u);
    std::ofstream(table.options.folder + "/part-left-by-a-crash.parquet") << "half";
    const size_t live = table.state().files.size();
    EXPECT_EQ(kept.upkeep(2, -10'000'000).vacuum().value(), files + 1);
    EXPECT_EQ(kept.files_on_disk(), live);
    kept.check();
  }
}

TEST(DeltaUpkeep, MergesAllThatIsThereDownToOneSmallFileOfAPartition) {
  DeltaTable table("delta-merge-all");
  table.options.partition_by = {"flag"};
  Upkept kept(table);
  kept.append(5);
  const size_t files = table.state().files.size();
  int merges = 0;
  arm_step("delta.merge.written", [&] {
    if (merges++ == 0) kept.append(1);  // which is left alone
  });
  const DeltaMerged merged = kept.upkeep(16).merge_all().value();
  arm_step("delta.merge.written", {});
  EXPECT_EQ(merges, 3);  // true, false, NULL
  EXPECT_EQ(merged.files, files);
  EXPECT_EQ(merged.into, 3u);
  std::map<DeltaPartition, size_t> each;
  for (const auto& [path, file] : table.state().files) ++each[file.partition];
  for (const auto& [partition, count] : each) EXPECT_EQ(count, 2u);
  kept.check();
  EXPECT_EQ(kept.upkeep(16).merge_all().value().into, 3u);
  EXPECT_EQ(table.state().files.size(), 3u);
  EXPECT_EQ(kept.upkeep(16).merge_all().value().files, 0u);
  kept.check();
}

TEST(DeltaUpkeep, AVacuumKeepsWhatVersionsWithinItsRetentionNeed) {
  DeltaTable table("delta-vacuum");
  Upkept kept(table);
  kept.append(4);
  const size_t files = table.state().files.size();
  ASSERT_TRUE(kept.upkeep(2).merge().value());
  kept.append(4);  // a checkpoint
  // One that no longer knows of files that were taken out long ago.
  DeltaLogOptions forgetful;
  forgetful.tombstones_us = 0;
  auto store = std::make_shared<FolderStore>(FileSystem::posix(), Random::system(), table.options.folder);
  DeltaLog log(store, table.database, Clock::system(), forgetful);
  DeltaVacuum vacuum;
  vacuum.retention_us = 3'600'000'000;
  vacuum.unnamed_us = -10'000'000;
  const std::string left = "part-left-by-a-crash.parquet";
  std::ofstream(table.options.folder + "/" + left) << "half";
  const auto hours_ago = std::filesystem::file_time_type::clock::now() - std::chrono::hours(2);
  for (const auto& one : std::filesystem::directory_iterator(table.options.folder)) {
    if (one.path().extension() == ".parquet") std::filesystem::last_write_time(one.path(), hours_ago);
  }
  std::vector<std::string> removed;
  vacuum.each = [&](const StoredObject& file) { removed.push_back(file.name); };
  vacuum.dry_run = true;
  EXPECT_EQ(vacuum_delta(log, Clock::system(), vacuum).value().bytes, 4);
  EXPECT_EQ(removed, std::vector{left});
  EXPECT_TRUE(std::filesystem::exists(table.options.folder + "/" + left));
  vacuum.dry_run = false;
  EXPECT_EQ(vacuum_delta(log, Clock::system(), vacuum).value().files, 1u);
  EXPECT_FALSE(std::filesystem::exists(table.options.folder + "/" + left));
  vacuum.retention_us = -10'000'000;
  const DeltaVacuumed old = vacuum_delta(log, Clock::system(), vacuum).value();
  EXPECT_EQ(old.files, files);
  EXPECT_GT(old.bytes, 0);
  kept.check();
}

TEST(DeltaUpkeep, AVacuumLeavesATableInATableAlone) {
  DeltaTable table("delta-nested");
  Upkept kept(table);
  kept.append(1);
  const std::string inner = table.options.folder + "/inner/of-another";
  std::filesystem::create_directories(inner + "/_delta_log");
  std::filesystem::create_directories(inner + "/day=1");
  std::filesystem::create_directories(table.options.folder + "/day=1");
  for (const std::string& path :
       {inner + "/_delta_log/00000000000000000000.json", inner + "/a.parquet", inner + "/day=1/b.parquet",
        table.options.folder + "/inner/c.parquet", table.options.folder + "/day=1/d.parquet"})
    std::ofstream(path) << "x";
  EXPECT_EQ(kept.upkeep(2, -10'000'000).vacuum().value(), 2u);
  EXPECT_TRUE(std::filesystem::exists(inner + "/a.parquet"));
  EXPECT_TRUE(std::filesystem::exists(inner + "/day=1/b.parquet"));
  EXPECT_FALSE(std::filesystem::exists(table.options.folder + "/inner/c.parquet"));
  kept.check();
}

TEST(DeltaUpkeep, OfTwoMergesOfTheSameFilesOneIsGivenUp) {
  DeltaTable table("delta-two-merges");
  Upkept kept(table);
  kept.append(5);
  auto other = table.log(table.options.folder);
  ASSERT_TRUE(other->refresh([](const DeltaState&) {}).ok());
  bool first = true;
  arm_step("delta.merge.written", [&] {
    if (!first) return;
    first = false;
    DeltaUpkeepOptions options;
    options.merges.fewest_files = 2;
    DeltaUpkeep second(*other, table.database, Clock::system(), *table.random, options);
    EXPECT_TRUE(second.merge().value());
  });
  EXPECT_TRUE(kept.upkeep(2).merge().value());
  arm_step("delta.merge.written", {});
  EXPECT_EQ(table.state().files.size(), 1u);
  EXPECT_EQ(kept.files_on_disk(), 6u);  // the five, and one that has their rows
  kept.check();
}

TEST(DeltaSink, SaysWhatIsWrongWithATableThatIsThere) {
  DeltaTable table("delta-other");
  EXPECT_EQ(table.prepare_error(), "");
  EXPECT_EQ(table.prepare_error(), "");
  table.options.partition_by = {"flag"};
  EXPECT_NE(
      table.prepare_error().find("it exists with partitions by [], but serve.delta.partition_by is [flag]"),
      std::string::npos);
  table.options.partition_by = {"ratio"};
  EXPECT_NE(table.prepare_error().find("a partition goes by texts"), std::string::npos);
  table.options.partition_by = {};
  Schema schema = harness_schema();
  schema.fields[1].type = Type::kVarchar;
  EXPECT_NE(table.prepare_error(schema).find("column 2 is n BIGINT, the events have n VARCHAR"),
            std::string::npos);
  schema.fields.pop_back();
  std::ofstream(table.options.folder + "/_delta_log/00000000000000000001.json")
      << R"({"protocol":{"minReaderVersion":3,"minWriterVersion":7}})"
      << "\n";
  EXPECT_NE(table.prepare_error().find("its protocol is reader version 3"), std::string::npos);
  std::ofstream(table.options.folder + "/_delta_log/00000000000000000001.json") << "{\n";
  EXPECT_NE(table.prepare_error().find("00000000000000000001.json: a line is no JSON object"),
            std::string::npos);
  std::filesystem::rename(table.options.folder + "/_delta_log/00000000000000000001.json",
                          table.options.folder + "/_delta_log/00000000000000000002.json");
  EXPECT_NE(table.prepare_error().find("00000000000000000001.json is missing"), std::string::npos);
}

TEST(DeltaSink, RefusesAnotherTableInPlaceOfTheDeadLetters) {
  DeltaTable table("delta-other-letters");
  const auto make = [&](const std::vector<TableColumn>& columns, const std::vector<std::string>& by) {
    table.scratch.clear();
    std::filesystem::create_directories(table.options.dead_folder);
    EXPECT_TRUE(table.log(table.options.dead_folder)
                    ->commit([&](const DeltaState&) -> Result<std::string> {
                      return delta_commit_info_line("CREATE TABLE", "", 1, "theirs") +
                             delta_protocol_line(1, 2) +
                             delta_meta_data_line("theirs", delta_schema_json(columns), by, {}, 1);
                    })
                    .ok());
    return table.prepare_error();
  };
  TableColumn id;
  id.name = "id";
  id.type = "VARCHAR";
  const std::string other = make({id}, {});
  EXPECT_NE(other.find("letters: it exists, and is no table of dead letters"), std::string::npos) << other;
  EXPECT_NE(other.find("choose another dead_letters.name, or remove the table"), std::string::npos) << other;
  const std::vector<TableColumn> columns =
      delta_layout(R"({"fields":[{"name":"topic","type":"string"},{"name":"partition","type":"integer"},)"
                   R"({"name":"offset","type":"long"},{"name":"timestamp","type":"timestamp"},)"
                   R"({"name":"reason","type":"string"},{"name":"key","type":"binary"},)"
                   R"({"name":"value","type":"binary"},{"name":"storedAt","type":"timestamp"}]})")
          .value()
          .columns;
  EXPECT_EQ(make(columns, {}), "");
  EXPECT_NE(make(columns, {"topic"}), "");
}

// What another program commits to the table: a column more, and with `file` a file that has it.
void add_column(DeltaTable& table, bool file) {
  DeltaState state = table.state();
  std::string schema = state.meta_data.schema, adds;
  schema.replace(schema.rfind("]}"), 2, R"(,{"name":"since","type":"long","nullable":true,"metadata":{}}]})");
  auto connection = table.database->connect().value();
  if (file) {
    // Its name is before all others.
    ASSERT_TRUE(connection
                    ->execute("COPY (SELECT 7 AS since, CAST(0.5 AS FLOAT) AS ratio, 'their' AS id) TO '" +
                              table.options.folder + "/a.parquet' (FORMAT parquet)")
                    .ok());
    adds = delta_add_line("a.parquet", {}, 100, 1, true, "");
  }
  ASSERT_TRUE(table.log(table.options.folder)
                  ->commit([&](const DeltaState& now) -> Result<std::string> {
                    EXPECT_EQ(now.version, state.version);
                    return delta_commit_info_line("ADD COLUMNS", "", 1, "theirs") +
                           delta_meta_data_line(state.meta_data.id, schema, state.meta_data.partition_columns,
                                                {}, 1) +
                           adds;
                  })
                  .ok());
}

std::string summary(DeltaTable& table) {
  auto connection = table.database->connect().value();
  const std::string rows = delta_rows_sql(table.state(), table.options.folder).value();
  auto read = connection->query(
      "SELECT concat_ws(' ', count(*), count(n), sum(since), sum(hash(id, n, ratio, "
      "\"any\", nested, \"at\", since))) FROM (" +
      rows + ")");
  if (!read.ok()) return read.error().message;
  return (*read)->next().value() == 1 ? std::string((*read)->text(0, 0)) : "";
}

TEST(DeltaUpkeep, AMergeKeepsTheColumnsThatTheTableHas) {
  DeltaTable table("delta-columns");
  Upkept kept(table);
  kept.append(3);
  const size_t rows = table.read().value().rows.size();
  add_column(table, true);
  const std::string before = summary(table);
  EXPECT_EQ(before.substr(0, before.rfind(' ')),
            std::to_string(rows + 1) + " " + std::to_string(rows) + " 7");
  EXPECT_TRUE(kept.upkeep(2).merge().value());
  EXPECT_EQ(table.state().files.size(), 1u);
  EXPECT_EQ(summary(table), before);
}

TEST(DeltaUpkeep, AMergeIsGivenUpWhereTheColumnsWereChanged) {
  DeltaTable table("delta-changed");
  Upkept kept(table);
  kept.append(3);
  bool first = true;
  arm_step("delta.merge.written", [&] {
    if (std::exchange(first, false)) add_column(table, false);
  });
  EXPECT_TRUE(kept.upkeep(2).merge().value());
  arm_step("delta.merge.written", {});
  EXPECT_EQ(table.state().files.size(), 3u);
  EXPECT_EQ(kept.files_on_disk(), 3u);
  EXPECT_TRUE(kept.upkeep(2).merge().value());
  EXPECT_EQ(table.state().files.size(), 1u);
}

TEST(DeltaUpkeep, FilesThatCannotBeMergedDoNotKeepOthersFromIt) {
  DeltaTable table("delta-unmergeable");
  table.options.partition_by = {"flag"};
  Upkept kept(table);
  kept.append(3);
  const DeltaState state = table.state();
  std::ofstream(table.options.folder + "/" + delta_path(state.files.begin()->first)) << "no Parquet";
  DeltaUpkeep upkeep = kept.upkeep(2);
  EXPECT_FALSE(upkeep.merge().ok());
  int merges = 0;
  while (upkeep.merge().value()) ++merges;
  EXPECT_EQ(merges, 2);  // of three values, NULL among them
}

TEST(DeltaSink, StopsWhereTheTablesColumnsWereChanged) {
  DeltaTable table("delta-conflict");
  Upkept kept(table);
  kept.append(1);
  add_column(table, false);
  FilledEpoch epoch = kept.session->fill({0, 1, 2}, 20, kept.model).value();
  Status refused = kept.session->writer().commit(*epoch.output, epoch.request);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().domain, Domain::kUser);
  EXPECT_FALSE(refused.error().retryable);
  EXPECT_NE(refused.error().message.find("since, is not in the events"), std::string::npos)
      << refused.error().message;
  kept.check();
}

TEST(DeltaSink, RefusesColumnsThatMustNotBeNull) {
  DeltaTable table("delta-not-null");
  EXPECT_EQ(table.prepare_error(), "");
  const DeltaState state = table.state();
  const auto with_not_null = [&](const std::string& column) {
    std::string schema = state.meta_data.schema;
    const size_t at = schema.find("\"nullable\":true", schema.find("{\"name\":\"" + column + "\""));
    schema.replace(at, 15, "\"nullable\":false");
    EXPECT_TRUE(table.log(table.options.folder)
                    ->commit([&](const DeltaState&) -> Result<std::string> {
                      return delta_commit_info_line("ALTER", "", 1, "theirs") +
                             delta_meta_data_line(state.meta_data.id, schema, {}, {}, 1);
                    })
                    .ok());
    return table.prepare_error();
  };
  EXPECT_EQ(with_not_null("id"), "");  // events always have it
  EXPECT_NE(with_not_null("ratio").find("its column ratio must not be NULL, but events may lack it"),
            std::string::npos);
  EXPECT_NE(with_not_null("b").find("its column nested.deep.b must not be NULL"), std::string::npos);
}

TEST(DeltaSink, PrintsTheTableForSpark) {
  DeltaTable table("delta-ddl");
  table.options.folder = "/data/events";
  table.options.partition_by = {"flag"};
  const std::string sql = table.open().value()->ddl(harness_schema()).value().at(0).sql;
  EXPECT_EQ(sql.rfind("CREATE TABLE `events` (", 0), 0u) << sql;
  EXPECT_NE(sql.find("\nUSING DELTA\nPARTITIONED BY (`flag`)\nLOCATION '/data/events'"), std::string::npos)
      << sql;
}

TEST(DeltaSink, StoresAllOrNothingWhereverItIsKilled) {
  DeltaTable table("delta-kills");
  table.database.reset();  // its threads do not outlive a fork
  table.sut.read = [&table]() -> Result<StoredContents> {
    table.database = memory_database();
    auto stored = table.read();
    table.database.reset();
    return stored;
  };
  table.sut.read_live = {};
  Status status = check_kills(table.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

}  // namespace
}  // namespace tidemill::serve
