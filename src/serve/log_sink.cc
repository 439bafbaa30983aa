#include "serve/log_sink.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/canary.h"
#include "pipeline/log_changelog.h"
#include "serve/dead_letters.h"

namespace tidemill::serve {

using pipeline::Committed;
using pipeline::Counters;
using pipeline::Epoch;
using pipeline::Incarnation;
using pipeline::PartitionEpoch;

namespace {

std::string encode_counters(const Counters& counters) {
  std::string bytes;
  ByteWriter writer(bytes);
  writer.varuint(1);  // version
  for (uint64_t count : {counters.read, counters.stored, counters.dead, counters.dropped})
    writer.varuint(count);
  return bytes;
}
Result<Counters> decode_counters(std::string_view bytes) {
  ByteReader reader(bytes);
  Counters counters;
  uint64_t version = reader.varuint();
  for (uint64_t* count : {&counters.read, &counters.stored, &counters.dead, &counters.dropped}) {
    *count = reader.varuint();
  }
  if (!reader.ok() || version != 1) {
    return internal_error("the metadata of a committed position is not this program's", Code::kCorrupt);
  }
  return counters;
}

}  // namespace

class LogWriter final : public pipeline::SinkWriter {
 public:
  explicit LogWriter(LogSink& sink) : sink_(sink), log_(sink.log_), producers_(sink.log_) {}

  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override {
    for (const TopicPartition& source : partitions) producers_.disown(source);
  }
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(
        std::make_unique<LogOutput>(sink_.layout_, sink_.spare_, producers_));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override;

 private:
  std::string group() const { return sink_.options_.pipeline; }
  std::string owner_group() const { return sink_.options_.pipeline + "#owner"; }
  Status try_commit(LogOutput& output, const pipeline::CommitRequest& request);

  LogSink& sink_;
  log::Log& log_;
  LogProducers producers_;
};

Result<std::vector<Committed>> LogWriter::acquire(std::span<const TopicPartition> partitions) {
  std::lock_guard lock(sink_.takeover_);
  std::vector<log::PositionCommit> tokens;
  for (const TopicPartition& source : partitions) {
    TM_ASSIGN(log::Producer producer, log_.init_transactional(group() + "/" + source.to_string()));
    // From here on the old owner's commits are fenced.
    auto held = log_.committed_position(owner_group(), source);
    auto last = log_.committed_position(group(), source);
    int64_t token = held ? held->position.offset.value() : 0;
    if (last) token = std::max<int64_t>(token, last->incarnation);
    log::PositionCommit raise;
    raise.group = owner_group();
    raise.source = source;
    if (held) raise.expected = held->position;
    raise.next.position = {Offset(token + 1), LeaderEpoch(0)};
    tokens.push_back(std::move(raise));
    producers_.own(source, producer, Incarnation(static_cast<int32_t>(token + 1)));
  }
  TM_TRY(log_.commit_positions(tokens));
  return committed(partitions);
}

Result<std::vector<Committed>> LogWriter::committed(std::span<const TopicPartition> partitions) {
  std::vector<Committed> result;
  for (const TopicPartition& source : partitions) {
    Committed one;
    if (auto held = log_.committed_position(owner_group(), source)) {
      one.owner = Incarnation(static_cast<int32_t>(held->position.offset.value()));
    }
    if (auto last = log_.committed_position(group(), source)) {
      one.position = last->position;
      one.epoch = Epoch(last->epoch);
      one.incarnation = Incarnation(last->incarnation);
      auto counters = decode_counters(last->metadata);
      if (!counters.ok()) return std::move(counters).error().within(group() + ": " + source.to_string());
      one.counters = *counters;
    }
    result.push_back(std::move(one));
  }
  return result;
}

Status LogWriter::commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) {
  auto& rows = static_cast<LogOutput&>(output);
  Status done = try_commit(rows, request);
  if (done.ok()) {
    rows.committed();
    return done;
  }
  // What was appended stays, unseen, until the same commit is tried again.
  if (done.error().retryable || done.error().code == Code::kUnknown) return done;
  Status aborted = rows.abort();
  if (aborted.ok() || done.error().code == Code::kFenced) return done;
  Error why = std::move(done).error();
  why.message += "; and it could not be aborted: " + aborted.error().message;
  return why;
}

Status LogWriter::try_commit(LogOutput& output, const pipeline::CommitRequest& request) {
  std::vector<log::TransactionCommit> transactions;
  for (const PartitionEpoch& part : request.partitions) {
    const LogProducers::Owned* owned = output.owner(part.source);
    if (owned == nullptr || owned != producers_.find(part.source).get() || owned->token != part.owner) {
      return external_error("log: " + part.source.to_string() + ": another owner took over", Code::kFenced);
    }
    log::PositionCommit position;
    position.group = group();
    position.source = part.source;
    position.expected = part.expected;
    position.next = {part.next, part.epoch.value(), part.owner.value(), encode_counters(part.counters)};
    transactions.push_back({owned->producer, {std::move(position)}});
  }
  for (const PartitionEpoch& part : request.partitions) TM_TRY(output.append_rest(part));
  if (canary(Canary::kPositionsBeforeRows)) {
    for (log::TransactionCommit& one : transactions) {
      TM_TRY(log_.commit_positions(one.positions));
      one.positions.clear();
    }
  }
  return log_.commit(transactions);
}

LogSink::LogSink(log::Log& log, LogSinkOptions options) : log_(log), options_(std::move(options)) {
  layout_.topic = options_.topic;
  layout_.dead_topic = dead_letter_name(options_.dead_topic, options_.topic, ".dead");
  layout_.changelog = pipeline::changelog_topic(options_.pipeline);
  layout_.rekey = options_.rekey;
  layout_.form = options_.form;
  layout_.compression = options_.compression;
  layout_.max_batch_bytes = options_.max_batch_bytes;
  layout_.batch_bytes = std::min(options_.batch_bytes, layout_.max_batch_bytes);
}

pipeline::SinkTraits LogSink::traits() const {
  pipeline::SinkTraits traits;
  traits.store = "topic " + options_.topic + " of the embedded log";
  traits.changelog_in_transaction = true;
  // Two epochs of a task are in memory: what lag may cost.
  traits.preferred_rows = 16'384;
  traits.weakness = options_.weakness;
  return traits;
}

pipeline::SinkNeeds LogSink::needs() const {
  pipeline::SinkNeeds needs;
  needs.added_members = options_.form == JsonForm::kSplice;
  needs.all_columns = options_.form == JsonForm::kRebuild;
  if (!options_.rekey.empty()) needs.columns.push_back(options_.rekey);
  return needs;
}

Status LogSink::create_topic(const std::string& name, int32_t partitions, bool dead) {
  log::TopicConfig config;
  config.partitions = partitions;
  config.timestamp_type = dead ? TimestampType::kCreateTime : options_.timestamp_type;
  if (!dead) config.retention_us = options_.retention_us;
  if (!dead) config.retention_bytes = options_.retention_bytes;
  return log_.create_topic(name, config);
}

Status LogSink::prepare(const Schema& schema) {
  if (!options_.rekey.empty() && schema.find(options_.rekey) < 0) {
    return user_error("serve.log: the event has no field " + options_.rekey + " to rekey by");
  }
  if (options_.topic == options_.source_topic && options_.source_partitions == 0) {
    return user_error("serve.log.topic: is the topic that is read from, " + options_.topic +
                      "; choose another one");
  }
  int32_t sources = options_.source_partitions;
  if (sources == 0) {
    auto source = log_.topic(options_.source_topic);
    if (!source.ok()) return std::move(source).error().within("serve.log: the topic that is read from");
    sources = source->config.partitions;
  }
  layout_.partitions = options_.partitions > 0 ? options_.partitions : sources;
  layout_.fields = schema.fields;
  TM_TRY(create_topic(layout_.topic, layout_.partitions, false));
  // A source elsewhere may have been given more partitions since it was made.
  layout_.dead_partitions = sources;
  auto letters = log_.topic(layout_.dead_topic);
  if (letters.ok() && options_.source_partitions > 0) layout_.dead_partitions = letters->config.partitions;
  TM_TRY(create_topic(layout_.dead_topic, layout_.dead_partitions, true));
  if (options_.stateful) TM_TRY(pipeline::create_changelog(log_, options_.pipeline, sources));
  return {};
}

Result<std::unique_ptr<pipeline::SinkWriter>> LogSink::open_writer(int) {
  return std::unique_ptr<pipeline::SinkWriter>(std::make_unique<LogWriter>(*this));
}

}  // namespace tidemill::serve
