#include "serve/kafka_sink.h"

#include <algorithm>
#include <map>
#include <utility>

#include "base/clock.h"
#include "base/steps.h"
#include "kafka/topic_pattern.h"
#include "pipeline/kafka_changelog.h"
#include "serve/dead_letters.h"
#include "serve/kafka_steps_writer.h"

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

namespace {

constexpr int kInitMs = 60'000;
// How long the markers of a transaction that is decided may take.
constexpr int kMarkersMs = 1'000;
constexpr int kReleaseMs = 3'000;
constexpr int kAcknowledgedMs = 5'000;     // then a stop is looked for
constexpr size_t kLeastBytes = 4'000;      // of a dead letter with its headers
constexpr size_t kBatchBytes = 1'000'000;  // of the producer, if it is not told otherwise

}  // namespace

class KafkaWriter final : public pipeline::SinkWriter {
 public:
  // `rows`: null where rows are in the transaction.
  KafkaWriter(KafkaSink& sink, std::unique_ptr<KafkaRows> rows) : sink_(sink), rows_(std::move(rows)) {}

  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override;
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<KafkaOutput>(sink_.layout_, rows_.get()));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  double time_share() const override { return time_share_; }
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override;
  Status keep() override;

 private:
  struct Owned {
    Incarnation token;
    Committed last;
  };
  Status open_producer();
  Status reclaim();
  Status drop_fenced_producer();
  Result<std::vector<Committed>> read(std::span<const TopicPartition> partitions, int patience_ms,
                                      bool else_former);
  Status check_owned(const pipeline::CommitRequest& request) const;
  Status write(const KafkaOutput& output, const pipeline::CommitRequest& request);
  Status fill_transaction(KafkaOutput& output, const pipeline::CommitRequest& request);
  Status after_doubt(const pipeline::CommitRequest& request, const Error& why);

  KafkaSink& sink_;
  const std::unique_ptr<KafkaRows> rows_;
  std::map<TopicPartition, Owned> owned_;
  std::string id_;  // of producer_
  // Null after a commit whose outcome is not known: its id is then fenced, and never used again.
  std::unique_ptr<kafka::Producer> producer_;
  double time_share_ = 0;
};

Status KafkaWriter::open_producer() {
  kafka::ProducerOptions options;
  options.transactional_id = sink_.owners_->new_id();
  options.transaction_timeout_ms = sink_.options_.transaction_timeout_ms;
  options.compression = sink_.options_.compression;
  TM_ASSIGN(auto producer, kafka::Producer::open(sink_.writing_, options));
  TM_TRY(producer->init(kInitMs));
  producer_ = std::move(producer);
  id_ = options.transactional_id;
  return {};
}

Result<std::vector<Committed>> KafkaWriter::acquire(std::span<const TopicPartition> partitions) {
  std::lock_guard lock(sink_.takeover_);
  TM_TRY(sink_.grow_positions(partitions));
  const std::vector<TopicPartition> all(partitions.begin(), partitions.end());
  TM_TRY(drop_fenced_producer());
  for (const TopicPartition& source : all) owned_.erase(source);
  if (producer_ == nullptr) TM_TRY(reclaim());
  std::vector<Incarnation> tokens;
  // Of a claim that the cluster has forgotten the last commit still tells.
  TM_ASSIGN(std::vector<Committed> former, read(partitions, kMarkersMs, true));
  TM_TRY(
      sink_.owners_->take(sink_.kept(all), [&](const auto& held) -> Result<std::vector<KafkaOwners::Claim>> {
        std::vector<KafkaOwners::Claim> wanted;
        tokens.clear();
        for (size_t i = 0; i < held.size(); ++i) {
          const Incarnation seen = held[i] ? held[i]->token : Incarnation(0);
          tokens.push_back(std::max(seen, former[i].incarnation).next());
          wanted.push_back({tokens.back(), id_});
        }
        return wanted;
      }));
  TM_ASSIGN(std::vector<Committed> result, read(partitions, kInitMs, false));
  for (size_t i = 0; i < all.size(); ++i) {
    if (result[i].owner != tokens[i]) {
      return external_error(all[i].to_string() + ": another owner took over in the same moment",
                            Code::kFenced);
    }
    owned_[all[i]] = {tokens[i], result[i]};
  }
  return result;
}

// Whoever took over one of its partitions has fenced it.
Status KafkaWriter::drop_fenced_producer() {
  if (producer_ == nullptr || owned_.empty()) return {};
  std::vector<TopicPartition> all;
  for (const auto& [source, owned] : owned_) all.push_back(source);
  // Of a takeover that is under way it hears when it commits.
  TM_ASSIGN(auto claims, sink_.owners_->claims(sink_.kept(all), kMarkersMs, true));
  for (size_t i = 0; i < all.size(); ++i) {
    if (!claims[i] || claims[i]->transactional_id != id_) producer_.reset();
  }
  return {};
}

// The next owner need not fence this one's producer then, which may go on with its other partitions.
void KafkaWriter::release(std::span<const TopicPartition> partitions) {
  std::vector<std::pair<TopicPartition, KafkaOwners::Claim>> claims;
  for (const TopicPartition& source : partitions) {
    auto owned = owned_.find(source);
    if (owned == owned_.end()) continue;
    claims.emplace_back(sink_.kept({source}).front(), KafkaOwners::Claim{owned->second.token, id_});
    owned_.erase(owned);
  }
  if (claims.empty() || producer_ == nullptr) return;
  std::lock_guard lock(sink_.takeover_);
  // Where it fails the next owner fences this one's producer, and this one takes a new one.
  (void)sink_.owners_->release(claims, kReleaseMs).ok();
}

// A new producer, for what is still owned under the same tokens; what somebody else took over is owned no
// more. With the takeover's lock held.
Status KafkaWriter::reclaim() {
  TM_TRY(open_producer());
  if (owned_.empty()) return {};
  std::vector<TopicPartition> all;
  for (const auto& [source, owned] : owned_) all.push_back(source);
  std::vector<TopicPartition> lost;
  Status taken =
      sink_.owners_->take(sink_.kept(all), [&](const auto& held) -> Result<std::vector<KafkaOwners::Claim>> {
        std::vector<KafkaOwners::Claim> wanted;
        lost.clear();
        for (size_t i = 0; i < held.size(); ++i) {
          const Incarnation token = owned_.at(all[i]).token;
          const bool ours = held[i] && held[i]->token == token;
          if (!ours) lost.push_back(all[i]);
          wanted.push_back(ours || !held[i] ? KafkaOwners::Claim{token, id_} : *held[i]);
        }
        return wanted;
      });
  if (!taken.ok()) {
    producer_.reset();
    return taken;
  }
  for (const TopicPartition& source : lost) owned_.erase(source);
  return {};
}

Result<std::vector<Committed>> KafkaWriter::read(std::span<const TopicPartition> partitions, int patience_ms,
                                                 bool else_former) {
  TM_ASSIGN(HeldPositions held,
            read_positions(*sink_.admin_, *sink_.owners_, sink_.options_.pipeline,
                           sink_.kept({partitions.begin(), partitions.end()}), patience_ms, else_former));
  return held.committed;
}

Result<std::vector<Committed>> KafkaWriter::committed(std::span<const TopicPartition> partitions) {
  // After a doubtful commit its transaction must have ended before positions say anything.
  if (producer_ == nullptr && !owned_.empty()) {
    std::lock_guard lock(sink_.takeover_);
    TM_TRY(reclaim());
  }
  // Others' transactions may be under way; they hold nothing yet.
  TM_ASSIGN(std::vector<Committed> result, read(partitions, kMarkersMs, true));
  for (size_t i = 0; i < partitions.size(); ++i) {
    auto owned = owned_.find(partitions[i]);
    if (owned != owned_.end()) owned->second.last = result[i];
  }
  return result;
}

Status KafkaWriter::check_owned(const pipeline::CommitRequest& request) const {
  for (const PartitionEpoch& part : request.partitions) {
    auto owned = owned_.find(part.source);
    if (owned == owned_.end() || owned->second.token != part.owner ||
        owned->second.last.position != part.expected) {
      return external_error("Kafka: " + part.source.to_string() + ": another owner took over", Code::kFenced);
    }
  }
  return {};
}

Status KafkaWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  time_share_ = 0;
  TM_TRY(check_owned(request));
  if (producer_ == nullptr) {
    std::lock_guard lock(sink_.takeover_);
    TM_TRY(reclaim());
    TM_TRY(check_owned(request));
  }
  const int timeout_ms = sink_.options_.transaction_timeout_ms;
  TM_TRY(static_cast<KafkaOutput&>(output).acknowledged(std::min(timeout_ms, kAcknowledgedMs)));
  if (rows_ != nullptr) commit_step("kafka.rows.acknowledged");
  const int64_t begun_ns = Clock::system().steady_ns();
  Error why;
  kafka::Producer::End end = kafka::Producer::End::kUnknown;
  Status filled = fill_transaction(static_cast<KafkaOutput&>(output), request);
  if (filled.ok()) {
    end = producer_->commit(timeout_ms, &why);
  } else {
    why = std::move(filled).error();
    end = producer_->abort(timeout_ms, why);
  }
  time_share_ = static_cast<double>(Clock::system().steady_ns() - begun_ns) / (timeout_ms * 1e6);
  switch (end) {
    case kafka::Producer::End::kDone:
      break;
    case kafka::Producer::End::kAborted:
      // A record that is too large, or refused, is so the next time, too.
      if (why.code != Code::kInvalid && why.code != Code::kRefused) why.retryable = true;
      return why;
    case kafka::Producer::End::kFenced:
    case kafka::Producer::End::kUnknown:
      return after_doubt(request, why);
  }
  commit_step("kafka.committed");
  for (const PartitionEpoch& part : request.partitions) {
    Committed& last = owned_.at(part.source).last;
    last.position = part.next;
    last.epoch = part.epoch;
    last.incarnation = part.owner;
    last.counters = part.counters;
  }
  return {};
}

// In one transaction of its own: whoever has taken over a partition meanwhile has fenced it.
Status KafkaWriter::keep() {
  if (producer_ == nullptr || owned_.empty()) return {};
  std::vector<TopicPartition> places;
  std::vector<KafkaOwners::Claim> claims;
  kafka::Producer::GroupCommit positions;
  positions.group = sink_.options_.pipeline;
  for (const auto& [source, owned] : owned_) {
    places.push_back(sink_.kept({source}).front());
    claims.push_back({owned.token, id_});
    if (!owned.last.position) continue;
    positions.offsets.emplace_back(
        places.back(),
        kafka::GroupOffset{*owned.last.position, encode_position_metadata(epoch_of(source, owned.last))});
  }
  const int timeout_ms = sink_.options_.transaction_timeout_ms;
  Status filled = producer_->begin();
  if (filled.ok()) filled = producer_->send_offsets(sink_.owners_->commit_of(places, claims), timeout_ms);
  if (filled.ok() && !positions.offsets.empty()) filled = producer_->send_offsets(positions, timeout_ms);
  commit_step("kafka.kept.sent");
  Error why;
  kafka::Producer::End end = kafka::Producer::End::kUnknown;
  if (filled.ok()) {
    end = producer_->commit(timeout_ms, &why);
  } else {
    why = std::move(filled).error();
    end = producer_->abort(timeout_ms, why);
  }
  if (end == kafka::Producer::End::kDone) return {};
  // The next commit finds out who owns what, under another id.
  if (end != kafka::Producer::End::kAborted) producer_.reset();
  return why;
}

Status KafkaWriter::fill_transaction(KafkaOutput& output, const pipeline::CommitRequest& request) {
  TM_TRY(producer_->begin());
  commit_step("kafka.begun");
  TM_TRY(write(output, request));
  commit_step("kafka.rows.produced");
  kafka::Producer::GroupCommit positions;
  positions.group = sink_.options_.pipeline;
  for (const PartitionEpoch& part : request.partitions) {
    positions.offsets.emplace_back(sink_.kept({part.source}).front(),
                                   kafka::GroupOffset{part.next, encode_position_metadata(part)});
  }
  TM_TRY(producer_->send_offsets(positions, sink_.options_.transaction_timeout_ms));
  commit_step("kafka.offsets.sent");
  return {};
}

// The transaction may have been committed or not. Its producer is given up, and fenced before anybody reads
// what became of it. Where another owner did that, this one is fenced.
Status KafkaWriter::after_doubt(const pipeline::CommitRequest& request, const Error& why) {
  producer_.reset();
  std::lock_guard lock(sink_.takeover_);
  if (Status claimed = reclaim(); claimed.ok()) {
    for (const PartitionEpoch& part : request.partitions) {
      if (owned_.count(part.source) == 0) {
        return external_error("Kafka: " + part.source.to_string() + ": another owner took over",
                              Code::kFenced);
      }
    }
  }
  return external_error(why.message, Code::kUnknown);
}

// What is written stays where it is until the commit has an outcome, or its producer is gone.
Status KafkaWriter::write(const KafkaOutput& output, const pipeline::CommitRequest& request) {
  TopicPartition rows{sink_.layout_.topic, Partition(0)}, letters{sink_.layout_.dead_topic, Partition(0)};
  for (const KafkaOutput::Outgoing& one : output.outgoing()) {
    TopicPartition& to = one.dead ? letters : rows;
    to.partition = one.partition;
    TM_TRY(producer_->produce_kept(to, one.record));
  }
  TopicPartition changelog{pipeline::kafka_changelog_topic(sink_.options_.pipeline), Partition(0)};
  for (const PartitionEpoch& part : request.partitions) {
    changelog.partition = part.source.partition;
    for (const std::string& value : part.frame) {
      Record record;
      record.value = value;
      record.has_value = true;
      TM_TRY(producer_->produce_kept(changelog, record));
    }
  }
  return {};
}

KafkaSink::KafkaSink(KafkaSinkOptions options) : options_(std::move(options)), writing_(options_.connection) {
  layout_.topic = options_.topic;
  layout_.dead_topic = dead_letter_name(options_.dead_topic, options_.topic, ".dead");
  layout_.rekey = options_.rekey;
  layout_.form = options_.form;
}

pipeline::SinkTraits KafkaSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "Kafka topic " + options_.topic + " at " + kafka::address_of(options_.connection);
  traits.changelog_in_transaction = true;
  traits.keep_every_us = options_.keep_every_us;
  traits.preferred_rows = 16'384;
  traits.rows_at_once = options_.at_least_once;
  if (options_.at_least_once || !options_.abilities.transactions)
    traits.capability = pipeline::Capability::kAtLeastOnce;
  if (!options_.abilities.transactions) {
    traits.in_steps = true;
    traits.weakness =
        "Kafka at " + kafka::address_of(options_.connection) + " has no transactions (" +
        options_.abilities.without_transactions +
        "): rows, state and positions are stored one after another; what a crash or a takeover cuts off is "
        "sent again, also by a process that was halted for longer than its session. A table with a key, or "
        "a dedup, that reads the topic makes it effectively-once";
    if (!options_.abilities.idempotence) {
      traits.weakness += ". It has no idempotent producers either (" +
                         options_.abilities.without_idempotence + "): a broken connection repeats rows, too";
    }
  } else if (options_.at_least_once) {
    traits.weakness =
        "serve.kafka.delivery: at-least-once: rows are sent before their positions commit; what a crash or a "
        "takeover cuts off is sent again";
  }
  return traits;
}

pipeline::SinkNeeds KafkaSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.added_members = options_.form == JsonForm::kSplice;
  needs.all_columns = options_.form == JsonForm::kRebuild;
  if (!options_.rekey.empty()) needs.columns.push_back(options_.rekey);
  return needs;
}

Result<int32_t> KafkaSink::prepare_topic(const std::string& name, int32_t partitions, bool dead) {
  kafka::NewTopic topic;
  topic.name = name;
  topic.partitions = partitions;
  topic.replication = options_.replication;
  topic.configs = {{"message.timestamp.type", dead ? "CreateTime" : "LogAppendTime"}};
  // They keep the events' own times, however long ago: retention would delete them at once.
  if (dead) topic.configs.emplace_back("retention.ms", "-1");
  if (dead || !options_.exact) return admin_->ensure_topic(topic);
  TM_TRY(admin_->create_topic(topic));
  return partitions;
}

Status KafkaSink::check_source_topic() {
  if (options_.topic == options_.source_topic) {
    return user_error("serve.kafka.topic: is the topic that is read from, " + options_.topic +
                      "; choose another one");
  }
  if (kafka::is_pattern(options_.source_topic)) return {};
  TM_ASSIGN(int32_t sources, admin_->partition_count(options_.source_topic));
  if (sources > 0) return {};
  return user_error("serve.kafka: the cluster has no topic " + options_.source_topic +
                        ", though it bears the id of the one that is read from; two clusters need two ids",
                    Code::kNotFound);
}

// A position is one of a topic that the cluster has. That of another cluster, or of the embedded log, is kept
// under the partitions of a topic that holds no event, and is there for that alone.
Status KafkaSink::prepare_positions() {
  positions_topic_ = options_.source_topic;
  if (!options_.source_cluster.empty()) {
    TM_ASSIGN(std::string cluster, admin_->cluster_id());
    if (cluster == options_.source_cluster) return check_source_topic();
  }
  if (kafka::is_pattern(options_.source_topic)) {
    return user_error(
        "serve.kafka: topics by pattern, " + options_.source_topic +
        ", need a sink in their own cluster, which keeps positions for them; serve a topic there");
  }
  kafka::NewTopic topic;
  topic.name = positions_topic_ = options_.pipeline + "-positions-" + options_.source_topic;
  topic.partitions = options_.source_partitions;
  topic.replication = options_.replication;
  topic.configs = {{"cleanup.policy", "compact"}};
  TM_ASSIGN(int32_t there, admin_->ensure_topic(topic));
  return there < topic.partitions ? admin_->grow_topic(topic.name, topic.partitions) : ok_status();
}

Status KafkaSink::grow_positions(std::span<const TopicPartition> partitions) {
  if (positions_topic_ == options_.source_topic) return {};
  int32_t most = 0;
  for (const TopicPartition& source : partitions) most = std::max(most, source.partition.value() + 1);
  if (most <= options_.source_partitions) return {};
  return admin_->grow_topic(positions_topic_, most);
}

std::vector<TopicPartition> KafkaSink::kept(const std::vector<TopicPartition>& sources) const {
  return kept_of(positions_topic_, sources);
}

Status KafkaSink::prepare(const Schema& schema) {
  if (!options_.rekey.empty() && schema.find(options_.rekey) < 0) {
    return user_error("serve.kafka: the event has no field " + options_.rekey + " to rekey by");
  }
  TM_ASSIGN(admin_, kafka::Admin::open(options_.connection));
  owners_ = std::make_unique<KafkaOwners>(options_.connection, *admin_, options_.pipeline);
  TM_TRY(prepare_positions());
  const int32_t sources = options_.source_partitions;
  if (options_.stateful) {
    TM_TRY(pipeline::create_kafka_changelog(*admin_, options_.pipeline, sources, options_.replication));
  }
  layout_.fields = schema.fields;
  if (!options_.create && options_.partitions == 0) {
    TM_ASSIGN(kafka::TopicDescription existing, admin_->describe(options_.topic));
    layout_.partitions = existing.partitions;
  } else {
    const int32_t asked = options_.partitions > 0 ? options_.partitions : sources;
    TM_ASSIGN(layout_.partitions, prepare_topic(layout_.topic, asked, false));
  }
  // What the source's topic was given since does not count.
  TM_ASSIGN(layout_.dead_partitions, prepare_topic(layout_.dead_topic, sources, true));
  return prepare_limits();
}

// A batch of several records is refused as one that is too large.
Status KafkaSink::prepare_limits() {
  TM_ASSIGN(layout_.rows, admin_->limits(layout_.topic));
  TM_ASSIGN(layout_.letters, admin_->limits(layout_.dead_topic));
  for (const auto& [topic, limits] :
       {std::pair<const std::string&, const kafka::TopicLimits&>{layout_.topic, layout_.rows},
        {layout_.dead_topic, layout_.letters}}) {
    if (limits.bytes >= kLeastBytes) continue;
    return user_error("Kafka at " + admin_->address() + ": topic " + topic + " takes records of " +
                      std::to_string(limits.bytes) + " bytes; set its max.message.bytes to " +
                      std::to_string(kLeastBytes) + " or more, and message.max.bytes under properties, too");
  }
  size_t least = std::min({layout_.rows.bytes, layout_.letters.bytes, kBatchBytes});
  if (options_.stateful) {
    TM_ASSIGN(kafka::TopicLimits frames, admin_->limits(pipeline::kafka_changelog_topic(options_.pipeline)));
    least = std::min(least, frames.bytes);
  }
  if (least < kBatchBytes)
    writing_.properties.emplace(writing_.properties.begin(), "batch.size", std::to_string(least));
  return {};
}

void KafkaSink::screen(Batch& batch) const {
  move_to_dead_letters(rows_too_large(layout_, batch), batch);
}

Result<std::unique_ptr<pipeline::SinkWriter>> KafkaSink::open_writer(int) {
  auto open_rows = [&] {
    return KafkaRows::open(writing_, options_.compression, options_.abilities.idempotence);
  };
  std::unique_ptr<KafkaRows> rows;
  if (options_.at_least_once) {
    TM_ASSIGN(rows, open_rows());
  }
  if (options_.abilities.transactions) {
    return std::unique_ptr<pipeline::SinkWriter>(std::make_unique<KafkaWriter>(*this, std::move(rows)));
  }
  TM_ASSIGN(std::unique_ptr<KafkaRows> sender, open_rows());
  KafkaStepsWriter::Store store{*admin_,
                                *owners_,
                                layout_,
                                options_.pipeline,
                                positions_topic_,
                                positions_topic_ == options_.source_topic,
                                options_.transaction_timeout_ms,
                                [this](std::span<const TopicPartition> all) { return grow_positions(all); }};
  return std::unique_ptr<pipeline::SinkWriter>(
      std::make_unique<KafkaStepsWriter>(std::move(store), std::move(sender), std::move(rows)));
}

}  // namespace tidemill::serve
