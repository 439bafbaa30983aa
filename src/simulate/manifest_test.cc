#include "simulate/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/testing/memory_files.h"
#include "simulate/content_hash.h"
#include "simulate/testing/plans.h"

namespace tidemill::simulate {
namespace {

using testing::HasSubstr;

Manifest example() {
  Manifest manifest;
  manifest.plan = quiet_plan();
  manifest.plan.profile = Profile::kTemplate;
  manifest.plan.template_text = "{\n\t\"a\": \"\\u00e4 ä ${choice('\x01',b)}\"}";
  manifest.plan.key = "${device}";
  manifest.plan.seed = 0xffffffffffffffff;
  manifest.plan.partitions = 2;
  manifest.start_offsets = {Offset(5), Offset(1'000'000'000'000)};
  manifest.partition_records = {7, 8};
  manifest.scheduled = 100;
  manifest.events_sent = 14;
  manifest.records_sent = 15;
  manifest.bytes_sent = 14'000;
  manifest.shortfall_us = 12;
  manifest.content_sum = (static_cast<Uint128>(1) << 127) + 5;
  manifest.ranges = {{154, 14, 1, 85}, {-1, 0, 0, -1}};
  return manifest;
}

TEST(Manifest, ReadsBackAsItWasWritten) {
  const Manifest written = example();
  const std::string json = manifest_json(written);
  EXPECT_THAT(json, HasSubstr(R"("seed":"18446744073709551615")"));
  EXPECT_THAT(json, HasSubstr(R"("ranges":[[154,14,1,85],[-1,0,0,-1]])"));
  EXPECT_THAT(json, HasSubstr(R"("content_sum":"80000000000000000000000000000005")"));
  Result<Manifest> read = parse_manifest(json);
  ASSERT_TRUE(read.ok()) << read.error().message;
  EXPECT_EQ(read->plan, written.plan);
  EXPECT_EQ(read->start_offsets, written.start_offsets);
  EXPECT_EQ(read->partition_records, written.partition_records);
  EXPECT_EQ(read->content_sum, written.content_sum);
  EXPECT_EQ(read->ranges, written.ranges);
  EXPECT_EQ(manifest_json(*read), json);
}

TEST(Manifest, ATextThatIsCutOrChangedIsAnErrorAndNothingElse) {
  const std::string json = manifest_json(example());
  for (size_t size = 0; size + 2 < json.size(); ++size)
    EXPECT_FALSE(parse_manifest(json.substr(0, size)).ok());
  auto without = [&](const std::string& from, const std::string& to) {
    std::string changed = json;
    changed.replace(changed.find(from), from.size(), to);
    Result<Manifest> read = parse_manifest(changed);
    return read.ok() ? std::string("no error") : read.error().message;
  };
  EXPECT_EQ(without("\"format\":1", "\"format\":2"), "format 2, this program reads 1");
  EXPECT_EQ(without("\"seed\"", "\"sead\""), "`seed` is missing or of the wrong type");
  EXPECT_EQ(without("18446744073709551615", "1844674407370955161x"), "`seed` is not an unsigned integer");
  EXPECT_EQ(without("\"profile\":\"template\"", "\"profile\":\"tampered\""),
            "`profile` has an unknown value");
  EXPECT_EQ(without("\"partitions\":2", "\"partitions\":3"),
            "`start_offsets` has not one item per partition");
  EXPECT_EQ(without("\"partitions\":2", "\"partitions\":99999999999"), "`partitions` is out of range");
  EXPECT_EQ(without("[154,14,1,85]", "[154,14,1]"), "`ranges` has a wrong item");
  EXPECT_EQ(without("8000000000000000000000000000", "800000000000000000000000000"),
            "`content_sum` is not 32 hex digits");
}

TEST(Manifest, IsReplacedAsAWhole) {
  MemoryFiles files;
  const std::string path = manifest_path("/run", 3);
  EXPECT_EQ(path, "/run/simulate/manifest-3.json");
  EXPECT_EQ(read_manifest(files, path).error().code, Code::kNotFound);
  Manifest manifest = example();
  ASSERT_TRUE(create_manifest_folder(files, "/run").ok());
  ASSERT_TRUE(write_manifest(files, path, manifest).ok());
  manifest.events_sent = 99;
  ASSERT_TRUE(write_manifest(files, path, manifest).ok());
  files.crash(1);
  EXPECT_EQ(read_manifest(files, path)->events_sent, 99);
  ASSERT_TRUE(write_file_atomically(files, path, "{}").ok());
  const Result<Manifest> broken = read_manifest(files, path);
  ASSERT_FALSE(broken.ok());
  EXPECT_EQ(broken.error().code, Code::kCorrupt);
  EXPECT_THAT(broken.error().message, HasSubstr(path));
}

TEST(ContentHash, IsXxh3OfTheBytes) {
  // Vectors of the reference implementation (xxhsum -H128).
  EXPECT_EQ(hex128(content_hash("")), "99aa06d3014798d86001c324468d497f");
  EXPECT_NE(content_hash("a"), content_hash("b"));
  Uint128 value = 0;
  EXPECT_TRUE(parse_hex128("99aa06d3014798d86001c324468d497f", &value));
  EXPECT_EQ(value, content_hash(""));
  EXPECT_FALSE(parse_hex128("99AA06d3014798d86001c324468d497f", &value));
}

}  // namespace
}  // namespace tidemill::simulate
