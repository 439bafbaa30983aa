// The Kafka sink's writer for endpoints without transactions. A commit is made in steps, each acknowledged
// before the next: rows and dead letters, changelog frames, positions. What a crash between them leaves:
//   after the rows     they are sent again by whoever goes on
//   after the frames   the same: recovery takes no frame that the positions do not name
// so nothing is lost, and no state is ahead of its rows.
//
// The owner's token is claimed by an ordinary commit of the group <pipeline>.owner, and looked up, with the
// positions, before every commit. That fences whoever was late, up to the moment between the look and the
// commit. An owner that is halted just there may put its position over that of the next: then events are
// sent again, and the next one finds another position than it expects, and starts over from it.
// Where the source is a topic of the same cluster that a group shares out, positions are committed as the
// member of the group, which takes them from no member that it has put out.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/sink.h"
#include "serve/kafka_output.h"
#include "serve/kafka_positions.h"

namespace tidemill::serve {

class KafkaStepsWriter final : public pipeline::SinkWriter {
 public:
  struct Store {
    kafka::Admin& admin;
    KafkaOwners& owners;
    const KafkaLayout& layout;
    std::string pipeline;
    std::string positions_topic;  // whose partitions stand for the source's
    bool as_member = false;       // positions_topic is the source's
    int timeout_ms = 60'000;
    // Makes room in that topic for partitions that were added to the source's.
    std::function<Status(std::span<const TopicPartition>)> grow_positions;
  };
  // `sender`: of kept rows and of frames. `rows`: where rows go as they come; null: they are kept for the
  // commit. What `store` refers to must outlive it.
  KafkaStepsWriter(Store store, std::unique_ptr<KafkaRows> sender, std::unique_ptr<KafkaRows> rows);

  Result<std::vector<pipeline::Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override;
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<KafkaOutput>(store_.layout, rows_.get()));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<pipeline::Committed>> committed(std::span<const TopicPartition> partitions) override;
  Status keep() override;

 private:
  struct Owned {
    pipeline::Incarnation token;
    std::optional<Position> position;  // committed
  };
  std::vector<TopicPartition> kept(std::span<const TopicPartition> sources) const;
  Result<HeldPositions> read(std::span<const TopicPartition> partitions, int patience_ms);
  Status check_owned(const pipeline::CommitRequest& request) const;
  Status check_store(const pipeline::CommitRequest& request);
  Status write_frames(const pipeline::CommitRequest& request);
  Status commit_positions(const pipeline::CommitRequest& request);

  const Store store_;
  const std::string id_;  // of this owner, in its claims
  std::unique_ptr<KafkaRows> sender_;
  const std::unique_ptr<KafkaRows> rows_;
  std::map<TopicPartition, Owned> owned_;
};

}  // namespace tidemill::serve
