// The verifier's reading of Delta tables, whose files need not all have the table's columns.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "verify/stores.h"

namespace tidemill::verify {
namespace {

TEST(StoredDelta, ColumnsAreTheTablesWhateverAFileHas) {
  const std::string folder =
      std::filesystem::temp_directory_path() / ("tidemill-stored-delta-" + std::to_string(::getpid()));
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder + "/_delta_log");
  auto writer = duck::Database::open(":memory:", {}).value()->connect().value();
  for (const auto& [name, rows] :
       {std::pair<std::string, std::string>{"a", "SELECT 1 AS n, {'x': CAST(1 AS FLOAT)} AS s, 5 AS unknown"},
        {"b", "SELECT 'later' AS t, {'y': 2.5, 'x': 0.5} AS s, 2::BIGINT AS n"}})
    ASSERT_TRUE(writer->execute("COPY (" + rows + ") TO '" + folder + "/" + name + ".parquet'").ok());
  const std::string field = R"(\",\"nullable\":true,\"metadata\":{}})", x = R"({\"name\":\")",
                    type = R"(\",\"type\":\")";
  std::ofstream(folder + "/_delta_log/00000000000000000000.json")
      << R"({"metaData":{"schemaString":"{\"type\":\"struct\",\"fields\":[)" << x << "n" << type << "long"
      << field << "," << x << R"(s\",\"type\":{\"type\":\"struct\",\"fields\":[)" << x << "x" << type
      << "double" << field << "," << x << "y" << type << "double" << field
      << R"(]},\"nullable\":true,\"metadata\":{}},)" << x << "t" << type << "string" << field << "," << x
      << "new" << type << "timestamp" << field << R"(]}","partitionColumns":[]}})"
      << "\n"
      << R"({"add":{"path":"a.parquet","partitionValues":{}}})"
      << "\n"
      << R"({"add":{"path":"b.parquet","partitionValues":{}}})"
      << "\n";
  DeltaTable table;
  table.folder = folder;
  table.dead_letters = folder + "-letters";
  auto opened = open_delta(table);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  auto connection = opened->database->connect().value();
  auto rows = connection->query("SELECT concat(n, ' ', s, ' ', t, ' ', \"new\") FROM " + opened->table +
                                " ORDER BY n");
  ASSERT_TRUE(rows.ok()) << rows.error().message;
  ASSERT_EQ((*rows)->next().value(), 2u);
  EXPECT_EQ((*rows)->text(0, 0), "1 {'x': 1.0, 'y': NULL}  ");
  EXPECT_EQ((*rows)->text(0, 1), "2 {'x': 0.5, 'y': 2.5} later ");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace tidemill::verify
