#include "kafka/abilities.h"

#include <gtest/gtest.h>

namespace tidemill::kafka {
namespace {

std::vector<std::string> offers(const std::vector<std::pair<int, std::string>>& requests) {
  std::vector<std::string> lines = {"[thrd:x]: 127.0.0.1:9092/bootstrap: Broker API support:"};
  for (const auto& [key, name] : requests) {
    lines.push_back("[thrd:x]: 127.0.0.1:9092/bootstrap:   ApiKey " + name + " (" + std::to_string(key) +
                    ") Versions 0..3");
  }
  return lines;
}

TEST(Abilities, AreWhatTheBrokerOffers) {
  const std::vector<std::pair<int, std::string>> plain = {{0, "Produce"}, {21, "DeleteRecords"}};
  std::vector<std::pair<int, std::string>> idempotent = plain, whole;
  idempotent.emplace_back(22, "InitProducerId");
  whole = idempotent;
  for (const auto& [key, name] : {std::pair(24, "AddPartitionsToTxn"),
                                  {25, "AddOffsetsToTxn"},
                                  {26, "EndTxn"},
                                  {28, "TxnOffsetCommit"}}) {
    whole.emplace_back(key, name);
  }
  const Abilities all = abilities_told(offers(whole));
  EXPECT_TRUE(all.idempotence && all.transactions && all.deletes);

  whole.pop_back();
  EXPECT_FALSE(abilities_told(offers(whole)).transactions) << "positions need TxnOffsetCommit";
  EXPECT_EQ(abilities_told(offers(whole)).without_transactions, "it offers no TxnOffsetCommit");

  const Abilities some = abilities_told(offers(idempotent));
  EXPECT_TRUE(some.idempotence && some.deletes);
  EXPECT_EQ(some.without_transactions,
            "it offers no AddPartitionsToTxn, AddOffsetsToTxn, EndTxn, TxnOffsetCommit");

  const Abilities least = abilities_told(offers({{0, "Produce"}}));
  EXPECT_FALSE(least.idempotence || least.transactions || least.deletes);
  EXPECT_EQ(least.without_idempotence, "it offers no InitProducerId");
}

// Transactions then tell by failing.
TEST(Abilities, AreAssumedWhereNothingIsTold) {
  const Abilities unknown = abilities_told({"something else (22) altogether"});
  EXPECT_TRUE(unknown.idempotence && unknown.transactions && unknown.deletes);
}

}  // namespace
}  // namespace tidemill::kafka
