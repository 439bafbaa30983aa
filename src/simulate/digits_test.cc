#include "simulate/digits.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "simulate/randomness.h"

namespace tidemill::simulate {
namespace {

std::string padded(uint64_t v, int width) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llu", width, static_cast<unsigned long long>(v));
  return text;
}

TEST(Digits, PrintAsPrintfDoes) {
  for (uint64_t v = 0; v < 100'000'000; v += (v < 200'000 ? 1 : 9'973)) {
    char text[8];
    write_8_digits(v, text);
    ASSERT_EQ(std::string(text, 8), padded(v, 8));
  }
  for (uint64_t n = 0; n < 200'000; ++n) {
    const uint64_t v = below(word(5, n), 10'000'000'000'000'000ULL) >> (n % 50);
    char text[20];
    write_16_digits(v, text);
    ASSERT_EQ(std::string(text, 16), padded(v, 16));
    const uint64_t any = word(6, n) >> (n % 64);
    ASSERT_EQ(std::string(text, write_unsigned(any, text)), std::to_string(any));
    const uint64_t number = 10'000'000'000'000'000ULL + below(word(7, n), 90'000'000'000'000'000ULL);
    write_10_to_100(number, text);
    ASSERT_EQ(std::string(text, 18), padded(number, 17).insert(2, "."));
    const uint64_t other = 10'000'000'000'000'000ULL + below(word(8, n), 90'000'000'000'000'000ULL);
    char pair[36];
    write_10_to_100_pair(number, pair + 18, other, pair);
    ASSERT_EQ(std::string(pair, 36), padded(other, 17).insert(2, ".") + padded(number, 17).insert(2, "."));
  }
  for (uint64_t edge : {10'000'000'000'000'000ULL, 99'999'999'999'999'999ULL, 10'000'000'099'999'999ULL,
                        10'999'999'900'000'000ULL, 55'000'000'000'009'999ULL}) {
    char pair[36];
    write_10_to_100_pair(edge, pair, edge, pair + 18);
    EXPECT_EQ(std::string(pair, 18), padded(edge, 17).insert(2, "."));
    EXPECT_EQ(std::string(pair + 18, 18), padded(edge, 17).insert(2, "."));
  }
  char text[20];
  write_16_digits(9'999'999'999'999'999ULL, text);
  EXPECT_EQ(std::string(text, 16), "9999999999999999");
}

}  // namespace
}  // namespace tidemill::simulate
