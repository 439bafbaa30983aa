// What an endpoint can do beyond keeping records. Not everything that speaks Kafka's protocol has all of it:
// Azure Event Hubs differ by tier.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kafka/connection.h"

namespace tidemill::kafka {

struct Abilities {
  bool idempotence = true;  // what a producer sends again is stored once
  bool transactions = true;
  bool deletes = true;  // the start of a partition can be deleted
  // Why it is so where one of the first two is false: "it offers no AddPartitionsToTxn, EndTxn".
  std::string without_idempotence;
  std::string without_transactions;
};

// Asks a broker which requests it takes. With a transactional id also whether transactions can begin, which a
// broker may refuse all the same; that id is then known to the cluster, and fenced. Errors: no broker
// answers; rights.
Result<Abilities> ask_abilities(const Connection& connection, const std::string& transactional_id,
                                int timeout_ms = 30'000);

// Of librdkafka's words about a broker's ApiVersions answer, line by line ("  ApiKey Produce (0) Versions
// 0..11"), which it tells in no other way. Of none everything is assumed.
Abilities abilities_told(const std::vector<std::string>& lines);

// The reason in such a line where it says that transactions have no coordinator, and never will; else empty.
std::string coordinator_refused(std::string_view line);

}  // namespace tidemill::kafka
