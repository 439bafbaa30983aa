#include "serve/kafka_steps_writer.h"

#include <algorithm>

#include "base/random.h"
#include "base/steps.h"
#include "kafka/group_commit.h"
#include "pipeline/kafka_changelog.h"

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

namespace {

constexpr int kFreeMs = 3'000;
constexpr int kStepMs = 5'000;  // then a stop is looked for
// Two that take over in the same moment take different tokens, most likely: frames bear them.
constexpr uint64_t kTokenStride = 1'000;

Error taken_over(const TopicPartition& source) {
  return external_error("Kafka: " + source.to_string() + ": another owner took over", Code::kFenced);
}

}  // namespace

KafkaStepsWriter::KafkaStepsWriter(Store store, std::unique_ptr<KafkaRows> sender,
                                   std::unique_ptr<KafkaRows> rows)
    : store_(std::move(store)),
      id_(store_.owners.new_id()),
      sender_(std::move(sender)),
      rows_(std::move(rows)) {}

std::vector<TopicPartition> KafkaStepsWriter::kept(std::span<const TopicPartition> sources) const {
  return kept_of(store_.positions_topic, {sources.begin(), sources.end()});
}

Result<HeldPositions> KafkaStepsWriter::read(std::span<const TopicPartition> partitions, int patience_ms) {
  return read_positions(store_.admin, store_.owners, store_.pipeline, kept(partitions), patience_ms, true);
}

Result<std::vector<Committed>> KafkaStepsWriter::acquire(std::span<const TopicPartition> partitions) {
  for (const TopicPartition& source : partitions) owned_.erase(source);
  TM_TRY(store_.grow_positions(partitions));
  const std::vector<TopicPartition> places = kept(partitions);
  TM_ASSIGN(HeldPositions held, read(partitions, store_.timeout_ms));
  std::vector<KafkaOwners::Claim> wanted;
  for (const Committed& one : held.committed) {
    // Where the cluster has forgotten a claim, or an older one has come late, the last commit tells.
    const auto step = static_cast<int32_t>(1 + Random::system().below(kTokenStride));
    wanted.push_back({Incarnation(std::max(one.owner, one.incarnation).value() + step), id_});
  }
  TM_TRY(store_.owners.claim(places, wanted, store_.timeout_ms));
  commit_step("kafka.claimed");
  TM_ASSIGN(HeldPositions now, read(partitions, store_.timeout_ms));
  for (size_t i = 0; i < partitions.size(); ++i) {
    if (now.owners[i] != id_ || now.committed[i].owner != wanted[i].token) {
      return external_error(partitions[i].to_string() + ": another owner took over in the same moment",
                            Code::kFenced);
    }
    owned_[partitions[i]] = {wanted[i].token, now.committed[i].position};
  }
  return now.committed;
}

// Says that nobody writes for them. Where it fails the next owner takes over all the same.
void KafkaStepsWriter::release(std::span<const TopicPartition> partitions) {
  std::vector<TopicPartition> mine;
  for (const TopicPartition& source : partitions) {
    if (owned_.count(source) != 0) mine.push_back(source);
  }
  auto held = store_.owners.claims(kept(mine));
  std::vector<TopicPartition> places;
  std::vector<KafkaOwners::Claim> free;
  for (size_t i = 0; i < mine.size(); ++i) {
    const Incarnation token = owned_.at(mine[i]).token;
    owned_.erase(mine[i]);
    if (!held.ok() || (*held)[i] != KafkaOwners::Claim{token, id_}) continue;
    places.push_back(kept({&mine[i], 1}).front());
    free.push_back({token, {}});
  }
  if (!places.empty()) (void)store_.owners.claim(places, free, kFreeMs).ok();
}

Result<std::vector<Committed>> KafkaStepsWriter::committed(std::span<const TopicPartition> partitions) {
  TM_ASSIGN(HeldPositions now, read(partitions, store_.timeout_ms));
  for (size_t i = 0; i < partitions.size(); ++i) {
    auto owned = owned_.find(partitions[i]);
    if (owned != owned_.end()) owned->second.position = now.committed[i].position;
  }
  return now.committed;
}

// Members of a group keep its positions themselves.
Status KafkaStepsWriter::keep() {
  std::vector<TopicPartition> sources;
  for (const auto& [source, owned] : owned_) sources.push_back(source);
  if (sources.empty()) return {};
  TM_ASSIGN(HeldPositions now, read(sources, store_.timeout_ms));
  std::vector<TopicPartition> places;
  std::vector<KafkaOwners::Claim> claims;
  pipeline::CommitRequest positions;
  for (size_t i = 0; i < sources.size(); ++i) {
    const Owned& owned = owned_.at(sources[i]);
    const Committed& one = now.committed[i];
    if (now.owners[i] != id_ || one.owner != owned.token || one.position != owned.position) continue;
    places.push_back(kept({&sources[i], 1}).front());
    claims.push_back({owned.token, id_});
    if (one.position) positions.partitions.push_back(epoch_of(sources[i], one));
  }
  if (!places.empty()) TM_TRY(store_.owners.claim(places, claims, store_.timeout_ms));
  if (store_.as_member || positions.partitions.empty()) return {};
  return commit_positions(positions);
}

Status KafkaStepsWriter::check_owned(const pipeline::CommitRequest& request) const {
  for (const PartitionEpoch& part : request.partitions) {
    auto owned = owned_.find(part.source);
    if (owned == owned_.end() || owned->second.token != part.owner ||
        owned->second.position != part.expected) {
      return taken_over(part.source);
    }
  }
  return {};
}

Status KafkaStepsWriter::check_store(const pipeline::CommitRequest& request) {
  std::vector<TopicPartition> sources;
  for (const PartitionEpoch& part : request.partitions) sources.push_back(part.source);
  TM_ASSIGN(HeldPositions now, read(sources, store_.timeout_ms));
  for (size_t i = 0; i < sources.size(); ++i) {
    const bool ours = now.owners[i] == id_ && now.committed[i].owner == request.partitions[i].owner;
    if (!ours || now.committed[i].position != request.partitions[i].expected) return taken_over(sources[i]);
  }
  return {};
}

Status KafkaStepsWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  auto& rows = static_cast<KafkaOutput&>(output);
  TM_TRY(check_owned(request));
  TM_TRY(check_store(request));
  TM_TRY(rows.send_kept(*sender_));
  TM_TRY(rows.acknowledged(std::min(store_.timeout_ms, kStepMs)));
  commit_step("kafka.rows.acknowledged");
  TM_TRY(write_frames(request));
  commit_step("kafka.frames.acknowledged");
  TM_TRY(commit_positions(request));
  commit_step("kafka.positions.committed");
  for (const PartitionEpoch& part : request.partitions) owned_.at(part.source).position = part.next;
  return {};
}

// One that is written again, as its first answer was lost, does no harm: recovery takes the last.
Status KafkaStepsWriter::write_frames(const pipeline::CommitRequest& request) {
  TopicPartition changelog{pipeline::kafka_changelog_topic(store_.pipeline), Partition(0)};
  KafkaRows::Sent* sent = sender_->begin();
  Status written;
  for (const PartitionEpoch& part : request.partitions) {
    changelog.partition = part.source.partition;
    for (const std::string& value : part.frame) {
      Record record;
      record.value = value;
      record.has_value = true;
      if (written.ok()) written = sender_->add(changelog, record, sent);
    }
  }
  sender_->send();
  if (written.ok()) written = sender_->wait(*sent, std::min(store_.timeout_ms, kStepMs));
  sender_->done(sent);
  return written;
}

Status KafkaStepsWriter::commit_positions(const pipeline::CommitRequest& request) {
  kafka::GroupOffsets positions;
  for (const PartitionEpoch& part : request.partitions) {
    positions.emplace_back(kept({&part.source, 1}).front(),
                           kafka::GroupOffset{part.next, encode_position_metadata(part)});
  }
  if (!store_.as_member || request.commit_token.empty()) {
    return store_.admin.commit_offsets(store_.pipeline, positions, store_.timeout_ms);
  }
  std::shared_ptr<kafka::Client> member = kafka::Members::find(request.commit_token);
  if (member == nullptr) return taken_over(request.partitions.front().source);
  return kafka::commit_positions(*member, "positions of group " + store_.pipeline, positions,
                                 store_.timeout_ms);
}

}  // namespace tidemill::serve
