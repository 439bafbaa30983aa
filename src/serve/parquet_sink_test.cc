#include "serve/parquet_sink.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/steps.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "serve/files_journal.h"
#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

using namespace pipeline::testing;
using pipeline::Sink;
namespace fs = std::filesystem;

// The real files, but for what a test makes fail.
class FailingFiles final : public FileSystem {
 public:
  std::function<bool(const std::string& operation, const std::string& path)> fails;

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    if (refused("open", path)) return full(path);
    return real_.open(path, mode);
  }
  bool exists(const std::string& path) override { return real_.exists(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return real_.list(path); }
  Status create_directories(const std::string& path) override {
    if (refused("create", path)) return full(path);
    return real_.create_directories(path);
  }
  Status rename(const std::string& from, const std::string& to) override { return real_.rename(from, to); }
  Status link(const std::string& from, const std::string& to) override {
    if (refused("link", to)) return full(to);
    return real_.link(from, to);
  }
  Status remove(const std::string& path) override { return real_.remove(path); }
  Status remove_tree(const std::string& path) override { return real_.remove_tree(path); }
  Status sync_directory(const std::string& path) override {
    if (refused("sync", path)) return full(path);
    return real_.sync_directory(path);
  }
  Result<uint64_t> free_bytes(const std::string& path) override { return real_.free_bytes(path); }
  Result<std::unique_ptr<FileLock>> lock(const std::string& path) override { return real_.lock(path); }

 private:
  bool refused(const char* operation, const std::string& path) const {
    return fails && fails(operation, path);
  }
  static Error full(const std::string& path) {
    return external_error(path + ": no space left on device", Code::kDiskFull, true);
  }
  FileSystem& real_ = FileSystem::posix();
};

struct ParquetFolder {
  explicit ParquetFolder(const std::string& name) : scratch(name) {
    options.directory = scratch.path("events");
    options.dead_directory = scratch.path("letters");
    options.pipeline = "pipe";
    options.source = "the log of a test";
    options.stored_at = "storedAt";
    options.memory_limit_bytes = 256 << 20;
    options.threads = 1;
    sut.clear = [this]() -> Status {
      scratch.clear();
      return {};
    };
    sut.open = [this] { return open(); };
    sut.read = [this] { return read(); };
    sut.steps = {"files.record.written", "files.record.durable"};
    sut.steps_with_rows = {"parquet.files.written", "parquet.files.durable", "parquet.file.linked",
                           "parquet.published"};
    sut.ordered = false;
  }
  Result<std::unique_ptr<Sink>> open() {
    return std::unique_ptr<Sink>(std::make_unique<ParquetSink>(files, Clock::system(), options));
  }
  std::string prepare_error(const Schema& schema = harness_schema()) {
    Status status = open().value()->prepare(schema);
    return status.ok() ? "" : status.error().message;
  }
  // What any reader sees.
  std::vector<std::string> visible() const {
    std::vector<std::string> names;
    if (!fs::exists(options.directory)) return names;
    for (const auto& one : fs::recursive_directory_iterator(options.directory)) {
      if (one.path().extension() == ".parquet")
        names.push_back(one.path().lexically_relative(options.directory));
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  Result<StoredContents> read() {
    StoredContents stored;
    TM_ASSIGN(auto database, duck::Database::open(":memory:", {{"threads", "1"}}));
    TM_ASSIGN(auto connection, database->connect());
    TM_ASSIGN(auto table, read_parquet_table(files, options.directory));
    if (!table) return stored;
    TM_ASSIGN(std::string sql,
              parquet_rows_sql(*table, visible().empty() ? "" : parquet_glob(options.directory)));
    TM_ASSIGN(auto rows, connection->query(sql));
    for (;;) {
      TM_ASSIGN(size_t count, rows->next());
      if (count == 0) break;
      for (size_t i = 0; i < count; ++i) stored.rows.push_back(*parse_harness_id(rows->text(0, i)));
    }
    TM_ASSIGN(bool some, any_letters());
    if (!some) return stored;
    TM_ASSIGN(auto letters,
              connection->query(
                  "SELECT \"partition\", \"offset\", reason, from_base64(\"valueBase64\") FROM read_json(" +
                  quote_literal(options.dead_directory + "/**/*.jsonl") +
                  ", format = 'newline_delimited', columns = {\"partition\": 'INTEGER', "
                  "\"offset\": 'BIGINT', reason: 'VARCHAR', \"valueBase64\": 'VARCHAR'})"));
    for (;;) {
      TM_ASSIGN(size_t count, letters->next());
      if (count == 0) return stored;
      for (size_t i = 0; i < count; ++i) {
        stored.dead_letters.push_back(
            {{Partition(static_cast<int32_t>(letters->integer(0, i))), Offset(letters->integer(1, i))},
             std::string(letters->text(2, i)),
             std::string(letters->text(3, i))});
      }
    }
  }
  // Gives open files of dead letters, as far as they are committed, names that the query finds.
  Result<bool> any_letters() {
    if (!fs::exists(options.dead_directory)) return false;
    TM_ASSIGN(std::string journal, read_file(files, options.directory + "/.tidemill/journal"));
    PartitionStates states;
    TM_TRY(replay_journal(journal, &states).ok() ? Status() : internal_error("the journal"));
    bool any = false;
    const std::string copies = options.dead_directory + "/copies";
    fs::remove_all(copies);
    fs::create_directories(copies);
    for (const auto& [source, state] : states) {
      const std::string folder = join_path(options.dead_directory, folder_name(source));
      for (const auto& one : fs::directory_iterator(folder)) any |= one.path().extension() == ".jsonl";
      if (!state.dead || state.dead->closed) continue;
      char name[40];
      std::snprintf(name, sizeof name, "%020lld.jsonl", static_cast<long long>(state.dead->start.value()));
      TM_ASSIGN(std::string content, read_file(files, folder + "/." + name + ".open"));
      std::ofstream(copies + "/" + folder_name(source) + ".jsonl")
          << content.substr(0, state.dead->length_bytes);
      any = true;
    }
    return any;
  }

  Scratch scratch;
  FailingFiles files;
  ParquetSinkOptions options;
  SinkUnderTest sut;
};

TEST(ParquetSink, PassesTheHarness) {
  ParquetFolder table("parquet-sink");
  table.sut.read_live = [&table]() -> Result<StoredContents> { return table.read(); };
  Status status = check_sink(table.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(ParquetSink, PassesTheHarnessWithPartitions) {
  ParquetFolder table("parquet-partitions");
  table.options.partition_by = {"flag", "hour(at)"};
  table.options.nested = Nested::kColumns;
  table.sut.max_records = 200;
  Status status = check_sink(table.sut, 2);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(ParquetSink, StoresAllOrNothingWhereverItIsKilled) {
  ParquetFolder table("parquet-kills");
  Status status = check_kills(table.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

// A sink with a session that owns partitions 0 and 1.
struct Opened {
  explicit Opened(ParquetFolder& table) {
    sink = table.open().value();
    Status prepared = sink->prepare(harness_schema());
    EXPECT_TRUE(prepared.ok()) << prepared.error().message;
    session.emplace(SinkSession::open(*sink, 0).value());
    Status acquired = session->acquire({0, 1}, model);
    EXPECT_TRUE(acquired.ok()) << acquired.error().message;
  }
  void commit(size_t records = 50) {
    FilledEpoch epoch = session->fill({0, 1}, records, model).value();
    Status committed = session->commit_to(epoch, &model);
    EXPECT_TRUE(committed.ok()) << committed.error().message;
  }
  StoreModel model;
  std::unique_ptr<Sink> sink;
  std::optional<SinkSession> session;
};

TEST(ParquetSink, FilesAreNamedByPartitionAndStart) {
  ParquetFolder table("parquet-names");
  Opened opened(table);
  opened.commit();
  opened.commit();
  EXPECT_EQ(table.visible(),
            (std::vector<std::string>{
                "harness-0-00000000000000000100.parquet", "harness-0-00000000000000000150.parquet",
                "harness-1-00000000000000000101.parquet", "harness-1-00000000000000000151.parquet"}));
}

TEST(ParquetSink, KnowsTheNamesOfItsOwnFiles) {
  for (const char* own : {"in-0-00000000000000000100.parquet", "a-b%2F-12-00000000000000000000-3.parquet"})
    EXPECT_TRUE(is_parquet_name(own)) << own;
  for (const char* foreign :
       {"part-00000.parquet", "in-00000000000000000100.parquet", "-0-00000000000000000100.parquet",
        "in-0-100.parquet", "in-0-00000000000000000100-.parquet", "in-0-00000000000000000100-1-2.parquet",
        "in-0-00000000000000000100.new", ".parquet", "00000000000000000100.parquet"})
    EXPECT_FALSE(is_parquet_name(foreign)) << foreign;
}

TEST(ParquetSink, NeverReplacesAFile) {
  ParquetFolder table("parquet-replace");
  Opened opened(table);
  opened.commit();
  const std::string other = table.options.directory + "/harness-1-00000000000000000151.parquet";
  std::ofstream(other) << "somebody's";
  FilledEpoch epoch = opened.session->fill({0, 1}, 50, opened.model).value();
  Status committed = opened.session->commit(epoch);
  ASSERT_FALSE(committed.ok());
  EXPECT_EQ(committed.error().code, Code::kCorrupt);
  EXPECT_NE(committed.error().message.find(other), std::string::npos) << committed.error().message;
  EXPECT_EQ(fs::file_size(other), 10u);
  EXPECT_EQ(table.visible().size(), 3u) << "nothing else of the epoch is there";
}

TEST(ParquetSink, FullDiskIsAnErrorUntilThereIsRoom) {
  ParquetFolder table("parquet-full");
  table.options.partition_by = {"flag"};
  Opened opened(table);
  opened.commit();
  const size_t before = table.visible().size();
  FilledEpoch epoch = opened.session->fill({0, 1}, 60, opened.model).value();
  int fail_at = 1;
  for (;; ++fail_at) {
    int calls = 0;
    // All that comes before the record.
    table.files.fails = [&](const std::string& operation, const std::string&) {
      return operation != "link" && ++calls == fail_at;
    };
    Status status = opened.session->commit(epoch);
    if (status.ok()) break;
    ASSERT_EQ(status.error().code, Code::kDiskFull) << status.error().message;
    ASSERT_TRUE(status.error().retryable);
    ASSERT_EQ(table.visible().size(), before);
    ASSERT_FALSE(fs::exists(table.options.directory + "/.tidemill/new/harness-0"));
    ASSERT_LT(fail_at, 100);
    if (!opened.session->check(opened.model).ok()) break;
  }
  EXPECT_GT(fail_at, 4);
  table.files.fails = {};
  opened.model.apply(epoch);
  EXPECT_TRUE(opened.session->check(opened.model).ok());
  opened.commit(10);
  opened.session->writer().release(std::vector{harness_partition(0), harness_partition(1)});
  Status same = opened.model.compare(table.read().value(), false, false);
  EXPECT_TRUE(same.ok()) << same.error().message;
}

TEST(ParquetSink, ACommitWhoseFilesGotNoNamesIsCompletedByTheNextOrByAStart) {
  ParquetFolder table("parquet-late");
  StoreModel model;
  for (bool restart : {false, true}) {
    table.scratch.clear();
    Opened opened(table);
    table.files.fails = [](const std::string& operation, const std::string& path) {
      return operation == "link" && path.ends_with(".parquet");
    };
    opened.commit();
    EXPECT_TRUE(table.visible().empty());
    // A second one would not know where to write.
    FilledEpoch epoch = opened.session->fill({0, 1}, 5, opened.model).value();
    Status refused = opened.session->commit(epoch);
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, Code::kDiskFull);
    table.files.fails = {};
    model = opened.model;
    if (restart) {
      opened.session.reset();
      opened.sink.reset();
      EXPECT_EQ(table.prepare_error(), "");
    } else {
      ASSERT_TRUE(opened.session->commit_to(epoch, &opened.model).ok());
      opened.session->writer().release(std::vector{harness_partition(0), harness_partition(1)});
      model = opened.model;
    }
    Status same = model.compare(table.read().value(), false, false);
    EXPECT_TRUE(same.ok()) << same.error().message;
  }
}

TEST(ParquetSink, ADamagedFileThatHasNoNameYetStopsAStart) {
  ParquetFolder table("parquet-damage");
  {
    Opened opened(table);
    table.files.fails = [](const std::string& operation, const std::string& path) {
      return operation == "link" && path.ends_with(".parquet");
    };
    opened.commit();
    table.files.fails = {};
  }
  const std::string staged =
      table.options.directory + "/.tidemill/new/harness-0/harness-0-00000000000000000100.new";
  fs::resize_file(staged, fs::file_size(staged) / 2);
  EXPECT_NE(table.prepare_error().find(staged + ": has "), std::string::npos);
}

TEST(ParquetSink, SaysWhatIsWrongWithATableThatIsThere) {
  ParquetFolder table("parquet-other");
  EXPECT_EQ(table.prepare_error(), "");
  EXPECT_EQ(table.prepare_error(), "");
  table.options.partition_by = {"flag"};
  EXPECT_NE(table.prepare_error().find("with partitions by [], but serve.parquet.partition_by is [flag]"),
            std::string::npos);
  table.options.partition_by = {"ratio"};
  EXPECT_NE(table.prepare_error().find("a partition goes by texts"), std::string::npos);
  table.options.partition_by = {"day(n)"};
  EXPECT_NE(table.prepare_error().find("n is BIGINT, not a time"), std::string::npos);
  table.options.partition_by = {};
  Schema schema = harness_schema();
  schema.fields[1].type = Type::kVarchar;
  EXPECT_NE(table.prepare_error(schema).find("column 2 is n BIGINT, the events have n VARCHAR"),
            std::string::npos);
  table.options.pipeline = "another";
  EXPECT_NE(table.prepare_error().find("it has the rows and positions of pipe from"), std::string::npos);
  table.options.directory = table.scratch.path("elsewhere");
  fs::create_directories(table.options.directory);
  std::ofstream(table.options.directory + "/other.parquet") << "PAR1";
  EXPECT_NE(table.prepare_error().find("holds other.parquet, which is not of this program"),
            std::string::npos);
}

TEST(ParquetSink, DividesByTheDayOfATime) {
  ParquetFolder table("parquet-days");
  table.options.partition_by = {"day(at)", "flag"};
  Opened opened(table);
  opened.commit();
  for (const std::string& name : table.visible()) EXPECT_EQ(name.substr(0, 4), "day=") << name;
  opened.session->writer().release(std::vector{harness_partition(0), harness_partition(1)});
  Status same = opened.model.compare(table.read().value(), false, false);
  EXPECT_TRUE(same.ok()) << same.error().message;
}

TEST(ParquetWriter, GivesValuesThatShareAFolderFilesOfTheirOwn) {
  Scratch scratch("parquet-folders");
  auto database = duck::Database::open(":memory:", {{"threads", "1"}}).value();
  auto connection = database->connect().value();
  TableLayout layout;
  layout.columns.resize(2);
  layout.columns[0].name = "s";
  layout.columns[0].type = "VARCHAR";
  layout.columns[1].name = "n";
  layout.columns[1].type = "BIGINT";
  ParquetOptions options;
  options.folder = scratch.path();
  options.partition_by = {"s"};
  ParquetWriter writer(*connection, layout, options);
  auto files = writer.write_query("FROM (VALUES (NULL, 1), ('__HIVE_DEFAULT_PARTITION__', 2)) t(s, n)", "x");
  ASSERT_TRUE(files.ok()) << files.error().message;
  ASSERT_EQ(files->size(), 2u);
  EXPECT_NE(files->at(0).name, files->at(1).name);
  auto rows = connection->query("SELECT count(*) FROM read_parquet('" + scratch.path() + "/*/*.parquet')");
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  ASSERT_EQ((*rows)->next().value(), 1u);
  EXPECT_EQ((*rows)->integer(0, 0), 2);
}

TEST(ParquetSink, PrintsTheTableForDuckDbAndSpark) {
  ParquetFolder table("parquet-ddl");
  table.options.directory = "/data/it's";
  table.options.partition_by = {"flag"};
  auto ddl = table.open().value()->ddl(harness_schema()).value();
  ASSERT_EQ(ddl.size(), 3u);
  EXPECT_NE(ddl[0].sql.find("read_parquet('/data/it''s/**/*.parquet', hive_partitioning = true, hive_types = "
                            "{'flag': BOOLEAN})"),
            std::string::npos)
      << ddl[0].sql;
  EXPECT_NE(ddl[1].sql.find("\nUSING PARQUET\nPARTITIONED BY (`flag`)\nLOCATION '/data/it\\'s'"),
            std::string::npos)
      << ddl[1].sql;
  EXPECT_EQ(ddl[2].sql, "MSCK REPAIR TABLE `it's`");
}

}  // namespace
}  // namespace tidemill::serve
