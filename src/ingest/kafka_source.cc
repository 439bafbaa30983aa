#include "ingest/kafka_source.h"

#include <algorithm>

namespace tidemill::ingest {

using pipeline::Polled;
using pipeline::PollRequest;

namespace {

std::string lost(Offset from, Offset to) {
  return "events " + std::to_string(from.value()) + " to " + std::to_string(to.value() - 1) + " (" +
         std::to_string(to.since(from)) + ")";
}

}  // namespace

class KafkaSourceReader final : public pipeline::SourceReader {
 public:
  KafkaSourceReader(KafkaSource& source, std::unique_ptr<kafka::Reader> reader)
      : source_(source), reader_(std::move(reader)) {}

  Status check_position(const TopicPartition& tp, const Position& position) override;
  Result<Position> start_position(const TopicPartition& tp) override;
  Status assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) override {
    return reader_->assign(partitions);
  }
  void unassign(const std::vector<TopicPartition>& partitions) override { reader_->unassign(partitions); }
  Result<Polled> poll(const PollRequest& request) override {
    Polled polled;
    TM_ASSIGN(polled.batches, reader_->poll({request.max_events, request.max_bytes, request.timeout_us}));
    polled.caught_up = reader_->at_end();
    polled.idle = reader_->idle();
    return polled;
  }
  int64_t lag(const TopicPartition& tp, const Position& position) override {
    return reader_->lag(tp, position.offset);
  }

 private:
  KafkaSource& source_;
  std::unique_ptr<kafka::Reader> reader_;
};

Status KafkaSourceReader::check_position(const TopicPartition& tp, const Position& position) {
  TM_ASSIGN(auto begin, source_.admin_->offsets({tp}, {kafka::OffsetQuery::kEarliest, 0}));
  TM_ASSIGN(auto end, source_.admin_->offsets({tp}, {kafka::OffsetQuery::kEnd, 0}));
  const std::string what =
      tp.to_string() + ": the pipeline has committed up to offset " + std::to_string(position.offset.value());
  const std::string way_out =
      "; to go on without them, give the solution another name, or reset its positions with Kafka's own "
      "tools";
  if (position.offset < begin.front().offset) {
    return external_error(what + ", but the topic begins at " + std::to_string(begin.front().offset.value()) +
                              ": " + lost(position.offset, begin.front().offset) + " were deleted" + way_out,
                          Code::kOutOfRange);
  }
  if (position.offset > end.front().offset) {
    return external_error(what + ", but the topic ends at " + std::to_string(end.front().offset.value()) +
                              ": " + lost(end.front().offset, position.offset) +
                              " were lost, or it was deleted and created again" + way_out,
                          Code::kOutOfRange);
  }
  if (position.leader_epoch > end.front().leader_epoch) {
    return external_error(what + " in leader epoch " + std::to_string(position.leader_epoch.value()) +
                              ", but the topic is at " + std::to_string(end.front().leader_epoch.value()) +
                              ": it is another topic, or was created again; give the solution another name",
                          Code::kOutOfRange);
  }
  // Whether an earlier epoch reached this far is asked when reading begins (KIP-320).
  return {};
}

Result<Position> KafkaSourceReader::start_position(const TopicPartition& tp) {
  kafka::OffsetQuery query;
  switch (source_.options_.start) {
    case KafkaSourceOptions::Start::kEarliest:
      break;
    case KafkaSourceOptions::Start::kLatest:
      query.kind = kafka::OffsetQuery::kStableEnd;
      break;
    case KafkaSourceOptions::Start::kTime:
      query = {kafka::OffsetQuery::kTime, source_.options_.start_time_us / 1000};
      break;
  }
  TM_ASSIGN(auto found, source_.admin_->offsets({tp}, query));
  return found.front();
}

Result<std::unique_ptr<KafkaSource>> KafkaSource::open(KafkaSourceOptions options) {
  auto source = std::unique_ptr<KafkaSource>(new KafkaSource(std::move(options)));
  TM_ASSIGN(source->admin_, kafka::Admin::open(source->options_.connection, source->options_.timeout_ms));
  auto topic = source->admin_->describe(source->options_.topic);
  if (!topic.ok()) return std::move(topic).error().within("ingest.kafka");
  source->topic_ = *topic;
  return source;
}

std::unique_ptr<KafkaSource> KafkaSource::assume(KafkaSourceOptions options, int32_t partitions) {
  auto source = std::unique_ptr<KafkaSource>(new KafkaSource(std::move(options)));
  source->topic_ = {partitions, TimestampType::kLogAppendTime};
  return source;
}

pipeline::SourceTraits KafkaSource::traits() const {
  pipeline::SourceTraits traits;
  traits.system = "Kafka topic " + options_.topic + " at " + kafka::address_of(options_.connection);
  traits.timestamp_type = topic_.timestamp_type;
  return traits;
}

Result<std::vector<TopicPartition>> KafkaSource::partitions() {
  std::vector<TopicPartition> all;
  for (int32_t i = 0; i < topic_.partitions; ++i) all.push_back({options_.topic, Partition(i)});
  return all;
}

Result<std::unique_ptr<pipeline::SourceReader>> KafkaSource::open_reader(int) {
  kafka::ReaderOptions options;
  options.group = options_.pipeline;
  options.queue_bytes = options_.queue_bytes;
  options.fetch_wait_ms = options_.fetch_wait_ms;
  TM_ASSIGN(auto reader, kafka::Reader::open(options_.connection, options));
  return std::unique_ptr<pipeline::SourceReader>(
      std::make_unique<KafkaSourceReader>(*this, std::move(reader)));
}

Result<std::vector<std::pair<TopicPartition, Offset>>> KafkaSource::ends() {
  std::vector<std::pair<TopicPartition, Offset>> all;
  TM_ASSIGN(std::vector<TopicPartition> partitions, this->partitions());
  TM_ASSIGN(auto found, admin_->offsets(partitions, {kafka::OffsetQuery::kStableEnd, 0}));
  for (size_t i = 0; i < partitions.size(); ++i) all.emplace_back(partitions[i], found[i].offset);
  return all;
}

}  // namespace tidemill::ingest
