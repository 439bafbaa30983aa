#include "verify/expected.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <set>

namespace tidemill::verify {
namespace {

Manifest base_manifest() {
  Manifest m;
  m.seed = 1;
  m.start_us = 1'790'000'000'000'000;
  m.devices = 10;
  m.rate_milli = 1'000'000;
  m.count = 1000;
  return m;
}

// As testdata/simulated_events.py makes it.
uint32_t checksum(const Manifest& manifest) {
  Schedule schedule(manifest);
  SendOrder order(schedule);
  TelemetryEvents telemetry(schedule);
  SensorEvents sensor(schedule);
  uLong crc = crc32(0, nullptr, 0);
  while (auto i = order.next()) {
    std::string line = std::to_string(*i) + " " + std::to_string(schedule.send_us(*i)) + " " +
                       std::to_string(schedule.copies(*i)) + " ";
    line += manifest.profile == Profile::kSensor ? sensor.bytes(*i) : telemetry.bytes(*i);
    line += '\n';
    crc = crc32(crc, reinterpret_cast<const Bytef*>(line.data()), static_cast<uInt>(line.size()));
  }
  return static_cast<uint32_t>(crc);
}

TEST(Expected, PlainEventsAreThoseOfTheOtherImplementation) {
  Manifest m = base_manifest();
  m.seed = 7;
  m.count = 3000;
  EXPECT_EQ(checksum(m), 0xb437291cu);
}

TEST(Expected, PoissonFaultsAndCopiesAreThoseOfTheOtherImplementation) {
  Manifest m = base_manifest();
  m.seed = 42;
  m.instance = 1;
  m.instances = 3;
  m.devices = 20;
  m.count = 7000;
  m.pacing = Pacing::kPoisson;
  m.out_of_order_ppm = 30'000;
  m.late_ppm = 20'000;
  m.late_by_us = 3'000'000;
  m.malformed_ppm = 20'000;
  m.duplicate_every = 20;
  EXPECT_EQ(checksum(m), 0x65422bb8u);
}

TEST(Expected, ReferenceVariantsAreThoseOfTheOtherImplementation) {
  Manifest m = base_manifest();
  m.seed = UINT64_MAX;
  m.values = Values::kZeroToOne;
  m.complex_first = 1;
  m.complex_count = 3;
  m.created_digits = 7;
  m.shared_devices = true;
  m.instance = 2;
  m.instances = 5;
  m.devices = 7;
  m.count = 4999;
  m.rate_milli = 0;
  m.device_id_format = "contoso://device-id-%d";
  EXPECT_EQ(checksum(m), 0x3d288e90u);

  m = base_manifest();
  m.seed = 3;
  m.created_digits = 3;
  m.complex_count = 0;
  m.devices = 1;
  m.duration_us = 777'777;
  m.count = 100'000;
  m.rate_milli = 333'333;
  m.pacing = Pacing::kPoisson;
  m.device_id_format = "contoso-device-id-%d";
  EXPECT_EQ(checksum(m), 0xa0a13a9au);
}

TEST(Expected, SensorEventsAreThoseOfTheOtherImplementation) {
  Manifest m = base_manifest();
  m.profile = Profile::kSensor;
  m.seed = 5;
  m.devices = 0;
  m.count = 5000;
  m.malformed_ppm = 10'000;
  m.duplicate_every = 50;
  m.late_ppm = 10'000;
  m.late_by_us = 500'000;
  EXPECT_EQ(checksum(m), 0x03f13095u);
}

TEST(Expected, IdsDecodeToTheirEventsAndOthersToNone) {
  EventIds ids(99);
  std::set<std::string> seen;
  for (EventName name :
       {EventName{0, 0}, EventName{0, 1}, EventName{7, 123'456'789'012}, EventName{8191, (1ll << 48) - 1}}) {
    std::string id = ids.encode(name);
    EXPECT_TRUE(seen.insert(id).second);
    EXPECT_EQ(id.size(), 36u);
    EXPECT_EQ(id[14], '4');
    auto decoded = ids.decode(id);
    ASSERT_TRUE(decoded.has_value());
    EXPECT_EQ(*decoded, name);
    EXPECT_FALSE(EventIds(100).decode(id).has_value());
    id[35] = id[35] == 'a' ? 'b' : 'a';
    EXPECT_FALSE(ids.decode(id).has_value());
  }
  EXPECT_FALSE(ids.decode("").has_value());
  EXPECT_FALSE(ids.decode("0c7a1f3e-3c4b-4ff2-a1b2-9d8e7f6a5b4c").has_value());
}

TEST(Expected, PartitionsAreKafkas) {
  // Of Kafka's own UtilsTest.testMurmur2, masked to a positive number.
  EXPECT_EQ(partition_of("21", INT32_MAX), (-973932308 & 0x7fffffff) % INT32_MAX);
  EXPECT_EQ(partition_of("foobar", INT32_MAX), (-790332482 & 0x7fffffff) % INT32_MAX);
  EXPECT_EQ(partition_of("a-little-bit-long-string", INT32_MAX), (-985981536 & 0x7fffffff) % INT32_MAX);
  EXPECT_EQ(partition_of("abc", INT32_MAX), 479470107 % INT32_MAX);
}

TEST(Fields, TimestampsOfEveryDocumentedForm) {
  int64_t us = 0;
  EXPECT_TRUE(parse_timestamp("1970-01-01T00:00:01Z", &us));
  EXPECT_EQ(us, 1'000'000);
  EXPECT_TRUE(parse_timestamp("1970-01-01 01:00:00.1234567+01:00", &us));
  EXPECT_EQ(us, 123'456);
  EXPECT_TRUE(parse_timestamp("1969-12-31T23:59:59.999999999Z", &us));
  EXPECT_EQ(us, -1);
  EXPECT_TRUE(parse_timestamp("1970-01-01T00:00:00-0030", &us));
  EXPECT_EQ(us, 1'800'000'000);
  for (const char* wrong :
       {"", "1970-01-01", "1970-01-01T00:00:00", "1970-02-30T00:00:00Z", "1970-01-01T24:00:00Z",
        "1970-01-01T00:00:60Z", "1970-01-01T00:00:00.Z", "1970-01-01T00:00:00.1234567890Z",
        "1970-01-01T00:00:00Zx", "0000-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_timestamp(wrong, &us)) << wrong;
  }
  std::string text;
  append_timestamp(-1, 7, &text);
  EXPECT_EQ(text, "1969-12-31T23:59:59.9999990Z");
}

}  // namespace
}  // namespace tidemill::verify
