#include "serve/kafka_owner.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/clock.h"
#include "base/random.h"
#include "base/steps.h"

namespace tidemill::serve {

using pipeline::Incarnation;

namespace {

constexpr int kTimeoutMs = 60'000;
constexpr int kAttempts = 50;
constexpr uint64_t kPauseUs = 200'000;

}  // namespace

std::string KafkaOwners::new_id() const {
  std::array<char, 17> text{};
  (void)snprintf(text.data(), text.size(), "%016llx",
                 static_cast<unsigned long long>(Random::system().next()));
  return pipeline_ + "." + text.data();
}

Result<std::vector<std::optional<KafkaOwners::Claim>>> KafkaOwners::claims(
    const std::vector<TopicPartition>& partitions) {
  TM_ASSIGN(auto offsets, admin_.group_offsets(group(), partitions));
  std::vector<std::optional<Claim>> held;
  for (const auto& offset : offsets) {
    std::optional<Claim> claim;
    if (offset) {
      claim = Claim{Incarnation(static_cast<int32_t>(offset->position.offset.value())), offset->metadata};
    }
    held.push_back(std::move(claim));
  }
  return held;
}

Status KafkaOwners::take(const std::vector<TopicPartition>& partitions, const Decide& decide) {
  for (int attempt = 1;; ++attempt) {
    auto tried = try_take(partitions, decide);
    if (!tried.ok()) return std::move(tried).error().within("takeover");
    if (*tried == Outcome::kTaken) return {};
    if (attempt == kAttempts) {
      return external_error("takeover: other processes of " + pipeline_ + " took over all the time",
                            Code::kFailed, true);
    }
    Clock::system().sleep_us(static_cast<int64_t>(Random::system().below(kPauseUs)));
  }
}

Result<KafkaOwners::Outcome> KafkaOwners::try_take(const std::vector<TopicPartition>& partitions,
                                                   const Decide& decide) {
  kafka::ProducerOptions options;
  options.transactional_id = pipeline_ + ".takeover";
  TM_ASSIGN(auto producer, kafka::Producer::open(connection_, options));
  // Whoever was in the middle of one is fenced; what it claimed is there, or never will be.
  TM_TRY(producer->init(kTimeoutMs));
  TM_ASSIGN(std::vector<std::optional<Claim>> held, claims(partitions));
  TM_ASSIGN(std::vector<Claim> wanted, decide(held));
  TM_CHECK(wanted.size() == partitions.size());
  std::set<std::string> gone;
  for (size_t i = 0; i < held.size(); ++i) {
    if (held[i] && !held[i]->transactional_id.empty() &&
        held[i]->transactional_id != wanted[i].transactional_id) {
      gone.insert(held[i]->transactional_id);
    }
  }
  for (const std::string& id : gone) TM_TRY(fence(id));
  commit_step("kafka.fenced");

  kafka::Producer::GroupCommit claim;
  claim.group = group();
  for (size_t i = 0; i < partitions.size(); ++i) {
    kafka::GroupOffset offset;
    offset.position = {Offset(wanted[i].token.value()), LeaderEpoch(-1)};
    offset.metadata = wanted[i].transactional_id;
    claim.offsets.emplace_back(partitions[i], std::move(offset));
  }
  Status done = producer->begin();
  if (done.ok()) done = producer->send_offsets(claim, kTimeoutMs);
  Error why;
  kafka::Producer::End end = kafka::Producer::End::kUnknown;
  if (done.ok()) {
    end = producer->commit(kTimeoutMs, &why);
  } else {
    why = std::move(done).error();
    end = producer->abort(kTimeoutMs, why);
  }
  commit_step("kafka.claimed");
  switch (end) {
    case kafka::Producer::End::kDone:
      return Outcome::kTaken;
    case kafka::Producer::End::kAborted:
      if (!why.retryable) return why;
      return Outcome::kAgain;
    case kafka::Producer::End::kFenced:
    case kafka::Producer::End::kUnknown:
      return Outcome::kAgain;
  }
  return Outcome::kAgain;
}

Status KafkaOwners::fence(const std::string& transactional_id) {
  kafka::ProducerOptions options;
  options.transactional_id = transactional_id;
  TM_ASSIGN(auto producer, kafka::Producer::open(connection_, options));
  return producer->init(kTimeoutMs);
}

}  // namespace tidemill::serve
