#include "serve/log_output.h"

#include <utility>

#include "base/steps.h"
#include "event/partitioner.h"
#include "event/record_size.h"
#include "pipeline/log_changelog.h"
#include "serve/dead_letters.h"

namespace tidemill::serve {
namespace {

RecordBatchBuilder::Options builder_options(Compression compression) {
  RecordBatchBuilder::Options options;
  options.compression = compression;
  options.transactional = true;
  return options;
}

}  // namespace

RecordBatchBuilder SpareBuilders::take() {
  std::lock_guard lock(mutex_);
  if (spare_.empty()) return {};
  RecordBatchBuilder builder = std::move(spare_.back());
  spare_.pop_back();
  return builder;
}

void SpareBuilders::give(RecordBatchBuilder builder) {
  std::lock_guard lock(mutex_);
  if (spare_.size() < kKept) spare_.push_back(std::move(builder));
}

LogOutput::~LogOutput() {
  // Where it cannot be aborted now, whoever takes the partition over does it.
  if (!over_) static_cast<void>(abort().ok());
}

LogOutput::Stream& LogOutput::stream(const TopicPartition& source) {
  auto [at, fresh] = streams_.try_emplace(source);
  if (fresh) at->second.owned = producers_.find(source);
  return at->second;
}

Status LogOutput::write(BatchPtr& batch) {
  Stream& to = stream(batch->source);
  TM_TRY(write_rows(*batch, to));
  TM_TRY(write_dead_letters(*batch, to));
  batch.reset();
  return {};
}

Status LogOutput::write_rows(const Batch& batch, Stream& stream) {
  if (batch.selected.empty()) return {};
  const Column* rekey = nullptr;
  if (!layout_.rekey.empty()) {
    rekey = batch.column(layout_.rekey);
    TM_CHECK(rekey != nullptr, "the plan decodes the field that is rekeyed by");
  }
  TopicPartition to{layout_.topic, Partition(batch.source.partition.value() % layout_.partitions)};
  Open* target = rekey == nullptr ? &open(stream, to) : nullptr;
  json_.begin(batch);
  for (uint32_t row : batch.selected) {
    const Record& record = batch.records()[row];
    std::optional<std::string_view> key;
    if (record.has_key) key = record.key;
    if (rekey != nullptr) {
      key.reset();
      if (rekey->valid(row)) {
        key_.clear();
        if (rekey->is_text()) {
          key_ = rekey->text_at(row);
        } else {
          append_json_value(rekey, row, &key_);
        }
        key = key_;
      }
      to.partition = partition_for_key(key.value_or(std::string_view()), layout_.partitions);
      target = &open(stream, to);
    }
    EventJson::Parts value = json_.value(row);
    Event event{record.timestamp_ms, key, value.count == 0 ? nullptr : value.parts.data(), value.count,
                record.headers};
    Status added = add(stream, to, *target, event);
    if (!added.ok()) {
      return std::move(added).error().within(batch.source.to_string() + ": offset " +
                                             std::to_string(record.offset.value()));
    }
  }
  rows_ += batch.selected.size();
  return {};
}

Status LogOutput::write_dead_letters(const Batch& batch, Stream& stream) {
  for (const DeadLetter& letter : batch.dead_letters) {
    TopicPartition to{layout_.dead_topic,
                      Partition(batch.source.partition.value() % layout_.dead_partitions)};
    std::string headers = dead_letter_headers(letter);
    std::string_view value = letter.value;
    Event event{letter.timestamp_ms, std::nullopt, &value, letter.has_value ? size_t{1} : 0, headers};
    if (letter.has_key) event.key = letter.key;
    TM_TRY(add(stream, to, open(stream, to), event));
  }
  return {};
}

size_t LogOutput::Event::most_bytes() const {
  size_t value = 0;
  for (size_t i = 0; i < part_count; ++i) value += parts[i].size();
  return most_record_bytes(key ? key->size() : 0, value, headers.size());
}

LogOutput::Open& LogOutput::open(Stream& stream, const TopicPartition& to) {
  auto [at, fresh] = stream.open.try_emplace(to);
  if (fresh) {
    at->second.builder = spare_.take();
    at->second.builder.reset(builder_options(layout_.compression));
  }
  return at->second;
}

Status LogOutput::add(Stream& stream, const TopicPartition& to, Open& open, const Event& event) {
  const size_t most = event.most_bytes();
  if (open.builder.size_bytes() + most > layout_.batch_bytes) {
    TM_TRY(finish(stream, to, open));
    // Alone in its batch, and compressed where the log would not take it else: it came to the input so, too.
    if (open.builder.size_bytes() + most > layout_.max_batch_bytes)
      open.builder.reset(builder_options(Compression::kZstd));
  }
  open.builder.add_parts(event.timestamp_ms, event.key, event.parts, event.part_count, event.headers);
  count(open, open.builder.size_bytes());
  return open.builder.size_bytes() < layout_.batch_bytes ? Status() : finish(stream, to, open);
}

void LogOutput::count(Open& open, size_t bytes) {
  bytes_ += bytes - open.counted;
  memory_bytes_ += bytes - open.counted;
  open.counted = bytes;
}

Status LogOutput::finish(Stream& stream, const TopicPartition& to, Open& open) {
  if (open.builder.empty()) return {};
  int32_t events = open.builder.count();
  TM_ASSIGN(std::string bytes, open.builder.finish(false));
  count(open, bytes.size());
  open.counted = 0;
  if (bytes.size() > layout_.max_batch_bytes) {
    open.builder.reset(builder_options(layout_.compression));
    return user_error("the event has " + std::to_string(bytes.size()) + " bytes as topic " + to.topic +
                      " would store it, compressed; the log takes batches of " +
                      std::to_string(layout_.max_batch_bytes) +
                      ": raise log.max_batch_bytes, and log.segment_bytes with it");
  }
  stream.waiting.push_back({to, std::move(bytes), events});
  if (!refused_ && stream.owned != nullptr && producers_.has_turn(number_)) {
    refused_ = !append_waiting(stream).ok();
    if (!refused_) commit_step("log.txn.data.streamed");
  }
  open.builder.reset(builder_options(layout_.compression), std::move(appended_));
  return {};
}

Status LogOutput::append_waiting(Stream& stream) {
  while (!stream.waiting.empty()) {
    Encoded& batch = stream.waiting.front();
    stream.appended = true;  // or in part, as far as anyone knows
    TM_TRY(producers_.append(*stream.owned, batch.to, batch.bytes, batch.count));
    memory_bytes_ -= batch.bytes.size();
    appended_ = std::move(batch.bytes);
    stream.waiting.pop_front();
  }
  return {};
}

Status LogOutput::append_rest(const pipeline::PartitionEpoch& part) {
  TM_CHECK(producers_.has_turn(number_), "commits come in the order of their outputs");
  Stream& from = stream(part.source);
  for (auto& [to, open] : from.open) {
    TM_TRY(finish(from, to, open));
    spare_.give(std::move(open.builder));
  }
  from.open.clear();
  if (!std::exchange(from.framed, true)) TM_TRY(add_frame(from, part));
  return append_waiting(from);
}

Status LogOutput::add_frame(Stream& stream, const pipeline::PartitionEpoch& part) {
  TopicPartition to{layout_.changelog, part.source.partition};
  TM_ASSIGN(
      std::vector<std::string> batches,
      pipeline::changelog_batches(part.frame, builder_options(Compression::kNone), layout_.batch_bytes));
  for (std::string& batch : batches) {
    TM_ASSIGN(auto header, parse_batch_header(batch));
    TM_CHECK(header.has_value());
    memory_bytes_ += batch.size();
    stream.waiting.push_back({to, std::move(batch), header->count});
  }
  return {};
}

Status LogOutput::abort() {
  Status first;
  for (auto& [source, stream] : streams_) {
    if (!stream.appended) continue;
    Status aborted = producers_.abort(*stream.owned);
    if (first.ok()) first = std::move(aborted);
  }
  over();
  return first;
}

void LogOutput::over() {
  over_ = true;
  producers_.over(number_);
}

}  // namespace tidemill::serve
