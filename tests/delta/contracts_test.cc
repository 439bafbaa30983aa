// The contract of a sink (pipeline/testing) in Azure storage, and of its client: TIDEMILL_AZURE_URL and
// AZURE_STORAGE_CONNECTION_STRING say where (azure.py starts Azurite).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "azure/container.h"
#include "base/steps.h"
#include "pipeline/testing/sink_harness.h"
#include "pipeline/testing/sink_session.h"
#include "serve/azure_store.h"
#include "serve/delta_schema.h"
#include "serve/delta_sink.h"
#include "serve/testing/scratch.h"

namespace tidemill {
namespace {

using namespace pipeline::testing;

std::string url_of(const std::string& path) {
  const char* container = std::getenv("TIDEMILL_AZURE_URL");
  return std::string(container == nullptr ? "" : container) + "/" + path;
}

Random& randomness() {
  // Forked processes draw names of their own.
  static thread_local pid_t owner = 0;
  static thread_local std::unique_ptr<SeededRandom> random;
  if (owner != ::getpid()) {
    owner = ::getpid();
    random = std::make_unique<SeededRandom>(Clock::system().steady_ns() ^ int64_t{owner} << 40);
  }
  return *random;
}

std::unique_ptr<azure::Container> open_container(const std::string& path,
                                                 azure::ContainerOptions options = {}) {
  return azure::Container::open(azure::find_access(url_of(path), {}).value(), Clock::system(),
                                Random::system(), options)
      .value();
}

struct AzureTable {
  explicit AzureTable(const std::string& name) : scratch("azure-" + name), name_(name) {
    options.pipeline = "pipe";
    options.source = "the log of a test";
    options.stored_at = "storedAt";
    options.checkpoint_interval = 4;
    options.memory_limit_bytes = 256 << 20;
    options.threads = 1;
    options.merge = false;
    options.open_store = [this](const std::string& place) { return store(place); };
    sut.clear = [this]() -> Status {
      scratch.clear();
      // What a killed process has begun to send may get there yet: no two tables share a place.
      const std::string folder = name_ + "-" + std::to_string(++tables_);
      options.folder = url_of(folder + "/events");
      options.dead_folder = url_of(folder + "/letters");
      return {};
    };
    sut.open = [this]() -> Result<std::unique_ptr<pipeline::Sink>> {
      return std::unique_ptr<pipeline::Sink>(
          std::make_unique<serve::DeltaSink>(FileSystem::posix(), Clock::system(), randomness(), options));
    };
    sut.read = sut.read_live = [this] { return read(); };
    sut.steps = {"delta.committed"};
    sut.steps_with_rows = {"delta.files.written", "delta.file.uploaded", "delta.files.durable"};
    sut.ordered = false;
    sut.max_records = 1'000;
    EXPECT_TRUE(sut.clear().ok());
  }

  Result<std::shared_ptr<serve::ObjectStore>> store(const std::string& place) {
    TM_ASSIGN(azure::Access access, azure::find_access(place, {}));
    serve::AzureStoreOptions opened;
    opened.place = place;
    opened.folder = scratch.path(serve::random_id(randomness()));
    opened.create = true;
    return serve::AzureStore::open(std::move(access), Clock::system(), randomness(), std::move(opened));
  }

  Result<StoredContents> read() {
    StoredContents stored;
    TM_ASSIGN(auto opened, duck::Database::open(":memory:", {{"threads", "1"}}));
    const std::shared_ptr<duck::Database> database = std::move(opened);
    TM_ASSIGN(auto connection, database->connect());
    serve::DeltaState rows_state;
    const auto each_row = [&](const std::string& place, const std::function<void(duck::Rows&, size_t)>& row,
                              serve::DeltaState* state) -> Status {
      TM_ASSIGN(auto objects, store(place));
      serve::DeltaLog log(objects, database, Clock::system());
      TM_ASSIGN(*state, log.at(-1, -1));
      std::vector<std::string> names;
      for (const auto& [path, file] : state->files) names.push_back(serve::delta_path(path));
      TM_ASSIGN(serve::LocalFiles local, objects->fetch(names));
      TM_ASSIGN(std::string sql, serve::delta_rows_sql(*state, local.folder()));
      TM_ASSIGN(auto rows, connection->query(sql));
      for (;;) {
        TM_ASSIGN(size_t count, rows->next());
        if (count == 0) return {};
        for (size_t i = 0; i < count; ++i) row(*rows, i);
      }
    };
    TM_TRY(each_row(
        options.folder,
        [&](duck::Rows& rows, size_t i) { stored.rows.push_back(*parse_harness_id(rows.text(0, i))); },
        &rows_state));
    serve::DeltaState letters_state;
    Status letters = each_row(
        options.dead_folder,
        [&](duck::Rows& rows, size_t i) {
          const Partition partition(static_cast<int32_t>(rows.integer(1, i)));
          const auto position = serve::DeltaPositions(options.pipeline, options.source)
                                    .read(rows_state, harness_partition(partition.value()))
                                    .position;
          // Those of an epoch whose rows are not committed do not count yet.
          if (!position || rows.integer(2, i) >= position->offset.value()) return;
          stored.dead_letters.push_back({{partition, Offset(rows.integer(2, i))},
                                         std::string(rows.text(4, i)),
                                         std::string(rows.text(6, i))});
        },
        &letters_state);
    if (!letters.ok() && letters.error().code != Code::kNotFound) return std::move(letters).error();
    return stored;
  }

  serve::Scratch scratch;
  const std::string name_;
  int tables_ = 0;
  serve::DeltaSinkOptions options;
  SinkUnderTest sut;
};

TEST(AzureDelta, PassesTheHarness) {
  AzureTable table("harness");
  Status status = check_sink(table.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(AzureDelta, PassesTheHarnessWithPartitions) {
  AzureTable table("partitions");
  table.options.partition_by = {"flag"};
  Status status = check_sink(table.sut, 2);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(AzureDelta, StoresAllOrNothingWhereverItIsKilled) {
  AzureTable table("kills");
  table.sut.read_live = {};
  Status status = check_kills(table.sut);
  EXPECT_TRUE(status.ok()) << status.error().message;
}

TEST(AzureDelta, MergesAndVacuumsAsInAFolder) {
  AzureTable table("merge");
  table.options.partition_by = {"flag"};
  auto sink = table.sut.open().value();
  ASSERT_TRUE(sink->prepare(harness_schema()).ok());
  StoreModel model;
  SinkSession session = SinkSession::open(*sink, 0).value();
  ASSERT_TRUE(session.acquire({0, 1, 2}, model).ok());
  for (int e = 0; e < 6; ++e) {
    FilledEpoch epoch = session.fill({0, 1, 2}, 20, model).value();
    ASSERT_TRUE(session.commit_to(epoch, &model).ok());
  }
  std::shared_ptr<duck::Database> database = duck::Database::open(":memory:", {{"threads", "1"}}).value();
  serve::DeltaLog log(table.store(table.options.folder).value(), database, Clock::system());
  serve::DeltaUpkeep upkeep(log, database, Clock::system(), randomness(), {});
  EXPECT_EQ(upkeep.merge_all().value().into, 3u);
  EXPECT_EQ(log.at(-1, -1).value().files.size(), 3u);
  const size_t before = log.store().list_all().value().size();
  serve::DeltaVacuum vacuum;
  EXPECT_EQ(serve::vacuum_delta(log, Clock::system(), vacuum).value().files, 0u);
  vacuum.retention_us = -10'000'000;
  const serve::DeltaVacuumed removed = serve::vacuum_delta(log, Clock::system(), vacuum).value();
  EXPECT_GT(removed.files, 3u);
  EXPECT_GT(removed.bytes, 0);
  EXPECT_EQ(log.store().list_all().value().size(), before - removed.files);
  Status same = model.compare(table.read().value(), false, false);
  EXPECT_TRUE(same.ok()) << same.error().message;
  // Nothing is left on this machine but what is open.
  sink.reset();
  for (const auto& one : std::filesystem::recursive_directory_iterator(table.scratch.path()))
    EXPECT_FALSE(one.is_regular_file()) << one.path();
}

TEST(AzureContainer, KeepsWhatItIsGivenAsItIs) {
  auto container = open_container("client");
  ASSERT_TRUE(container->create_if_missing().ok());
  ASSERT_TRUE(container->create_if_missing().ok());
  ASSERT_TRUE(container->probe(true).ok());
  const std::string odd = "client/type=a b%20c&d+e/ü<>'#?.json";
  ASSERT_TRUE(container->put(odd, "one").ok());
  EXPECT_EQ(container->get(odd).value(), "one");
  EXPECT_EQ(container->put_if_absent(odd, "two").error().code, Code::kExists);
  EXPECT_TRUE(container->put_if_absent(odd, "one").ok());  // its own, after an answer that was lost
  ASSERT_TRUE(container->put(odd, "").ok());
  EXPECT_EQ(container->get(odd).value(), "");
  std::vector<std::string> names;
  ASSERT_TRUE(
      container->list("client/", true, [&](azure::ListedBlob&& blob) { names.push_back(blob.name); }).ok());
  EXPECT_EQ(names, std::vector{odd});
  names.clear();
  ASSERT_TRUE(
      container->list("client/", false, [&](azure::ListedBlob&& blob) { names.push_back(blob.name); }).ok());
  EXPECT_TRUE(names.empty());
  EXPECT_TRUE(container->remove(odd).ok());
  EXPECT_EQ(container->remove(odd).error().code, Code::kNotFound);
  EXPECT_EQ(container->get(odd).error().code, Code::kNotFound);
}

TEST(AzureContainer, SendsLargeFilesInBlocksAndReadsThemBack) {
  serve::Scratch scratch("azure-blocks");
  azure::ContainerOptions options;
  options.block_bytes = 1 << 20;
  auto container = open_container("blocks", options);
  ASSERT_TRUE(container->create_if_missing().ok());
  SeededRandom random(7);
  for (size_t size : {size_t{0}, size_t{1}, size_t{2} << 20, (size_t{2} << 20) + 1, size_t{5} << 20}) {
    std::string content(size, '\0');
    for (char& c : content) c = static_cast<char>(random.next());
    std::ofstream(scratch.path("sent"), std::ios::binary) << content;
    const std::string name = "blocks/" + std::to_string(size);
    ASSERT_TRUE(container->put_file(name, scratch.path("sent"), true).ok());
    EXPECT_EQ(container->put_file(name, scratch.path("sent"), true).error().code, Code::kExists);
    ASSERT_TRUE(container->download(name, scratch.path("got")).ok());
    EXPECT_EQ(read_file(FileSystem::posix(), scratch.path("got")).value(), content);
  }
}

TEST(AzureContainer, TakesNoTextThatItCouldNotReadAgain) {
  auto container = open_container("long");
  ASSERT_TRUE(container->create_if_missing().ok());
  const std::string most(70 << 20, 'x');  // a commit of many thousand files
  ASSERT_TRUE(container->put_if_absent("long/commit", most).ok());
  EXPECT_EQ(container->get("long/commit").value(), most);
  azure::ContainerOptions options;
  options.most_bytes = most.size() - 1;
  auto shorter = open_container("long", options);
  EXPECT_EQ(shorter->get("long/commit").error().message,
            "long/commit is longer than 73400319B, which is the most that is read as a whole");
  options.most_bytes = most.size();
  EXPECT_EQ(open_container("long", options)->get("long/commit").value(), most);
  for (const Status& put : {shorter->put_if_absent("long/next", most), shorter->put("long/next", most)})
    EXPECT_NE(put.error().message.find("long/next would have 70MiB; read as a whole it may have"),
              std::string::npos)
        << put.error().message;
  EXPECT_EQ(container->get("long/next").error().code, Code::kNotFound);
}

TEST(AzureContainer, LeavesAFileAloneUntilThereIsSomethingForIt) {
  serve::Scratch scratch("azure-untouched");
  auto container = open_container("untouched");
  ASSERT_TRUE(container->create_if_missing().ok());
  std::ofstream(scratch.path("file")) << "mine";
  EXPECT_EQ(container->download("untouched/nothing", scratch.path("file")).error().code, Code::kNotFound);
  EXPECT_EQ(read_file(FileSystem::posix(), scratch.path("file")).value(), "mine");
  EXPECT_EQ(container->download("untouched/nothing", scratch.path("new")).error().code, Code::kNotFound);
  EXPECT_FALSE(std::filesystem::exists(scratch.path("new")));
  ASSERT_TRUE(container->put("untouched/empty", "").ok());
  ASSERT_TRUE(container->download("untouched/empty", scratch.path("file")).ok());
  EXPECT_EQ(read_file(FileSystem::posix(), scratch.path("file")).value(), "");
}

TEST(AzureContainer, ListsPastAPage) {
  azure::ContainerOptions options;
  options.page = 7;
  auto container = open_container("many", options);
  ASSERT_TRUE(container->create_if_missing().ok());
  constexpr size_t kMany = 40;
  ASSERT_TRUE(azure::in_parallel(kMany, [&](size_t i) {
                return container->put("many/" + std::to_string(100'000 + i), "x");
              }).ok());
  std::vector<std::string> names;
  ASSERT_TRUE(
      container->list("many/", true, [&](azure::ListedBlob&& blob) { names.push_back(blob.name); }).ok());
  ASSERT_EQ(names.size(), kMany);
  EXPECT_EQ(names.front(), "many/100000");
  EXPECT_EQ(names.back(), "many/" + std::to_string(100'000 + kMany - 1));
}

}  // namespace
}  // namespace tidemill
