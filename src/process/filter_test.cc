#include "process/filter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/testing/operator_harness.h"

namespace tidemill::process {
namespace {

using testing::HasSubstr;

pipeline::OperatorCase filter_case(const std::string& where) {
  pipeline::OperatorCase test_case;
  test_case.make = [where] { return make_filter(where); };
  test_case.schema.fields = {{"n", {"n"}, Type::kBigint, true}, {"t", {"t"}, Type::kVarchar, true}};
  for (int i = 0; i < 40; ++i) {
    std::string t = i % 4 == 0 ? "null" : "\"" + std::string(i % 3, 'x') + "\"";
    test_case.events.push_back({"k", "{\"n\":" + std::to_string(i) + ",\"t\":" + t + "}", 1000 + i});
  }
  return test_case;
}

TEST(Filter, PassesTheHarness) {
  for (const char* where : {"n >= 10 and t <> 'x'", "t is null", "true", "false"}) {
    Status status = check_operator(filter_case(where));
    EXPECT_TRUE(status.ok()) << where << ": " << (status.ok() ? "" : status.error().message);
  }
}

TEST(Filter, PassesWhatIsTrueAndDropsTheRest) {
  auto output = run_operator(filter_case("t = 'x'"), 7);
  ASSERT_TRUE(output.ok());
  for (const pipeline::HarnessRow& row : output->rows) {
    int64_t i = row.offset - 1000;
    EXPECT_TRUE(i % 4 != 0 && i % 3 == 1) << i;
  }
  EXPECT_EQ(output->rows.size(), 10u);
  EXPECT_EQ(output->dropped, 30u);
}

TEST(Filter, WrongExpressionsAreNamed) {
  auto bind = [](const std::string& where) {
    auto op = make_filter(where);
    if (!op.ok()) return op.error().message;
    Schema schema = filter_case(where).schema;
    Status bound = (*op)->bind(&schema);
    return bound.ok() ? (*op)->describe() : bound.error().message;
  };
  EXPECT_EQ(bind("n > 1"), "filter n > 1");
  EXPECT_THAT(bind(" "), HasSubstr("where: is missing"));
  EXPECT_THAT(bind("n"), HasSubstr("where: n is a BIGINT; a filter needs what is true or false"));
  EXPECT_THAT(bind("m > 1"), HasSubstr("where: column 1: no field m; did you mean n?"));
}

}  // namespace
}  // namespace tidemill::process
