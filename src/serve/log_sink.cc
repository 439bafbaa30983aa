#include "serve/log_sink.h"

#include <algorithm>
#include <map>
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

// Batches of about this size: large enough that headers and appends cost nothing, small enough that a
// reader takes many at a time.
constexpr size_t kBatchBytes = 1u << 20;

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

// Sequence numbers begin again at 0 after 2^31 - 1.
int32_t sequence_after(int32_t sequence, int32_t count) {
  return static_cast<int32_t>((static_cast<uint32_t>(sequence) + static_cast<uint32_t>(count)) & 0x7fffffffu);
}

}  // namespace

class LogWriter final : public pipeline::SinkWriter {
 public:
  explicit LogWriter(LogSink& sink) : sink_(sink), log_(sink.log_) {}

  Result<std::vector<Committed>> acquire(std::span<const TopicPartition> partitions) override;
  void release(std::span<const TopicPartition> partitions) override {
    for (const TopicPartition& source : partitions) owned_.erase(source);
  }
  Result<std::unique_ptr<pipeline::SinkOutput>> begin() override {
    return std::unique_ptr<pipeline::SinkOutput>(std::make_unique<LogOutput>(sink_.layout_, sink_.spare_));
  }
  Status commit(pipeline::SinkOutput& output, const pipeline::CommitRequest& request) override;
  Result<std::vector<Committed>> committed(std::span<const TopicPartition> partitions) override;

 private:
  // A partition that this writer owns. Used by the commit thread, and by acquire and release, which
  // never run beside a commit.
  struct Owned {
    log::Producer producer;
    Incarnation token;
    std::map<TopicPartition, int32_t> next_sequence;  // per partition written to
  };

  std::string group() const { return sink_.options_.pipeline; }
  std::string owner_group() const { return sink_.options_.pipeline + "#owner"; }
  Status append_all(LogOutput& output, const pipeline::CommitRequest& request);
  Status append(Owned& owned, const TopicPartition& to, std::string& batch, int32_t count);
  Status append_frame(Owned& owned, const PartitionEpoch& part);
  // Lets go of what was appended. The error is why; it becomes fatal where the log cannot abort.
  Error abort(const pipeline::CommitRequest& request, Error why);

  LogSink& sink_;
  log::Log& log_;
  std::map<TopicPartition, Owned> owned_;
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
    Owned owned;
    owned.producer = producer;
    owned.token = Incarnation(static_cast<int32_t>(token + 1));
    log::PositionCommit raise;
    raise.group = owner_group();
    raise.source = source;
    if (held) raise.expected = held->position;
    raise.next.position = {Offset(token + 1), LeaderEpoch(0)};
    tokens.push_back(std::move(raise));
    owned_.insert_or_assign(source, std::move(owned));
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
  std::vector<log::TransactionCommit> transactions;
  for (const PartitionEpoch& part : request.partitions) {
    auto owned = owned_.find(part.source);
    if (owned == owned_.end() || owned->second.token != part.owner) {
      return external_error("log: " + part.source.to_string() + ": another owner took over", Code::kFenced);
    }
    log::PositionCommit position;
    position.group = group();
    position.source = part.source;
    position.expected = part.expected;
    position.next = {part.next, part.epoch.value(), part.owner.value(), encode_counters(part.counters)};
    transactions.push_back({owned->second.producer, {std::move(position)}});
  }
  Status appended = append_all(static_cast<LogOutput&>(output), request);
  if (!appended.ok()) return abort(request, std::move(appended).error());
  if (canary(Canary::kPositionsBeforeRows)) {
    for (log::TransactionCommit& one : transactions) {
      TM_TRY(log_.commit_positions(one.positions));
      one.positions.clear();
    }
  }
  Status done = log_.commit(transactions);
  if (done.ok() || done.error().code == Code::kUnknown) return done;
  return abort(request, std::move(done).error());
}

Status LogWriter::append_all(LogOutput& output, const pipeline::CommitRequest& request) {
  for (const PartitionEpoch& part : request.partitions) {
    Owned& owned = owned_.at(part.source);
    TM_ASSIGN(std::vector<LogOutput::Encoded> * batches, output.take(part.source));
    for (LogOutput::Encoded& batch : *batches) TM_TRY(append(owned, batch.to, batch.bytes, batch.count));
    TM_TRY(append_frame(owned, part));
  }
  return {};
}

Status LogWriter::append(Owned& owned, const TopicPartition& to, std::string& batch, int32_t count) {
  int32_t& sequence = owned.next_sequence[to];
  set_batch_producer(batch.data(), owned.producer.id, owned.producer.epoch, sequence);
  TM_TRY(log_.append(to, batch, false));
  sequence = sequence_after(sequence, count);
  return {};
}

Status LogWriter::append_frame(Owned& owned, const PartitionEpoch& part) {
  if (part.frame.empty()) return {};
  TopicPartition to{pipeline::changelog_topic(sink_.options_.pipeline), part.source.partition};
  RecordBatchBuilder::Options options;
  options.transactional = true;
  TM_ASSIGN(std::vector<std::string> batches,
            pipeline::changelog_batches(part.frame, options, sink_.layout_.batch_bytes));
  for (std::string& batch : batches) {
    TM_ASSIGN(auto header, parse_batch_header(batch));
    TM_CHECK(header.has_value());
    TM_TRY(append(owned, to, batch, header->count));
  }
  return {};
}

Error LogWriter::abort(const pipeline::CommitRequest& request, Error why) {
  for (const PartitionEpoch& part : request.partitions) {
    Status aborted = log_.abort(owned_.at(part.source).producer);
    // A fenced producer's transaction was aborted by whoever fenced it.
    if (aborted.ok() || aborted.error().code == Code::kFenced) continue;
    if (why.code == Code::kFenced) continue;
    why.retryable = why.retryable && aborted.error().retryable;
    why.message += "; and it could not be aborted: " + aborted.error().message;
  }
  return why;
}

LogSink::LogSink(log::Log& log, LogSinkOptions options) : log_(log), options_(std::move(options)) {
  layout_.topic = options_.topic;
  layout_.dead_topic = dead_letter_name(options_.dead_topic, options_.topic, ".dead");
  layout_.rekey = options_.rekey;
  layout_.form = options_.form;
  layout_.compression = options_.compression;
  layout_.max_batch_bytes = options_.max_batch_bytes;
  layout_.batch_bytes = std::min(kBatchBytes, layout_.max_batch_bytes);
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
  if (options_.topic == options_.source_topic) {
    return user_error("serve.log.topic: is the topic that is read from, " + options_.topic +
                      "; choose another one");
  }
  auto source = log_.topic(options_.source_topic);
  if (!source.ok()) return std::move(source).error().within("serve.log: the topic that is read from");
  int32_t sources = source->config.partitions;
  layout_.partitions = options_.partitions > 0 ? options_.partitions : sources;
  layout_.fields = schema.fields;
  TM_TRY(create_topic(layout_.topic, layout_.partitions, false));
  TM_TRY(create_topic(layout_.dead_topic, sources, true));
  if (options_.stateful) TM_TRY(pipeline::create_changelog(log_, options_.pipeline, sources));
  return {};
}

Result<std::unique_ptr<pipeline::SinkWriter>> LogSink::open_writer(int) {
  return std::unique_ptr<pipeline::SinkWriter>(std::make_unique<LogWriter>(*this));
}

}  // namespace tidemill::serve
