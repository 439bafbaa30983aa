#include <gtest/gtest.h>

#include "verify/testing/planted_run.h"
#include "verify/verify.h"

namespace tidemill::verify {
namespace {

TEST(StoredTopic, ADeadLetterMayBeCutOnlyWhereItsHeaderSaysSo) {
  for (const bool positions : {true, false}) {
    PlantedRun run(planted_manifest(), false);
    run.with_positions = positions;
    ASSERT_FALSE(run.dead.empty());
    std::string& value = run.dead.front().value;
    value.pop_back();
    EXPECT_FALSE(verify(run.with_topic_store()).pass);
    run.dead.front().cut = "key of 0 bytes, value of 200 bytes";
    Verdict verdict = verify(run.with_topic_store());
    EXPECT_TRUE(verdict.pass) << to_table(verdict);
    value.back() ^= 1;
    EXPECT_FALSE(verify(run.with_topic_store()).pass);
  }
}

}  // namespace
}  // namespace tidemill::verify
