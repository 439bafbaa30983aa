#include "event/json_number.h"

#include <gtest/gtest.h>
#include <locale.h>

#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "base/random.h"

namespace tidemill::json {
namespace {

// The token with hostile bytes before and behind it.
struct Framed {
  explicit Framed(std::string_view token, char around = '7')
      : text(std::string(40, around) + std::string(token) + std::string(40, around)), size(token.size()) {}
  const char* first() const { return text.data() + 40; }
  const char* last() const { return first() + size; }
  const char* floor() const { return text.data(); }
  std::string text;
  size_t size;
};

double with_strtod(const std::string& text) {
  static locale_t c_locale = newlocale(LC_ALL_MASK, "C", nullptr);
  return strtod_l(text.c_str(), nullptr, c_locale);
}

void expect_double(const std::string& text) {
  double expected = with_strtod(text);
  for (char around : {'7', '.', ',', '-', 'e', '\xff'}) {
    Framed framed(text, around);
    ASSERT_TRUE(is_number(framed.first(), framed.last())) << text;
    for (const char* floor : {framed.floor(), framed.first()}) {
      double value = -1;
      NumberError error = parse_double(floor, framed.first(), framed.last(), &value);
      if (std::isinf(expected)) {
        ASSERT_EQ(error, NumberError::kOutOfRange) << text;
      } else {
        ASSERT_EQ(error, NumberError::kNone) << text;
        ASSERT_EQ(std::bit_cast<uint64_t>(value), std::bit_cast<uint64_t>(expected)) << text;
      }
    }
  }
}

TEST(Double, IsRoundedCorrectlyAtTheEdges) {
  for (const char* text :
       {"0",
        "-0",
        "0.0",
        "-0.0",
        "1",
        "-1",
        "1.5",
        "0.1",
        "-0.1",
        "10.123456789012345",
        "99.99999999999999",
        "9007199254740993",
        "9007199254740993.0",
        "9007199254740992.5",
        "18446744073709551615",
        "18446744073709551616",
        "123456789012345678901234567890",
        "0.1234567890123456789",
        "0.12345678901234567890123456789",
        "1.7976931348623157e308",
        "1.7976931348623158e308",
        "1.7976931348623159e308",
        "-1.8e308",
        "1e400",
        "-1e400",
        "1e-400",
        "2.2250738585072014e-308",
        "2.2250738585072011e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "2.4703282292062328e-324",
        "0e999999999999999999999",
        "0.0e-999999999999999999999",
        "1e999999999999999999999",
        "1e-999999999999999999999",
        "1E5",
        "1e+5",
        "1e-5",
        "1.25E+2",
        "6.02214076e23",
        "1e22",
        "1e23",
        "123456789.123456789e-30",
        "0.00000000000000000000000000001",
        "100000000000000000000000000000.5",
        "8.5e-1",
        "0.000001",
        "1234567890123456789",
        "12345678901234567890",
        "-1234567890.123456789",
        "0.3e1",
        "89255.0e-22",
        "104308485241983990666713401708072175773165034278682682111762292935489376085e-4"}) {
    expect_double(text);
  }
}

TEST(Double, AgreesWithTheCLibraryOnRandomNumbers) {
  SeededRandom random(5);
  for (int i = 0; i < 40'000; ++i) {
    std::string text = random.below(3) == 0 ? "-" : "";
    size_t whole = 1 + random.below(random.below(4) == 0 ? 20 : 4);
    size_t fraction = random.below(random.below(4) == 0 ? 22 : 17);
    for (size_t d = 0; d < whole; ++d) {
      text += static_cast<char>('0' + random.below(10));
    }
    size_t start = text[0] == '-' ? 1 : 0;
    if (text[start] == '0') text.resize(start + 1);
    if (fraction > 0) text += '.';
    for (size_t d = 0; d < fraction; ++d) text += static_cast<char>('0' + random.below(10));
    if (random.below(3) == 0) {
      text += random.below(2) == 0 ? 'e' : 'E';
      text += std::to_string(static_cast<int>(random.below(700)) - 350);
    }
    expect_double(text);
    if (HasFatalFailure()) return;
  }
}

TEST(Double, KeepsEveryBitOfPrintedDoubles) {
  SeededRandom random(6);
  for (int i = 0; i < 20'000; ++i) {
    auto value = std::bit_cast<double>(random.next());
    if (!std::isfinite(value)) continue;
    char text[64];
    snprintf(text, sizeof text, "%.17g", value);
    expect_double(text);
    snprintf(text, sizeof text, "%.15f", 10 + 90 * static_cast<double>(random.below(1u << 30)) / (1u << 30));
    expect_double(text);
    if (HasFatalFailure()) return;
  }
}

TEST(Grammar, RefusesWhatIsNoNumber) {
  for (const char* text : {"",
                           "-",
                           "+1",
                           ".5",
                           "5.",
                           "-.5",
                           "01",
                           "-01",
                           "00",
                           "00.5",
                           "1e",
                           "1e+",
                           "1.e5",
                           "1.5.5",
                           "1,5",
                           "0x10",
                           "1a",
                           "a1",
                           "NaN",
                           "Infinity",
                           "-Infinity",
                           "--1",
                           "1-",
                           "1e5.5",
                           "1ee5",
                           "1 ",
                           " 1",
                           "1\"",
                           "12\"34",
                           "-a",
                           "1.-5",
                           "1/5",
                           "1:5",
                           "0.5a",
                           "123456789012345678901234567890123x",
                           "1234567890123456789012345678901.",
                           "0123456789012345678901234567890123456789",
                           "1.2e3e4",
                           "\xff",
                           "1\xff"}) {
    for (char around : {'7', '.', ','}) {
      Framed framed(text, around);
      double d;
      int64_t n;
      EXPECT_FALSE(is_number(framed.first(), framed.last())) << text;
      EXPECT_FALSE(follows_number_grammar(framed.first(), framed.last())) << text;
      EXPECT_EQ(parse_double(framed.floor(), framed.first(), framed.last(), &d), NumberError::kMalformed)
          << text;
      EXPECT_EQ(parse_int64(framed.first(), framed.last(), &n), NumberError::kMalformed) << text;
    }
  }
}

TEST(Grammar, FastCheckAgreesOnEveryShortText) {
  constexpr std::string_view kAlphabet = "0190.-+eE,";
  SeededRandom random(9);
  for (int i = 0; i < 200'000; ++i) {
    std::string text(1 + random.below(i % 2 == 0 ? 6 : 34), '\0');
    for (char& c : text) {
      c = random.below(3) == 0 ? kAlphabet[random.below(kAlphabet.size())]
                               : static_cast<char>('0' + random.below(10));
    }
    Framed framed(text);
    ASSERT_EQ(is_number(framed.first(), framed.last()), follows_number_grammar(framed.first(), framed.last()))
        << text;
  }
}

TEST(Int64, ReadsIntegersOnly) {
  auto parse = [](const std::string& text) {
    Framed framed(text);
    int64_t value = -77;
    NumberError error = parse_int64(framed.first(), framed.last(), &value);
    return error == NumberError::kNone ? std::to_string(value)
                                       : "error " + std::to_string(static_cast<int>(error));
  };
  for (const char* text :
       {"0", "1", "-1", "9223372036854775807", "-9223372036854775808", "999999999999999999",
        "1000000000000000000", "-999999999999999999", "9007199254740993"}) {
    EXPECT_EQ(parse(text), text);
  }
  EXPECT_EQ(parse("-0"), "0");
  for (const char* text : {"1.0", "1e3", "1E0", "-1.5", "9223372036854775808.0"})
    EXPECT_EQ(parse(text), "error 2") << text;
  for (const char* text : {"9223372036854775808", "-9223372036854775809", "99999999999999999999999"}) {
    EXPECT_EQ(parse(text), "error 3") << text;
  }
}

}  // namespace
}  // namespace tidemill::json
