#include "serve/postgres_rows.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace tidemill::serve {
namespace {

TEST(PostgresRows, AUuidIsReadInEitherCaseAndNothingElseIs) {
  const std::string text = "a0eebc99-9C0B-4ef8-bb6d-6bb9bd380a1F";
  std::array<uint8_t, 16> bytes{};
  ASSERT_TRUE(parse_uuid(text, bytes.data()));
  const std::array<uint8_t, 16> expected = {0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8,
                                            0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x1f};
  EXPECT_EQ(bytes, expected);
  EXPECT_FALSE(parse_uuid(text.substr(1), bytes.data()));
  EXPECT_FALSE(parse_uuid(text + "0", bytes.data()));
  EXPECT_FALSE(parse_uuid("", bytes.data()));
  for (size_t at = 0; at < text.size(); ++at) {
    const bool dash = text[at] == '-';
    for (int c = 0; c < 256; ++c) {
      std::string other = text;
      other[at] = static_cast<char>(c);
      const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
      EXPECT_EQ(parse_uuid(other, bytes.data()), dash ? c == '-' : digit) << at << ' ' << c;
    }
  }
}

}  // namespace
}  // namespace tidemill::serve
