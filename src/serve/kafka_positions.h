// What the Kafka sink keeps of each input partition in groups: positions, with counters in their metadata.
#pragma once

#include <string>
#include <vector>

#include "kafka/admin.h"
#include "pipeline/epoch.h"
#include "serve/kafka_owner.h"

namespace tidemill::serve {

// "tidemill-1 <epoch> <incarnation> <read> <stored> <dead> <dropped>", which kafka-consumer-groups can print.
std::string encode_position_metadata(const pipeline::PartitionEpoch& part);
// What is committed, as the epoch that committed it. Precondition: it has a position.
pipeline::PartitionEpoch epoch_of(const TopicPartition& source, const pipeline::Committed& committed);
// Errors: kCorrupt: somebody else committed it.
Status decode_position_metadata(std::string_view text, pipeline::Committed* out);

// Under which partitions the cluster keeps what it keeps of those of the source: of the positions' topic; of
// topics by pattern their own.
std::vector<TopicPartition> kept_of(const std::string& positions_topic, std::vector<TopicPartition> sources);

struct HeldPositions {
  std::vector<pipeline::Committed> committed;
  std::vector<std::string> owners;  // their transactional ids
};

// Owners first, then positions, in the order asked for; of `kept`, under which the cluster keeps what it
// keeps of the sources. `patience_ms`, `else_former`: Admin::group_offsets'.
Result<HeldPositions> read_positions(kafka::Admin& admin, KafkaOwners& owners, const std::string& pipeline,
                                     const std::vector<TopicPartition>& kept, int patience_ms,
                                     bool else_former);

}  // namespace tidemill::serve
