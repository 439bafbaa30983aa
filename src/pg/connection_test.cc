#include "pg/connection.h"

#include <gtest/gtest.h>

namespace tidemill::pg {
namespace {

Options options_of(std::string connection) {
  Options options;
  options.connection = std::move(connection);
  return options;
}

TEST(PostgresConnection, IsDescribedWithoutItsSecrets) {
  for (const char* connection :
       {"postgresql://me:geheim@db:5433/telemetry", "postgres://me:ge%2Fhe%40im@db:5433/telemetry",
        "postgresql://me@db:5433/telemetry?password=geheim&application_name=a@b",
        "host=db port=5433 dbname=telemetry user=me password='geh@im/'"}) {
    auto place = describe(options_of(connection));
    ASSERT_TRUE(place.ok()) << connection << ": " << place.error().message;
    EXPECT_EQ(*place, "PostgreSQL database telemetry at db:5433");
    auto shown = connection_without_secrets(options_of(connection));
    ASSERT_TRUE(shown.ok()) << connection;
    EXPECT_EQ(shown->find("geh"), std::string::npos) << *shown;
  }
  for (const char* connection :
       {"postgresql://db/x?user=me@server", "postgresql://me@a:1,b:2/x", "postgresql:///a%40b?host=/run/pg"})
    EXPECT_TRUE(describe(options_of(connection)).ok()) << connection;
}

// libpq takes a part of each password for host, port or database.
TEST(PostgresConnection, APasswordThatDividesTheUriIsNeverShown) {
  for (const char* connection :
       {"postgresql://me:ge/heim@db:5433/telemetry", "postgresql://me:12/heim@db/telemetry",
        "postgresql://me:geh@im@db/telemetry", "postgresql://me:ge/he@im@db/telemetry",
        "postgres://me:geheim/@db", "postgresql://me:1/he?host=im@db/telemetry", "postgresql://me:geheim",
        "dbname=postgresql://me:geheim@db/telemetry"}) {
    for (const Error& error : {describe(options_of(connection)).error(),
                               connection_without_secrets(options_of(connection)).error(),
                               Connection::open(options_of(connection)).error()}) {
      EXPECT_EQ(error.domain, Domain::kUser) << connection;
      EXPECT_FALSE(error.retryable);
      for (const char* part : {"ge/", "geh", "heim", "im@"})
        EXPECT_EQ(error.message.find(part), std::string::npos) << connection << ": " << error.message;
      EXPECT_NE(error.message.find("'/' is written %2F"), std::string::npos) << error.message;
    }
  }
}

}  // namespace
}  // namespace tidemill::pg
