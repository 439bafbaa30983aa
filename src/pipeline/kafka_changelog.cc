#include "pipeline/kafka_changelog.h"

#include "base/logging.h"
#include "kafka/reader.h"
#include "pipeline/operator.h"

namespace tidemill::pipeline {
namespace {

constexpr int kTimeoutMs = 60'000;
// Brokers take messages of a megabyte unless they are told otherwise.
constexpr size_t kMaxRecordBytes = 900'000;
constexpr size_t kBatchBytes = kMaxRecordBytes + 1'000;  // with one of them
static_assert(kMostDeltaBytes + kChangelogHeaderBytes < kMaxRecordBytes);

// A topic that somebody else made, or altered.
Status check_topic(kafka::Admin& admin, const std::string& topic) {
  const std::string where = "Kafka at " + admin.address() + ": topic " + topic + ", which keeps state: ";
  const std::string way_out = " (kafka-configs --alter --entity-type topics --entity-name " + topic +
                              " --add-config …), or give the solution another name";
  TM_ASSIGN(kafka::TopicLimits limits, admin.limits(topic));
  if (limits.bytes < kBatchBytes) {
    return user_error(where + "it takes records of " + std::to_string(limits.bytes) + " bytes, and " +
                      std::to_string(kBatchBytes) +
                      " are needed: raise its max.message.bytes, and "
                      "message.max.bytes under properties where that is set" +
                      way_out);
  }
  auto settings = admin.settings(topic);
  if (!settings.ok()) return settings.error().retryable ? Status(std::move(settings).error()) : Status();
  if ((*settings)["cleanup.policy"].find("compact") != std::string::npos) {
    return user_error(where + "its cleanup.policy is " + (*settings)["cleanup.policy"] +
                      ", and what is kept there has no keys: set cleanup.policy=delete" + way_out);
  }
  for (const char* retention : {"retention.ms", "retention.bytes"}) {
    const std::string& value = (*settings)[retention];
    if (value.empty() || value == "-1") continue;
    log_warning(where + "its " + retention + " is " + value +
                ": state that is older may be gone at the next start; set " + retention + "=-1" + way_out);
  }
  return {};
}

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
  if (created.ok()) return check_topic(admin, topic.name);
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
    options.properties = {{"batch.size", std::to_string(kBatchBytes)}};
    options.on_delivery = [this](void*, bool delivered, const std::string& why) {
      std::lock_guard refused(refused_mutex_);
      if (!delivered && refused_.empty()) refused_ = why;
    };
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
  TM_TRY(producer_->flush(kTimeoutMs));
  std::lock_guard refused(refused_mutex_);
  if (refused_.empty()) return {};
  return external_error("Kafka at " + admin_->address() + ": topic " + topic_ +
                        " refused a record: " + refused_ +
                        "; nothing is lost: put the topic's settings, or this user's rights, right, and a "
                        "restart goes on from the last commit");
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
