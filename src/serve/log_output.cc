#include "serve/log_output.h"

#include <utility>

#include "event/partitioner.h"
#include "serve/dead_letters.h"

namespace tidemill::serve {
namespace {

// Batches of about this size: large enough that headers and appends cost nothing, small enough that a
// reader takes many at a time.
constexpr size_t kBatchBytes = 1u << 20;

RecordBatchBuilder::Options builder_options(Compression compression) {
  RecordBatchBuilder::Options options;
  options.compression = compression;
  options.transactional = true;
  return options;
}

}  // namespace

Status LogOutput::write(BatchPtr& batch) {
  Stream& stream = streams_[batch->source];
  TM_TRY(write_rows(*batch, stream));
  TM_TRY(write_dead_letters(*batch, stream));
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
    if (value.count == 0) {
      target->builder.add(record.timestamp_ms, key, std::nullopt, record.headers);
    } else {
      target->builder.add_parts(record.timestamp_ms, key, value.parts.data(), value.count, record.headers);
    }
    TM_TRY(added(stream, to, *target));
  }
  rows_ += batch.selected.size();
  return {};
}

Status LogOutput::write_dead_letters(const Batch& batch, Stream& stream) {
  for (const DeadLetter& letter : batch.dead_letters) {
    TopicPartition to{layout_.dead_topic, batch.source.partition};
    Open& target = open(stream, to);
    std::optional<std::string_view> key;
    if (letter.has_key) key = letter.key;
    target.builder.add(letter.timestamp_ms, key, letter.value, dead_letter_headers(letter));
    TM_TRY(added(stream, to, target));
  }
  return {};
}

LogOutput::Open& LogOutput::open(Stream& stream, const TopicPartition& to) {
  auto [at, fresh] = stream.open.try_emplace(to);
  if (fresh) at->second.builder.reset(builder_options(layout_.compression));
  return at->second;
}

Status LogOutput::added(Stream& stream, const TopicPartition& to, Open& open) {
  size_t size = open.builder.size_bytes();
  bytes_ += size - open.counted;
  open.counted = size;
  return size < kBatchBytes ? Status() : finish(stream, to, open);
}

Status LogOutput::finish(Stream& stream, const TopicPartition& to, Open& open) {
  if (open.builder.empty()) return {};
  int32_t count = open.builder.count();
  TM_ASSIGN(std::string bytes, open.builder.finish(false));
  bytes_ += bytes.size() - open.counted;
  open.counted = 0;
  open.builder.reset(builder_options(layout_.compression));
  stream.done.push_back({to, std::move(bytes), count});
  return {};
}

Result<std::vector<LogOutput::Encoded>*> LogOutput::take(const TopicPartition& source) {
  Stream& stream = streams_[source];
  for (auto& [to, open] : stream.open) TM_TRY(finish(stream, to, open));
  return &stream.done;
}

}  // namespace tidemill::serve
