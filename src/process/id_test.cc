#include "process/id.h"

#include <gtest/gtest.h>

namespace tidemill::process {
namespace {

constexpr std::string_view kUuid = "0a1b2c3d-4e5f-6789-abcd-ef0123456789";

TEST(Id, CanonicalUuidsArePackedWithoutLoss) {
  Uuid uuid;
  ASSERT_TRUE(pack_uuid(kUuid, &uuid));
  EXPECT_EQ(unpack_uuid(uuid), kUuid);
  EXPECT_TRUE(Id(kUuid).packed());
  EXPECT_EQ(Id(kUuid).uuid(), uuid);
  EXPECT_TRUE(pack_uuid("00000000-0000-0000-0000-000000000000", &uuid));
  EXPECT_TRUE(pack_uuid("ffffffff-ffff-ffff-ffff-ffffffffffff", &uuid));
}

TEST(Id, NothingButCanonicalUuidsIsPacked) {
  for (size_t at = 0; at < kUuid.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string text(kUuid);
      text[at] = static_cast<char>(byte);
      bool dash = at == 8 || at == 13 || at == 18 || at == 23;
      bool hex = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
      Uuid uuid;
      bool packed = pack_uuid(text, &uuid);
      ASSERT_EQ(packed, dash ? byte == '-' : hex) << text;
      if (packed) {
        ASSERT_EQ(unpack_uuid(uuid), text);
      }
    }
  }
  Uuid uuid;
  EXPECT_FALSE(pack_uuid("", &uuid));
  EXPECT_FALSE(pack_uuid(std::string(kUuid) + "0", &uuid));
  EXPECT_FALSE(pack_uuid(kUuid.substr(1), &uuid));
}

TEST(Id, IdsAreEqualWhenTheirTextsAre) {
  EXPECT_EQ(Id("abc"), Id("abc"));
  EXPECT_FALSE(Id("abc") == Id("abd"));
  EXPECT_EQ(Id(kUuid), Id(kUuid));
  EXPECT_FALSE(Id(kUuid) == Id("0a1b2c3d-4e5f-6789-abcd-ef012345678a"));
  std::string upper = "0A1B2C3D-4E5F-6789-ABCD-EF0123456789";
  EXPECT_FALSE(Id(upper) == Id(kUuid));
  Uuid uuid;
  ASSERT_TRUE(pack_uuid(kUuid, &uuid));
  EXPECT_FALSE(Id(std::string_view(reinterpret_cast<const char*>(&uuid), sizeof uuid)) == Id(kUuid));
}

}  // namespace
}  // namespace tidemill::process
