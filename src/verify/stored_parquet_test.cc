// What folders' names do to rows, as the verifier reads and expects it.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "verify/input_decoder.h"
#include "verify/stores.h"

namespace tidemill::verify {
namespace {

namespace fs = std::filesystem;

struct Folder {
  Folder() {
    fs::remove_all(path);
    fs::create_directories(path + "/.tidemill");
    const std::ofstream journal(path + "/.tidemill/journal");
    std::ofstream(path + "/.tidemill/table.json")
        << R"({"version":1,"pipeline":"p","source":"s","schema":{"type":"struct","fields":[)"
        << R"({"name":"filename","type":"string"},{"name":"k","type":"string"}]},"partition_by":["k"]})";
  }
  ~Folder() { fs::remove_all(path); }
  std::string path = ::testing::TempDir() + "stored-parquet-" + std::to_string(::getpid());
};

TEST(StoredParquet, AColumnMayBeCalledFilename) {
  Folder folder;
  auto written = duck::Database::open(":memory:", {{"threads", "1"}}).value()->connect().value();
  fs::create_directories(folder.path + "/k=%D0%B6");
  auto copied = written->execute("COPY (SELECT 'mine' AS filename) TO '" + folder.path +
                                 "/k=%D0%B6/in-0-00000000000000000000.parquet'");
  ASSERT_TRUE(copied.ok()) << copied.error().message;
  auto opened = open_parquet(FileSystem::posix(), {folder.path});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->folders.names, std::vector<std::string>{"k"});
  auto rows = opened->database->connect().value()->query("SELECT filename, k FROM " + opened->table);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  ASSERT_EQ((*rows)->next().value(), 1u);
  EXPECT_EQ((*rows)->text(0, 0), "mine");
  EXPECT_EQ((*rows)->text(1, 0), "\xD0\xB6");
}

TEST(StoredParquet, AForeignFileIsNamedAndNotRead) {
  Folder folder;
  fs::create_directories(folder.path + "/k=a");
  std::ofstream(folder.path + "/k=a/part-0.parquet") << "no Parquet";
  auto opened = open_parquet(FileSystem::posix(), {folder.path});
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(opened->wrong,
            std::vector<std::string>{folder.path + "/k=a/part-0.parquet: is not the sink's, and others "
                                                   "read its rows, too"});
  auto rows = opened->database->connect().value()->query("SELECT filename, k FROM " + opened->table);
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  EXPECT_EQ((*rows)->next().value(), 0u);
}

TEST(StoredParquet, WhatAFoldersNameCannotHoldIsExpectedToBeNullOrADeadLetter) {
  using Fate = InputDecoder::Fate;
  VerifyRequest request;
  struct Run run(request, FileSystem::posix());
  run.fields = {{"k", {"k"}, FieldType::kText, true}, {"other", {"other"}, FieldType::kText, true}};
  run.folders = {{"k"}, true};
  InputDecoder decoder(run);
  std::string wrong;
  const auto fate = [&](const std::string& k) {
    const std::string json = R"({"k":")" + k + R"(","other":""})";
    LogRecord record;
    record.has_value = true;
    record.value = json;
    return decoder.decide(record, &wrong);
  };
  EXPECT_EQ(fate(""), Fate::kStored);
  EXPECT_EQ(decoder.values()[0].kind, FieldValue::Kind::kNull);
  EXPECT_EQ(decoder.values()[1].kind, FieldValue::Kind::kText) << "it names no folder";
  EXPECT_EQ(fate(std::string(253, 'x')), Fate::kStored);
  EXPECT_EQ(fate(std::string(254, 'x')), Fate::kDead);
  EXPECT_EQ(fate(std::string(84, '+')), Fate::kStored);
  EXPECT_EQ(fate(std::string(85, '+')), Fate::kDead);
  EXPECT_EQ(fate("Null"), Fate::kDead);
  EXPECT_EQ(fate("nulls"), Fate::kStored);
  EXPECT_EQ(fate("__HIVE_DEFAULT_PARTITION__"), Fate::kDead);
  run.folders.name_is_value = false;
  EXPECT_EQ(fate("NULL"), Fate::kStored);
  EXPECT_EQ(fate(std::string(254, 'x')), Fate::kDead);
}

}  // namespace
}  // namespace tidemill::verify
