#include "process/project.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pipeline/testing/operator_harness.h"

namespace tidemill::process {
namespace {

using testing::HasSubstr;

pipeline::OperatorCase project_case(const ProjectOptions& options) {
  pipeline::OperatorCase test_case;
  test_case.make = [options] { return make_project(options); };
  test_case.schema.fields = {{"id", {"id"}, Type::kVarchar, true},
                             {"data.a", {"data", "a"}, Type::kBigint, true},
                             {"data.b", {"data", "b"}, Type::kDouble, true},
                             {"at", {"at"}, Type::kTimestamp, true}};
  test_case.schema.id_field = "id";
  test_case.schema.time_field = "at";
  for (int i = 0; i < 30; ++i) {
    std::string b = i % 5 == 0 ? "null" : std::to_string(i) + ".5";
    test_case.events.push_back({"k",
                                "{\"id\":\"e" + std::to_string(i) + "\",\"data\":{\"a\":" +
                                    std::to_string(i) + ",\"b\":" + b + "},\"at\":\"2026-01-31T12:00:00Z\"}",
                                1000 + i});
  }
  return test_case;
}

ProjectOptions with_add(std::vector<ComputedField> add) {
  ProjectOptions options;
  options.add = std::move(add);
  return options;
}

// The names of the schema after bind(), or the error.
std::string bind(const ProjectOptions& options, Schema* out = nullptr) {
  auto op = make_project(options);
  if (!op.ok()) return op.error().message;
  Schema schema = project_case(options).schema;
  Status bound = (*op)->bind(&schema);
  if (!bound.ok()) return bound.error().message;
  std::string names;
  for (const Field& field : schema.fields) names += field.name + " ";
  if (out != nullptr) *out = schema;
  return names;
}

TEST(Project, PassesTheHarness) {
  ProjectOptions options = with_add({{"sum", "data.a + data.b"},
                                     {"upper", "id"},
                                     {"large", "data.a > 10"},
                                     {"id", "data.a"},
                                     {"next", "at + 1"}});
  options.drop = {"data"};
  Status status = check_operator(project_case(options));
  EXPECT_TRUE(status.ok()) << (status.ok() ? "" : status.error().message);
}

TEST(Project, AddsComputedFieldsFromTheEventAsItCameIn) {
  auto output = run_operator(
      project_case(with_add({{"id", "data.a * 2"}, {"sum", "data.a + data.b"}, {"old", "id"}})), 4);
  ASSERT_TRUE(output.ok());
  EXPECT_EQ(output->rows[3].added, "\"id\":6,\"sum\":6.5,\"old\":\"e3\"");
  EXPECT_EQ(output->rows[5].added, "\"id\":10,\"sum\":null,\"old\":\"e5\"");
}

TEST(Project, KeepsAndDropsFieldsAndWholeObjects) {
  ProjectOptions keep;
  keep.keep = {"data", "id"};
  Schema schema;
  EXPECT_EQ(bind(keep, &schema), "id data.a data.b ");
  EXPECT_EQ(schema.id_field, "id");
  EXPECT_EQ(schema.time_field, "");
  keep.drop = {"data.b"};
  EXPECT_EQ(bind(keep), "id data.a ");
  ProjectOptions drop;
  drop.drop = {"data", "at"};
  EXPECT_EQ(bind(drop), "id ");
  drop.add = {{"data.sum", "data.a + data.b"}, {"data.b", "1"}};
  EXPECT_EQ(bind(drop, &schema), "id data.sum data.b ");
  EXPECT_EQ(schema.fields[1].path, (std::vector<std::string>{"data", "sum"}));
  EXPECT_EQ(schema.fields[1].type, Type::kDouble);
}

TEST(Project, AReplacedFieldStaysWhereItIs) {
  Schema schema;
  EXPECT_EQ(bind(with_add({{"data.a", "data.a + 0.5"}}), &schema), "id data.a data.b at ");
  EXPECT_EQ(schema.fields[1].path, (std::vector<std::string>{"data", "a"}));
  EXPECT_EQ(schema.fields[1].type, Type::kDouble);
}

TEST(Project, FieldsThatWereAddedBeforeAreDroppedFromTheSplice) {
  ProjectOptions options;
  options.drop = {"extra"};
  auto op = make_project(options);
  ASSERT_TRUE(op.ok());
  Schema schema = project_case(options).schema;
  schema.fields.push_back({"extra", {"extra"}, Type::kBigint, true});
  ASSERT_TRUE((*op)->bind(&schema).ok());
  auto batch = std::make_unique<Batch>();
  batch->columns.emplace_back("kept", Type::kBigint);
  batch->columns.emplace_back("extra", Type::kBigint);
  batch->added = {0, 1};
  struct Out final : pipeline::Outbox {
    bool push(BatchPtr& pushed) override {
      batch = std::move(pushed);
      return true;
    }
    BatchPtr batch;
  } out;
  pipeline::OperatorContext context;
  ASSERT_TRUE((*op)->open({"t", Partition(0)})->process(batch, context, out).ok());
  EXPECT_EQ(out.batch->added, (std::vector<uint32_t>{0}));
}

TEST(Project, WrongOptionsAreNamed) {
  EXPECT_THAT(bind({}), HasSubstr("does nothing"));
  EXPECT_THAT(bind(with_add({{"x", "1"}, {"x", "2"}})), HasSubstr("add: x stands there twice"));
  EXPECT_THAT(bind(with_add({{"x", "idd"}})), HasSubstr("add.x: column 1: no field idd; did you mean id?"));
  EXPECT_THAT(bind(with_add({{"data", "1"}})),
              HasSubstr("data.a is a field; one cannot be a member of the other"));
  ProjectOptions keep;
  keep.keep = {"dat"};
  EXPECT_THAT(bind(keep), HasSubstr("keep: the event has no field dat; did you mean at?"));
  ProjectOptions drop;
  drop.drop = {"data", "id", "at"};
  EXPECT_THAT(bind(drop), HasSubstr("leaves no field"));
}

TEST(Project, DescribesItself) {
  ProjectOptions options = with_add({{"x", "data.a + 1"}});
  options.keep = {"id", "at"};
  options.drop = {"at"};
  auto op = make_project(options);
  ASSERT_TRUE(op.ok());
  EXPECT_EQ((*op)->describe(), "project keep id, at, drop at, add x = data.a + 1");
}

}  // namespace
}  // namespace tidemill::process
