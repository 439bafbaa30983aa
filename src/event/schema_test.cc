#include "event/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tidemill {
namespace {

using testing::ElementsAre;

TEST(Types, HaveSqlNamesAndAliases) {
  for (Type type : {Type::kBoolean, Type::kInteger, Type::kBigint, Type::kDouble, Type::kTimestamp,
                    Type::kVarchar, Type::kJson}) {
    EXPECT_EQ(parse_type(type_name(type)), type);
  }
  EXPECT_EQ(type_name(Type::kBigint), "BIGINT");
  EXPECT_EQ(parse_type("bigint"), Type::kBigint);
  EXPECT_EQ(parse_type("Double Precision"), Type::kDouble);
  EXPECT_EQ(parse_type("text"), Type::kVarchar);
  EXPECT_EQ(parse_type("timestamptz"), Type::kTimestamp);
  EXPECT_EQ(parse_type(""), std::nullopt);
  EXPECT_EQ(parse_type("BIGINTEGER"), std::nullopt);
  EXPECT_EQ(parse_type("BIG"), std::nullopt);
}

TEST(Paths, SplitAtDotsThatAreNotEscaped) {
  EXPECT_THAT(split_path("deviceId"), ElementsAre("deviceId"));
  EXPECT_THAT(split_path("complexData.moreData7"), ElementsAre("complexData", "moreData7"));
  EXPECT_THAT(split_path("a\\.b.c"), ElementsAre("a.b", "c"));
  EXPECT_THAT(split_path("a\\b\\"), ElementsAre("a\\b\\"));
  EXPECT_THAT(split_path("a..b"), ElementsAre("a", "", "b"));
  EXPECT_THAT(split_path(""), ElementsAre(""));
}

TEST(TelemetrySchema, IsTheDocumentedEvent) {
  Schema schema = telemetry_schema();
  EXPECT_EQ(schema.fields.size(), 29u);
  EXPECT_EQ(schema.find("eventId"), 0);
  EXPECT_EQ(schema.find("nothing"), -1);
  const Field& last = schema.fields[static_cast<size_t>(schema.find("complexData.moreData22"))];
  EXPECT_THAT(last.path, ElementsAre("complexData", "moreData22"));
  EXPECT_EQ(last.type, Type::kDouble);
  for (const std::string& role :
       {schema.id_field, schema.key_field, schema.sequence_field, schema.time_field}) {
    ASSERT_GE(schema.find(role), 0) << role;
    EXPECT_FALSE(schema.fields[static_cast<size_t>(schema.find(role))].nullable) << role;
  }
  EXPECT_EQ(telemetry_schema(2, 1).fields[1].name, "complexData.moreData1");
  EXPECT_EQ(telemetry_schema(0).fields.size(), 6u);
}

TEST(SensorSchema, HasNoRoles) {
  Schema schema = sensor_schema();
  EXPECT_EQ(schema.fields.size(), 3u);
  EXPECT_TRUE(schema.id_field.empty());
}

}  // namespace
}  // namespace tidemill
