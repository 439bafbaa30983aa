// Who may commit for a partition, kept in Kafka: the owner's token and the transactional id under which it
// writes.
//
// Every process writes under transactional ids of its own. Before it writes for a partition it claims it: a
// position of the group <pipeline>.owner, whose offset is the token and whose metadata is its transactional
// id. Who takes over reads there which id to fence, which ends the old owner's transaction at once instead of
// at its timeout; and the old owner can commit no more. Takeovers of one pipeline happen one after another:
// each is a transaction under the id <pipeline>.takeover, which fences whoever began one before and has not
// finished it.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kafka/producer.h"
#include "pipeline/epoch.h"

namespace tidemill::serve {

// Thread-safe.
class KafkaOwners {
 public:
  struct Claim {
    pipeline::Incarnation token;
    std::string transactional_id;  // empty: released
    friend bool operator==(const Claim&, const Claim&) = default;
  };
  // `admin` must outlive it.
  KafkaOwners(kafka::Connection connection, kafka::Admin& admin, std::string pipeline)
      : connection_(std::move(connection)), admin_(admin), pipeline_(std::move(pipeline)) {}

  // A new transactional id of this pipeline.
  std::string new_id() const;
  using Claims = std::vector<std::optional<Claim>>;  // nullopt: nobody ever claimed it
  // In the order asked for. `patience_ms`, `else_former`: Admin::group_offsets'.
  Result<Claims> claims(const std::vector<TopicPartition>& partitions, int patience_ms = 60'000,
                        bool else_former = false);

  // Claims as a commit of their group, for the transaction of the producer that holds them.
  kafka::Producer::GroupCommit commit_of(const std::vector<TopicPartition>& partitions,
                                         const std::vector<Claim>& claims) const;

  // Claims partitions: `decide` says for what is claimed now what is to be claimed instead, or gives up.
  // Every id that is claimed now and no longer afterwards is fenced before the new claim holds. Tried again
  // where another takeover came between.
  using Decide = std::function<Result<std::vector<Claim>>(const std::vector<std::optional<Claim>>& held)>;
  Status take(const std::vector<TopicPartition>& partitions, const Decide& decide, int patience_ms = 60'000);
  // Without transactions: claims whatever is claimed now; who does so last has it. Whoever had it before is
  // not fenced, and has to look.
  Status claim(const std::vector<TopicPartition>& partitions, const std::vector<Claim>& wanted,
               int patience_ms);
  // Gives up what is still claimed by `claim`, so that the next owner need not fence its id. Keeps the token.
  Status release(const std::vector<std::pair<TopicPartition, Claim>>& claims, int patience_ms);

 private:
  enum class Outcome { kTaken, kAgain };
  Result<Outcome> try_take(const std::vector<TopicPartition>& partitions, const Decide& decide,
                           int patience_ms);
  Result<Claims> decided_claims(const std::vector<TopicPartition>& partitions, const Decide& decide,
                                int patience_ms);
  Status fence_replaced(const Claims& held, const std::vector<Claim>& wanted, int patience_ms);
  Status fence(const std::string& transactional_id, int patience_ms);
  std::string group() const { return pipeline_ + ".owner"; }

  const kafka::Connection connection_;
  kafka::Admin& admin_;
  const std::string pipeline_;
};

}  // namespace tidemill::serve
