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

// A pause is random, and at most this; twice as long after every attempt, as the more processes take over the
// less often one of them is left alone for as long as it takes.
constexpr int kUndecidedMs = 1'000;  // how long claims may wait for their transaction's end
constexpr uint64_t kFirstPauseUs = 100'000, kLongestPauseUs = 6'400'000;

// Claims as positions of their group.
kafka::GroupOffsets offsets_of(const std::vector<TopicPartition>& partitions,
                               const std::vector<KafkaOwners::Claim>& claims) {
  kafka::GroupOffsets offsets;
  for (size_t i = 0; i < partitions.size(); ++i) {
    kafka::GroupOffset offset;
    offset.position = {Offset(claims[i].token.value()), LeaderEpoch(-1)};
    offset.metadata = claims[i].transactional_id;
    offsets.emplace_back(partitions[i], std::move(offset));
  }
  return offsets;
}

}  // namespace

std::string KafkaOwners::new_id() const {
  std::array<char, 17> text{};
  (void)snprintf(text.data(), text.size(), "%016llx",
                 static_cast<unsigned long long>(Random::system().next()));
  return pipeline_ + "." + text.data();
}

Result<KafkaOwners::Claims> KafkaOwners::claims(const std::vector<TopicPartition>& partitions,
                                                int patience_ms, bool else_former) {
  TM_ASSIGN(auto offsets, admin_.group_offsets(group(), partitions, patience_ms, else_former));
  Claims held;
  for (const auto& offset : offsets) {
    std::optional<Claim> claim;
    if (offset) {
      claim = Claim{Incarnation(static_cast<int32_t>(offset->position.offset.value())), offset->metadata};
    }
    held.push_back(std::move(claim));
  }
  return held;
}

kafka::Producer::GroupCommit KafkaOwners::commit_of(const std::vector<TopicPartition>& partitions,
                                                    const std::vector<Claim>& claims) const {
  return {group(), offsets_of(partitions, claims)};
}

Status KafkaOwners::take(const std::vector<TopicPartition>& partitions, const Decide& decide,
                         int patience_ms) {
  const int64_t deadline = Clock::system().steady_ns() + int64_t{patience_ms} * 1'000'000;
  for (uint64_t pause_us = kFirstPauseUs;; pause_us = std::min(2 * pause_us, kLongestPauseUs)) {
    auto tried = try_take(partitions, decide, patience_ms);
    if (!tried.ok()) return std::move(tried).error().within("takeover");
    if (*tried == Outcome::kTaken) return {};
    if (Clock::system().steady_ns() > deadline) {
      return external_error("takeover: other processes of " + pipeline_ + " took over all the time",
                            Code::kFailed, true);
    }
    Clock::system().sleep_us(static_cast<int64_t>(Random::system().below(pause_us)));
  }
}

Status KafkaOwners::claim(const std::vector<TopicPartition>& partitions, const std::vector<Claim>& wanted,
                          int patience_ms) {
  const kafka::GroupOffsets offsets = offsets_of(partitions, wanted);
  const int64_t deadline = Clock::system().steady_ns() + int64_t{patience_ms} * 1'000'000;
  while (true) {
    Status claimed = admin_.commit_offsets(group(), offsets, patience_ms);
    if (claimed.ok()) return claimed;
    // One whose answer was lost may be claimed once more.
    Error why = std::move(claimed).error().within("takeover");
    if (why.code == Code::kUnknown) why.retryable = true;
    if (!why.retryable || Clock::system().steady_ns() > deadline) return why;
    Clock::system().sleep_us(static_cast<int64_t>(kFirstPauseUs));
  }
}

Status KafkaOwners::release(const std::vector<std::pair<TopicPartition, Claim>>& claims, int patience_ms) {
  std::vector<TopicPartition> all;
  for (const auto& [source, claim] : claims) all.push_back(source);
  auto ours = [&](const auto& held, size_t i) { return held[i] && *held[i] == claims[i].second; };
  TM_ASSIGN(auto seen, this->claims(all, patience_ms));
  bool any = false;
  for (size_t i = 0; i < all.size(); ++i) any |= ours(seen, i);
  if (!any) return {};
  return take(
      all,
      [&](const auto& held) -> Result<std::vector<Claim>> {
        std::vector<Claim> wanted;
        for (size_t i = 0; i < held.size(); ++i) {
          const Claim& now = held[i] ? *held[i] : claims[i].second;
          wanted.push_back(ours(held, i) ? Claim{now.token, {}} : now);
        }
        return wanted;
      },
      patience_ms);
}

Result<KafkaOwners::Outcome> KafkaOwners::try_take(const std::vector<TopicPartition>& partitions,
                                                   const Decide& decide, int patience_ms) {
  kafka::ProducerOptions options;
  options.transactional_id = pipeline_ + ".takeover";
  TM_ASSIGN(auto producer, kafka::Producer::open(connection_, options));
  // Whoever was in the middle of one is fenced; what it claimed is there, or never will be.
  TM_TRY(producer->init(patience_ms));
  TM_ASSIGN(Claims held, decided_claims(partitions, decide, patience_ms));
  TM_ASSIGN(std::vector<Claim> wanted, decide(held));
  TM_CHECK(wanted.size() == partitions.size());
  TM_TRY(fence_replaced(held, wanted, patience_ms));
  commit_step("kafka.fenced");

  const kafka::Producer::GroupCommit claim = commit_of(partitions, wanted);
  Status done = producer->begin();
  if (done.ok()) done = producer->send_offsets(claim, patience_ms);
  Error why;
  kafka::Producer::End end = kafka::Producer::End::kUnknown;
  if (done.ok()) {
    end = producer->commit(patience_ms, &why);
  } else {
    why = std::move(done).error();
    end = producer->abort(patience_ms, why);
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

// An owner that dies while it writes its claims again leaves them undecided until its transaction times out.
// The claims before tell whom to fence, which ends it at once.
Result<KafkaOwners::Claims> KafkaOwners::decided_claims(const std::vector<TopicPartition>& partitions,
                                                        const Decide& decide, int patience_ms) {
  auto held = claims(partitions, kUndecidedMs);
  if (held.ok() || !held.error().retryable) return held;
  TM_ASSIGN(Claims former, claims(partitions, 0, true));
  TM_ASSIGN(std::vector<Claim> wanted, decide(former));
  TM_TRY(fence_replaced(former, wanted, patience_ms));
  return claims(partitions, patience_ms);
}

Status KafkaOwners::fence_replaced(const Claims& held, const std::vector<Claim>& wanted, int patience_ms) {
  std::set<std::string> gone;
  for (size_t i = 0; i < held.size(); ++i) {
    // An owner that releases a claim writes no more under it, for this partition.
    if (held[i] && !held[i]->transactional_id.empty() && !wanted[i].transactional_id.empty() &&
        held[i]->transactional_id != wanted[i].transactional_id) {
      gone.insert(held[i]->transactional_id);
    }
  }
  for (const std::string& id : gone) TM_TRY(fence(id, patience_ms));
  return {};
}

Status KafkaOwners::fence(const std::string& transactional_id, int patience_ms) {
  kafka::ProducerOptions options;
  options.transactional_id = transactional_id;
  TM_ASSIGN(auto producer, kafka::Producer::open(connection_, options));
  return producer->init(patience_ms);
}

}  // namespace tidemill::serve
