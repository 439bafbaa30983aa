#include "process/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/random.h"
#include "event/timestamp.h"
#include "process/expression_program.h"
#include "process/expression_syntax.h"

namespace tidemill::process {
namespace {

using testing::HasSubstr;

Schema test_schema() {
  Schema schema;
  auto add = [&](const char* name, Type type) {
    schema.fields.push_back({name, split_path(name), type, true});
  };
  add("deviceId", Type::kVarchar);
  add("value", Type::kDouble);
  add("count", Type::kBigint);
  add("small", Type::kInteger);
  add("on", Type::kBoolean);
  add("createdAt", Type::kTimestamp);
  add("complexData", Type::kJson);
  add("complexData.moreData7", Type::kDouble);
  add("größe", Type::kBigint);
  add("odd name", Type::kBigint);
  return schema;
}

// Two rows: one with values, one with NULLs.
const Batch& test_batch() {
  static const Batch* batch = [] {
    auto* made = new Batch;
    for (const Field& field : test_schema().fields) made->columns.emplace_back(field.name, field.type);
    made->columns[0].append_text("contoso-7");
    made->columns[1].append_double(42.5);
    made->columns[2].append_int64(7);
    made->columns[3].append_int64(-3);
    made->columns[4].append_bool(true);
    made->columns[5].append_int64(*parse_timestamp_us("2026-01-31T12:00:00.000001Z"));
    made->columns[6].append_text("{}");
    made->columns[7].append_double(0.5);
    made->columns[8].append_int64(1);
    made->columns[9].append_int64(std::numeric_limits<int64_t>::max());
    for (Column& column : made->columns) column.append_null();
    return made;
  }();
  return *batch;
}

// The value in the row, as text; or the error's message.
std::string value_of(const std::string& text, uint32_t row = 0) {
  auto bound = Expression::bind(text, test_schema());
  if (!bound.ok()) return bound.error().message;
  ExpressionRun run(*bound);
  const uint32_t rows[] = {row};
  const ExpressionValues& values = run.evaluate(test_batch(), rows);
  if (values.valid[0] == 0) return "null";
  switch (bound->type()) {
    case Type::kBoolean:
      return values.integers[0] != 0 ? "true" : "false";
    case Type::kTimestamp:
      return format_timestamp(values.integers[0]);
    case Type::kDouble: {
      char number[32];
      snprintf(number, sizeof number, "%.17g", values.doubles[0]);
      return number;
    }
    case Type::kVarchar:
    case Type::kJson:
      return "'" + std::string(values.texts[0]) + "'";
    case Type::kInteger:
    case Type::kBigint:
      break;
  }
  return std::to_string(values.integers[0]);
}

TEST(Expression, GivesTheValuesOfSql) {
  const std::pair<const char*, const char*> cases[] = {
      {"value > 42", "true"},
      {"value = 42.5 and count <> 7", "false"},
      {"VALUE > 42 or on", "column 1: no field VALUE; did you mean value?"},
      {"1 + 2 * 3 - 4", "3"},
      {"(1 + 2) * 3", "9"},
      {"-small * -2", "-6"},
      {"7 / 2", "3.5"},
      {"count / 2 + 1", "4.5"},
      {"value * 2", "85"},
      {".5 + 1e1 + 2.5E-1", "10.75"},
      {"deviceId", "'contoso-7'"},
      {"deviceId = 'contoso-7'", "true"},
      {"deviceId < 'contoso-70' and deviceId > 'contoso-'", "true"},
      {"'it''s'", "'it's'"},
      {"\"odd name\" = 9223372036854775807", "true"},
      {"größe = 1", "true"},
      {"complexData.moreData7 <= 0.5", "true"},
      {"complexData is not null", "true"},
      {"not on", "false"},
      {"NOT on = false AND TRUE", "true"},
      {"not not on", "true"},
      {"on = true", "true"},
      {"count in (1, 7.0, 9)", "true"},
      {"count not in (1, 9)", "true"},
      {"deviceId in ('a', 'contoso-7')", "true"},
      {"deviceId like 'contoso%'", "true"},
      {"deviceId like '_ontoso-_'", "true"},
      {"deviceId not like '%8'", "true"},
      {"createdAt > '2026-01-31T12:00:00Z'", "true"},
      {"'2026-01-31T13:00:00.000001+01:00' = createdAt", "true"},
      {"createdAt in ('2026-01-31', null)",
       "column 15: '2026-01-31' is not a timestamp; write it as '2026-01-31T12:00:00Z'"},
      {"createdAt - '2026-01-31T12:00:00Z'", "1"},
      {"createdAt + 1000000", "2026-01-31T12:00:01.000001Z"},
      {"60000000 + createdAt", "2026-01-31T12:01:00.000001Z"},
      {"createdAt - 1", "2026-01-31T12:00:00.000000Z"},
      {"-9223372036854775808", "-9223372036854775808"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(value_of(text), expected) << text;
}

TEST(Expression, WhatIsUnknownIsNull) {
  const std::pair<const char*, const char*> cases[] = {
      {"value > 42", "null"},
      {"value = value", "null"},
      {"value is null", "true"},
      {"value is not null", "false"},
      {"not on", "null"},
      {"value > 1 and false", "false"},
      {"false and value > 1", "false"},
      {"value > 1 and true", "null"},
      {"value > 1 or true", "true"},
      {"true or value > 1", "true"},
      {"value > 1 or false", "null"},
      {"value > 1 or on", "null"},
      {"count in (1, 2)", "null"},
      {"1 in (1, count)", "true"},
      {"1 in (2, count)", "null"},
      {"1 not in (2, count)", "null"},
      {"1 in (2, null)", "null"},
      {"null = null", "null"},
      {"count + null", "null"},
      {"deviceId like 'a%'", "null"},
      {"-count", "null"},
      {"createdAt - createdAt", "null"},
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(value_of(text, 1), expected) << text;
}

TEST(Expression, WhatHasNoValueIsNull) {
  EXPECT_EQ(value_of("\"odd name\" + 1"), "null");
  EXPECT_EQ(value_of("\"odd name\" * 2"), "null");
  EXPECT_EQ(value_of("-(-9223372036854775807 - 1)"), "null");
  EXPECT_EQ(value_of("value / 0"), "null");
  EXPECT_EQ(value_of("1e308 * 10.0"), "null");
  EXPECT_EQ(value_of("createdAt + \"odd name\""), "null");
}

TEST(Expression, IntegersAndDoublesAreComparedExactly) {
  EXPECT_EQ(value_of("9007199254740993 = 9007199254740992.0"), "false");
  EXPECT_EQ(value_of("9007199254740993 > 9007199254740992.0"), "true");
  EXPECT_EQ(value_of("\"odd name\" < 9223372036854775808.0"), "true");
  EXPECT_EQ(value_of("-9223372036854775808 = -9223372036854775808.0"), "true");
  EXPECT_EQ(value_of("-3 > -3.5"), "true");
  EXPECT_EQ(value_of("3 < 3.5"), "true");
  EXPECT_EQ(value_of("-1e300 < small"), "true");
}

TEST(Expression, ErrorsNameColumnAndWhatWouldBeRight) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "column 1: expected a field, a number or a text, found the end"},
      {"value >", "column 8: expected a field, a number or a text, found the end"},
      {"größe > wert", "column 9: no field wert"},
      {"devceId = 'x'", "column 1: no field devceId; did you mean deviceId?"},
      {"complexData.moreData8 > 1", "did you mean complexData.moreData7?"},
      {"value > 'x'", "column 7: value is a DOUBLE, 'x' is a VARCHAR; they cannot be compared"},
      {"on > 1", "they cannot be compared"},
      {"complexData = '{}'", "complexData is a JSON, which has no order"},
      {"value and on", "column 1: value is a DOUBLE; and, or and not take what is true or false"},
      {"deviceId + 1", "column 1: deviceId is a VARCHAR; + - * / take numbers"},
      {"createdAt * 2", "column 11: createdAt is a TIMESTAMP"},
      {"createdAt > 'soon'", "column 13: 'soon' is not a timestamp"},
      {"value like 'a%'", "like takes a VARCHAR"},
      {"deviceId like value", "column 15: expected a text such as"},
      {"value is 5", "column 10: expected null or not null after is, found \"5\""},
      {"value not 5", "column 11: expected in or like after not"},
      {"(value > 1", "column 11: expected ), found the end"},
      {"value > 1)", "column 10: expected the end or an operator, found \")\""},
      {"value > 1 value", "column 11: expected the end or an operator, found \"value\""},
      {"deviceId = 'x", "column 12: the closing ' is missing"},
      {"value # 1", "column 7: unexpected #"},
      {"value > 1x", "column 9: 1x is not a number"},
      {"value > 1.2.3", "1.2.3 is not a number"},
      {"value > 1e999", "1e999 is not a number"},
      {"and value", "column 1: expected a value before and"},
      {"null", "column 1: is always NULL"},
      {"in ('2026-01-31T00:00:00Z') ", "column 1: expected a value before in"},
      {"'2026-01-31T00:00:00Z' in (createdAt, 'abc')", "'abc' is not a timestamp"},
  };
  for (const auto& [text, expected] : cases) EXPECT_THAT(value_of(text), HasSubstr(expected)) << text;
}

TEST(Expression, DepthAndLengthAreBounded) {
  auto nested = [](const std::string& open, const std::string& close, size_t times) {
    std::string text;
    for (size_t i = 0; i < times; ++i) text += open;
    text += "1 = 1";
    for (size_t i = 0; i < times; ++i) text += close;
    return text;
  };
  EXPECT_EQ(value_of(nested("(", ")", 40)), "true");
  EXPECT_THAT(value_of(nested("(", ")", 5'000)), HasSubstr("nested too deep"));
  EXPECT_THAT(value_of(nested("not ", "", 3'000)), HasSubstr("nested too deep"));
  EXPECT_THAT(value_of(nested("- ", "", 5'000)), HasSubstr("nested too deep"));
  EXPECT_THAT(value_of(nested("1=1 or ", "", 2'000)), HasSubstr("too many terms"));
  EXPECT_EQ(value_of(nested("1=1 or ", "", 900)), "true");
  EXPECT_THAT(value_of(std::string(20'000, ' ')), HasSubstr("at most"));
}

TEST(Expression, EveryFieldIsNamedOnce) {
  auto bound = Expression::bind("value > 1 and value < count and deviceId is not null", test_schema());
  ASSERT_TRUE(bound.ok());
  EXPECT_EQ(bound->fields(), (std::vector<std::string>{"value", "count", "deviceId"}));
}

TEST(Expression, AnyTextIsBoundOrRefused) {
  const char* words[] = {"value", "count", "on", "deviceId", "createdAt", "null", "true", "and",
                         "or",    "not",   "is", "in",       "like",      "(",    ")",    ",",
                         "=",     "<",     ">=", "+",        "-",         "*",    "/",    "1",
                         "2.5",   "'a'",   "\"", "'%a'",     ".",         "\xc3"};
  SeededRandom random(11);
  int bound = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (uint64_t n = random.below(8) + 1; n > 0; --n)
      text += std::string(words[random.below(std::size(words))]) + " ";
    std::string value = value_of(text, static_cast<uint32_t>(random.below(2)));
    bound += value.find("column") == std::string::npos ? 1 : 0;
  }
  EXPECT_GT(bound, 1'000);
}

bool like_slowly(std::string_view text, std::string_view pattern) {
  if (pattern.empty()) return text.empty();
  if (pattern[0] == '%') {
    for (size_t skip = 0; skip <= text.size(); ++skip) {
      if (like_slowly(text.substr(skip), pattern.substr(1))) return true;
    }
    return false;
  }
  return !text.empty() && (pattern[0] == '_' || pattern[0] == text[0]) &&
         like_slowly(text.substr(1), pattern.substr(1));
}

TEST(Expression, LikeAgreesWithTheObviousMatcher) {
  SeededRandom random(13);
  for (int i = 0; i < 100'000; ++i) {
    auto draw = [&](std::string_view letters) {
      std::string text;
      for (uint64_t n = random.below(9); n > 0; --n) text += letters[random.below(letters.size())];
      return text;
    };
    std::string text = draw("ab");
    std::string pattern = draw("ab%_");
    ASSERT_EQ(matches_like(text, pattern), like_slowly(text, pattern)) << text << " like " << pattern;
  }
  EXPECT_TRUE(matches_like("日本", "__"));
  EXPECT_FALSE(matches_like("日本", "___"));
}

TEST(Expression, AFieldThatIsNoFiniteNumberIsNull) {
  for (double odd : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Batch batch;
    for (const Field& field : test_schema().fields) batch.columns.emplace_back(field.name, field.type);
    for (Column& column : batch.columns) {
      if (column.type() == Type::kDouble)
        column.append_double(odd);
      else
        column.append_null();
    }
    for (const char* text : {"value > 1", "value = value", "value < 9223372036854775807"}) {
      auto bound = Expression::bind(text, test_schema());
      ASSERT_TRUE(bound.ok()) << bound.error().message;
      ExpressionRun run(*bound);
      const uint32_t rows[] = {0};
      EXPECT_EQ(run.evaluate(batch, rows).valid[0], 0) << text;
    }
  }
}

}  // namespace
}  // namespace tidemill::process
