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
    const std::string says = "key of 0 bytes, value of ", whole = std::to_string(value.size());
    value.pop_back();
    EXPECT_FALSE(verify(run.with_topic_store()).pass);
    for (const std::string& wrong : {says + "200000 bytes", says + " bytes", std::string("cut")}) {
      run.dead.front().cut = wrong;
      EXPECT_FALSE(verify(run.with_topic_store()).pass) << wrong;
    }
    run.dead.front().cut = says + whole + " bytes";
    Verdict verdict = verify(run.with_topic_store());
    EXPECT_TRUE(verdict.pass) << to_table(verdict);
    value.back() ^= 1;
    EXPECT_FALSE(verify(run.with_topic_store()).pass);
  }
}

}  // namespace
}  // namespace tidemill::verify
