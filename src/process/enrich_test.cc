#include "process/enrich.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/testing/operator_harness.h"

namespace tidemill::process {
namespace {

using pipeline::OperatorCase;
using testing::HasSubstr;

OperatorCase enrich_case(std::vector<EnrichField> fields) {
  OperatorCase test_case;
  test_case.make = [fields] { return make_enrich(fields); };
  test_case.schema.fields = {{"id", {"id"}, Type::kVarchar, true},
                             {"offset", {"offset"}, Type::kVarchar, true}};
  for (int i = 0; i < 20; ++i) {
    test_case.events.push_back(
        {std::nullopt, "{\"id\":\"" + std::to_string(i) + "\"}", i == 3 ? -1 : 1'700'000'000'000 + i});
  }
  return test_case;
}

const std::vector<EnrichField> kAll = {{EnrichKind::kProcessedAt, ""},
                                       {EnrichKind::kEnqueuedAt, ""},
                                       {EnrichKind::kPartition, "p"},
                                       {EnrichKind::kOffset, "offset"}};

TEST(Enrich, PassesTheHarness) {
  Status status = check_operator(enrich_case(kAll));
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
}

TEST(Enrich, AddsTheFieldsInOrder) {
  auto output = run_operator(enrich_case(kAll), 7);
  ASSERT_TRUE(output.ok());
  ASSERT_EQ(output->rows.size(), 20u);
  EXPECT_THAT(output->rows[1].added,
              HasSubstr("\"enqueuedAt\":\"2023-11-14T22:13:20.001000Z\",\"p\":3,\"offset\":1001"));
  EXPECT_THAT(output->rows[3].added, HasSubstr("\"enqueuedAt\":null"));
  EXPECT_EQ(output->rows[0].added.find("\"processedAt\":"), 0u);
}

TEST(Enrich, BindAddsToTheSchemaAndReplacesWhatHasTheName) {
  auto op = make_enrich(kAll);
  ASSERT_TRUE(op.ok());
  Schema schema = enrich_case(kAll).schema;
  ASSERT_TRUE((*op)->bind(&schema).ok());
  ASSERT_EQ(schema.fields.size(), 5u);
  EXPECT_EQ(schema.fields[1].name, "offset");
  EXPECT_EQ(schema.fields[1].type, Type::kBigint);
  EXPECT_EQ(schema.fields[2].name, "processedAt");
  EXPECT_FALSE(schema.fields[2].nullable);
  EXPECT_TRUE(schema.fields[3].nullable);
  EXPECT_EQ((*op)->adds(), (std::vector<std::string>{"processedAt", "enqueuedAt", "p", "offset"}));
  EXPECT_EQ((*op)->describe(), "enrich processedAt, enqueuedAt, p (partition), offset");
}

TEST(Enrich, WrongOptionsAreNamed) {
  EXPECT_THAT(parse_enrich_kind("enqueudAt").error().message, HasSubstr("did you mean enqueuedAt?"));
  EXPECT_EQ(parse_enrich_kind("partition").value(), EnrichKind::kPartition);
  EXPECT_FALSE(make_enrich({}).ok());
  EXPECT_THAT(make_enrich({{EnrichKind::kOffset, "a"}, {EnrichKind::kPartition, "a"}}).error().message,
              HasSubstr("twice"));
}

}  // namespace
}  // namespace tidemill::process
