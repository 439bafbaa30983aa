#include "serve/kafka_positions.h"

#include <charconv>

#include "kafka/topic_pattern.h"

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::Epoch;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

namespace {

constexpr std::string_view kMetadataVersion = "tidemill-1";

}  // namespace

std::string encode_position_metadata(const PartitionEpoch& part) {
  std::string text(kMetadataVersion);
  text += ' ' + std::to_string(part.epoch.value()) + ' ' + std::to_string(part.owner.value());
  for (uint64_t count :
       {part.counters.read, part.counters.stored, part.counters.dead, part.counters.dropped}) {
    text += ' ' + std::to_string(count);
  }
  return text;
}

PartitionEpoch epoch_of(const TopicPartition& source, const Committed& committed) {
  PartitionEpoch part;
  part.source = source;
  part.epoch = committed.epoch;
  part.owner = committed.incarnation;
  part.next = *committed.position;
  part.counters = committed.counters;
  return part;
}

Status decode_position_metadata(std::string_view text, Committed* out) {
  std::vector<uint64_t> numbers;
  const bool ours = text.starts_with(kMetadataVersion);
  for (size_t at = ours ? kMetadataVersion.size() : text.size(); at < text.size();) {
    uint64_t number = 0;
    auto [next, error] = std::from_chars(text.data() + at + 1, text.data() + text.size(), number);
    if (text[at] != ' ' || error != std::errc()) break;
    numbers.push_back(number);
    at = static_cast<size_t>(next - text.data());
  }
  if (numbers.size() != 6) {
    return user_error(
        "somebody else has committed a position of this group, as kafka-consumer-groups --reset-offsets "
        "does; "
        "delete it (--delete-offsets), or give the solution another name",
        Code::kCorrupt);
  }
  out->epoch = Epoch(static_cast<int64_t>(numbers[0]));
  out->incarnation = Incarnation(static_cast<int32_t>(numbers[1]));
  out->counters = {numbers[2], numbers[3], numbers[4], numbers[5]};
  return {};
}

std::vector<TopicPartition> kept_of(const std::string& positions_topic, std::vector<TopicPartition> sources) {
  if (kafka::is_pattern(positions_topic)) return sources;
  for (TopicPartition& source : sources) source.topic = positions_topic;
  return sources;
}

Result<HeldPositions> read_positions(kafka::Admin& admin, KafkaOwners& owners, const std::string& pipeline,
                                     const std::vector<TopicPartition>& kept, int patience_ms,
                                     bool else_former) {
  TM_ASSIGN(auto claims, owners.claims(kept, patience_ms, else_former));
  TM_ASSIGN(auto offsets, admin.group_offsets(pipeline, kept, patience_ms, else_former));
  HeldPositions held;
  for (size_t i = 0; i < kept.size(); ++i) {
    Committed one;
    if (claims[i]) one.owner = claims[i]->token;
    held.owners.push_back(claims[i] ? claims[i]->transactional_id : std::string());
    if (offsets[i]) {
      one.position = offsets[i]->position;
      Status decoded = decode_position_metadata(offsets[i]->metadata, &one);
      if (!decoded.ok()) {
        return std::move(decoded).error().within("group " + pipeline + ", " + kept[i].to_string());
      }
    }
    held.committed.push_back(one);
  }
  return held;
}

}  // namespace tidemill::serve
