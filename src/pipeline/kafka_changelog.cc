#include "pipeline/kafka_changelog.h"

#include "kafka/reader.h"

namespace tidemill::pipeline {
namespace {

constexpr int kTimeoutMs = 60'000;
// Brokers take messages of a megabyte unless they are told otherwise.
constexpr size_t kMaxRecordBytes = 900'000;

}  // namespace

std::string kafka_changelog_topic(const std::string& pipeline) {
  return pipeline + "-changelog";
}

Status create_kafka_changelog(kafka::Admin& admin, const std::string& pipeline, int32_t partitions,
                              int32_t replication) {
  kafka::NewTopic topic;
  topic.name = kafka_changelog_topic(pipeline);
  topic.partitions = partitions;
  topic.replication = replication;
  topic.configs = {{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}};
  Status created = admin.create_topic(topic);
  if (created.ok()) return {};
  if (created.error().code == Code::kInvalid) {
    return user_error(
        "changelog of " + pipeline + ": its state is kept for another number of partitions than the " +
            std::to_string(partitions) +
            " that the input topic has now: keys have moved away from what is kept for them. Give "
            "the solution another name, to begin anew with " +
            std::to_string(partitions),
        Code::kInvalid);
  }
  return std::move(created).error().within("changelog of " + pipeline);
}

Result<std::unique_ptr<KafkaChangelog>> KafkaChangelog::open(const kafka::Connection& connection,
                                                             const std::string& pipeline,
                                                             const kafka::Abilities& abilities) {
  auto changelog = std::unique_ptr<KafkaChangelog>(
      new KafkaChangelog(connection, kafka_changelog_topic(pipeline), abilities));
  TM_ASSIGN(changelog->admin_, kafka::Admin::open(connection));
  return changelog;
}

size_t KafkaChangelog::max_record_bytes() const {
  return kMaxRecordBytes;
}

Status KafkaChangelog::append(const TopicPartition& source, const std::vector<std::string>& records) {
  std::lock_guard lock(mutex_);
  if (producer_ == nullptr) {
    kafka::ProducerOptions options;
    options.idempotent = abilities_.idempotence;
    TM_ASSIGN(producer_, kafka::Producer::open(connection_, options));
  }
  for (const std::string& value : records) {
    Record record;
    record.value = value;
    record.has_value = true;
    TM_TRY(producer_->produce(partition(source), record));
  }
  return {};
}

Status KafkaChangelog::sync() {
  std::lock_guard lock(mutex_);
  if (producer_ == nullptr) return {};
  return producer_->flush(kTimeoutMs);
}

Status KafkaChangelog::read(const TopicPartition& source,
                            const std::function<Status(int64_t at, std::string_view value)>& each) {
  const std::vector<TopicPartition> one{partition(source)};
  TM_ASSIGN(std::vector<Position> begin, admin_->offsets(one, {kafka::OffsetQuery::kEarliest, 0}));
  // The high watermark, not the end of what is stable: the marker of a transaction whose commit was answered
  // may be on its way, and its frame is needed.
  TM_ASSIGN(std::vector<Position> end, admin_->offsets(one, {kafka::OffsetQuery::kEnd, 0}));
  return kafka::read_range(connection_, one.front(), begin.front().offset, end.front().offset,
                           [&](const Record& record) { return each(record.offset.value(), record.value); });
}

Result<int64_t> KafkaChangelog::end(const TopicPartition& source) {
  TM_ASSIGN(std::vector<Position> end, admin_->offsets({partition(source)}, {kafka::OffsetQuery::kEnd, 0}));
  return end.front().offset.value();
}

Status KafkaChangelog::truncate_before(const TopicPartition& source, int64_t at) {
  if (!abilities_.deletes) return {};
  return admin_->delete_before(partition(source), Offset(at));
}

}  // namespace tidemill::pipeline
