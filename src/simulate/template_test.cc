#include "simulate/template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "simulate/randomness.h"

namespace tidemill::simulate {
namespace {

using testing::HasSubstr;

std::string filled(std::string_view text, uint64_t n = 0) {
  TemplateContext context;
  context.content_key = mix(n + 1);
  context.index = n;
  context.instance = 2;
  context.instances = 4;
  context.sequence = 7;
  context.device = 12;
  context.device_name = "pump-12";
  context.created_us = 1767323045678901;
  Result<Template> parsed = Template::parse(text);
  if (!parsed.ok()) return "error: " + parsed.error().message;
  std::string out;
  parsed->render(context, &out);
  return out;
}

std::string problem(std::string_view text) {
  Result<Template> parsed = Template::parse(text);
  return parsed.ok() ? "" : parsed.error().message;
}

TEST(Template, FillsInWhatIsKnownOfTheEvent) {
  EXPECT_EQ(filled("${counter} ${counter(100)} ${ counter ( -1 , 10 ) }", 5), "22 122 219");
  EXPECT_EQ(filled("${device}/${device_number}/${device_counter}/${device_counter(1)}"), "pump-12/12/7/8");
  EXPECT_EQ(filled("${time} ${time(iso,3)} ${time(iso, 0)}"),
            "2026-01-02T03:04:05.678901Z 2026-01-02T03:04:05.678Z 2026-01-02T03:04:05Z");
  EXPECT_EQ(filled("${time(unix)} ${time(unix_ms)} ${time(unix_us)}"),
            "1767323045 1767323045678 1767323045678901");
  EXPECT_EQ(filled("$${counter} $$ $ {} ${choice('a,b)')}"), "${counter} $$ $ {} a,b)");
  EXPECT_EQ(filled(""), "");
}

TEST(Template, DrawsNumbersAndItemsFromTheirRange) {
  std::map<std::string, int> ints;
  std::map<std::string, int> items;
  double sum = 0;
  double squares = 0;
  constexpr int kEvents = 20'000;
  for (uint64_t n = 0; n < kEvents; ++n) {
    ++ints[filled("${int(-1,1)}", n)];
    ++items[filled("${choice(red, \"dark green\", 'blue')}", n)];
    const double x = std::stod(filled("${double(2,4)}", n));
    EXPECT_GE(x, 2);
    EXPECT_LT(x, 4);
    const double y = std::stod(filled("${gaussian(100,15)}", n));
    sum += y;
    squares += (y - 100) * (y - 100);
  }
  ASSERT_EQ(ints.size(), 3u);
  for (const auto& [text, count] : ints) EXPECT_NEAR(count, kEvents / 3, 300) << text;
  ASSERT_EQ(items.size(), 3u);
  EXPECT_NEAR(items["dark green"], kEvents / 3, 300);
  EXPECT_NEAR(sum / kEvents, 100, 0.5);
  EXPECT_NEAR(std::sqrt(squares / kEvents), 15, 0.5);
  EXPECT_THAT(filled("${double(2,4,2)}"), testing::MatchesRegex("[23]\\.[0-9][0-9]"));
  EXPECT_EQ(filled("${double(5,5)} ${gaussian(3,0,1)} ${int(9,9)}"), "5 3.0 9");
  EXPECT_NE(filled("${int(-9223372036854775808,9223372036854775807)}"), "");
}

TEST(Template, DrawsEveryVariableByItself) {
  const std::string two = filled("${guid} ${guid}");
  ASSERT_EQ(two.size(), 73u);
  EXPECT_NE(two.substr(0, 36), two.substr(37));
  EXPECT_EQ(filled("${guid} ${guid}"), two);
  EXPECT_NE(filled("${guid} ${guid}", 1), two);
  EXPECT_THAT(two.substr(0, 36),
              testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
}

TEST(Template, SaysWhereAnErrorIsAndWhatWouldBeRight) {
  EXPECT_THAT(problem("{\n  \"n\": ${countr}\n}"),
              HasSubstr("line 2, column 8: there is no variable `countr`; there "
                        "are counter, device_counter, device, device_number, int, "
                        "double, gaussian, choice, guid, time"));
  EXPECT_THAT(problem("ab ${int(5)}"),
              HasSubstr("line 1, column 4: wrong arguments of `int`; write int(min, max)"));
  EXPECT_THAT(problem("${int(5,3)}"), HasSubstr("min <= max"));
  EXPECT_THAT(problem("${int(5,3.5)}"), HasSubstr("wrong arguments"));
  EXPECT_THAT(problem("${double(0,inf)}"), HasSubstr("wrong arguments"));
  EXPECT_THAT(problem("${time(rfc)}"), HasSubstr("time(unix)"));
  EXPECT_THAT(problem("${time(iso,10)}"), HasSubstr("0 to 9"));
  EXPECT_THAT(problem("${guid(1)}"), HasSubstr("without arguments"));
  EXPECT_THAT(problem("${choice()}"), HasSubstr("choice(a, b"));
  EXPECT_THAT(problem("${choice(a,)}"), HasSubstr("column 12: an argument is missing"));
  EXPECT_THAT(problem("${choice('a)}"), HasSubstr("column 10: this quote is not closed"));
  EXPECT_THAT(problem("${counter"), HasSubstr("column 10: expected `}`"));
  EXPECT_THAT(problem("${int(1,2}"), HasSubstr("expected `,` or `)`"));
  EXPECT_THAT(problem("${}"), HasSubstr("there is no variable ``"));
}

TEST(Template, AnEventMustBeJsonWhateverIsDrawn) {
  EXPECT_TRUE(Template::check_event(R"({"a":${gaussian(0,1)},"b":"${choice(x,y)}","c":[${counter}]})").ok());
  const Status unquoted = Template::check_event(R"({"device":${device}})");
  ASSERT_FALSE(unquoted.ok());
  EXPECT_THAT(unquoted.error().message, HasSubstr("is not JSON once its variables are filled in"));
  EXPECT_THAT(unquoted.error().message, HasSubstr(R"({"device":device-1})"));
  // Only the last of twelve items breaks the event.
  EXPECT_FALSE(Template::check_event(R"({"a":${choice(1,2,3,4,5,6,7,8,9,10,11,oops)}})").ok());
}

}  // namespace
}  // namespace tidemill::simulate
