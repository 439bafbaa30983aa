#include "simulate/event_id.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "simulate/randomness.h"

namespace tidemill::simulate {
namespace {

std::string made(const EventIds& ids, uint64_t instance, uint64_t index) {
  std::string text(kEventIdSize, '?');
  ids.write(instance, index, text.data());
  return text;
}

TEST(EventIds, AreVersion4UuidsThatDecodeToTheirOrigin) {
  const auto uuid =
      testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}");
  const EventIds ids(99);
  std::set<std::string> seen;
  for (uint64_t n = 0; n < 2000; ++n) {
    const uint64_t instance = word(1, n) >> 51;
    const uint64_t index = word(2, n) >> (16 + n % 48);
    const std::string text = made(ids, instance, index);
    EXPECT_THAT(text, uuid);
    EXPECT_EQ(ids.read(text), (EventIds::Origin{instance, index}));
    seen.insert(text);
  }
  EXPECT_GT(seen.size(), 1900u);
  const EventIds::Origin last{(1u << 13) - 1, (uint64_t{1} << 48) - 1};
  EXPECT_EQ(ids.read(made(ids, last.instance, last.index)), last);
}

TEST(EventIds, OfAnotherSeedOrOfAnotherMakeAreNotTaken) {
  const EventIds ids(99);
  const EventIds other(100);
  const std::string text = made(ids, 3, 14);
  EXPECT_FALSE(other.read(text).has_value());
  EXPECT_FALSE(ids.read("").has_value());
  EXPECT_FALSE(ids.read("00000000-0000-4000-8000-000000000000").has_value());
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] = changed[i] == '7' ? '6' : '7';
    EXPECT_FALSE(ids.read(changed).has_value()) << changed;
    changed[i] = 'F';
    EXPECT_FALSE(ids.read(changed).has_value()) << changed;
  }
}

}  // namespace
}  // namespace tidemill::simulate
