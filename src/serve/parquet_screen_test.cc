#include "serve/parquet_screen.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "serve/parquet_files.h"
#include "serve/testing/scratch.h"

namespace tidemill::serve {
namespace {

TableLayout layout_of(const std::string& column) {
  TableLayout layout;
  layout.columns.resize(2);
  layout.columns[0].name = column;
  layout.columns[0].type = "VARCHAR";
  layout.columns[1].name = "n";
  layout.columns[1].type = "BIGINT";
  layout.columns[1].field = 1;
  return layout;
}

std::vector<std::string> plain_values() {
  std::vector<std::string> values{"a", "NULLS", "n", "", "../x", "a b/c=%41", "__hive_default_partition__"};
  values.push_back(std::string(253, '~'));  // k=… has 255 bytes
  std::string letters = "x";
  for (int i = 0; i < 42; ++i) letters += "\xD0\xB6";
  values.push_back(letters);
  return values;
}

TEST(PartitionFault, WhatItLetsPassIsAFolderThatIsReadBackAsTheSameText) {
  Scratch scratch("partition-folders");
  auto connection = duck::Database::open(":memory:", {{"threads", "1"}}).value()->connect().value();
  const TableLayout layout = layout_of("k");
  ParquetOptions options;
  options.folder = scratch.path();
  options.partition_by = {"k"};
  ParquetWriter writer(*connection, layout, options);
  std::string rows;
  for (const std::string& value : plain_values()) {
    EXPECT_EQ(partition_fault("k", value, FolderNulls::kInFolder), "") << value;
    rows += (rows.empty() ? "(" : ", (") + quote_literal(value) + ", " + std::to_string(value.size()) + ")";
  }
  auto files = writer.write_query("SELECT nullif(k, '') AS k, n FROM (VALUES " + rows + ") t(k, n)", "x");
  ASSERT_TRUE(files.ok()) << files.error().message;
  EXPECT_EQ(files->size(), plain_values().size());
  auto read = connection->query("SELECT coalesce(k, ''), n FROM read_parquet('" + scratch.path() +
                                "/*/*.parquet', hive_partitioning = true, hive_types = {'k': VARCHAR})");
  ASSERT_TRUE(read.ok()) << read.error().message;
  std::vector<std::string> found, wanted = plain_values();
  for (size_t count = (*read)->next().value(); count > 0; count = (*read)->next().value()) {
    for (size_t i = 0; i < count; ++i) {
      found.emplace_back((*read)->text(0, i));
      EXPECT_EQ((*read)->integer(1, i), static_cast<int64_t>(found.back().size())) << found.back();
    }
  }
  std::sort(found.begin(), found.end());
  std::sort(wanted.begin(), wanted.end());
  EXPECT_EQ(found, wanted);
}

TEST(PartitionFault, SaysWhatNamesNoFolder) {
  std::string letters;
  for (int i = 0; i < 60; ++i) letters += "\xD0\xB6";
  for (FolderNulls nulls : {FolderNulls::kInFolder, FolderNulls::kInLog}) {
    EXPECT_EQ(partition_fault("k", letters, nulls),
              "its partition's folder would have a name of 362 bytes; the most is 255");
    EXPECT_NE(partition_fault("k", std::string(254, 'x'), nulls), "");
  }
  for (const char* null : {"NULL", "null", "Null", "__HIVE_DEFAULT_PARTITION__"}) {
    EXPECT_EQ(partition_fault("k", null, FolderNulls::kInFolder),
              std::string(null) + " in a folder's name means NULL");
    EXPECT_EQ(partition_fault("k", null, FolderNulls::kInLog), "");
  }
}

TEST(ScreenPartitions, RowsThatNameNoFolderAreDeadLetters) {
  const std::string longest(300, 'x');
  std::vector<Record> records;
  Batch batch;
  batch.source = {"in", Partition(1)};
  Column k("k", Type::kVarchar), n("n", Type::kBigint);
  for (const std::string_view value : {"a", "NULL", longest.c_str(), "b"}) {
    records.push_back({Offset(static_cast<int64_t>(records.size())), 7, "key", value, {}, 1, true, true});
    k.append_text(value);
    n.append_int64(0);
  }
  batch.set_records(records, nullptr);
  batch.columns.push_back(std::move(k));
  batch.columns.push_back(std::move(n));
  batch.select_all();
  const std::vector<Field> fields{{"k", {"k"}, Type::kVarchar, true}, {"n", {"n"}, Type::kBigint, true}};
  screen_partitions(layout_of("k"), fields, {"k"}, FolderNulls::kInFolder, batch);
  EXPECT_EQ(batch.selected, (std::vector<uint32_t>{0, 3}));
  ASSERT_EQ(batch.dead_letters.size(), 2u);
  EXPECT_EQ(batch.dead_letters[0].reason, "k: NULL in a folder's name means NULL");
  EXPECT_EQ(batch.dead_letters[0].offset, Offset(1));
  EXPECT_EQ(batch.dead_letters[1].reason,
            "k: its partition's folder would have a name of 302 bytes; the most is 255");
  EXPECT_EQ(batch.dead_letters[1].value, longest);
  screen_partitions(layout_of("k"), fields, {"n"}, FolderNulls::kInFolder, batch);
  EXPECT_EQ(batch.selected.size(), 2u);
}

}  // namespace
}  // namespace tidemill::serve
