#include "serve/dead_letters.h"

#include <gtest/gtest.h>

#include "duck/duck.h"
#include "serve/duckdb_chunks.h"

namespace tidemill::serve {
namespace {

// Producers choose timestamps: -1 says "none", and others are beyond what microseconds hold.
TEST(DeadLetters, KeepOnlyTimestampsThatAreThere) {
  std::vector<DeadLetter> letters(3);
  letters[0].timestamp_ms = 1'700'000'000'123;
  letters[1].timestamp_ms = -1;
  letters[2].timestamp_ms = INT64_MAX;
  std::string json;
  for (const DeadLetter& letter : letters) append_dead_letter_json(letter, &json);
  EXPECT_NE(json.find(R"("timestamp":"2023-11-14T22:13:20.123Z")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("timestamp":null)"), json.rfind(R"("timestamp":null)")) << json;

  auto connection = duck::Database::open(":memory:", {}).value()->connect().value();
  ASSERT_TRUE(connection->execute(duckdb_dead_letters_sql("letters")).ok());
  {
    auto appender = connection->appender("letters").value();
    ASSERT_TRUE(append_dead_letters(letters, 0, *appender).ok());
    ASSERT_TRUE(appender->flush().ok());
  }
  auto rows =
      connection
          ->query("SELECT string_agg(coalesce(CAST(\"timestamp\" AS VARCHAR), 'NULL'), ' ') FROM letters")
          .value();
  ASSERT_EQ(rows->next().value(), 1u);
  EXPECT_EQ(rows->text(0, 0), "2023-11-14 22:13:20.123 NULL NULL");
}

}  // namespace
}  // namespace tidemill::serve
