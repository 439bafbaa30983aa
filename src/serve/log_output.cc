#include "serve/log_output.h"

#include <utility>

#include "event/partitioner.h"
#include "event/record_size.h"
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
    TopicPartition to{layout_.dead_topic, batch.source.partition};
    std::string headers = dead_letter_headers(letter);
    std::string_view value = letter.value;
    Event event{letter.timestamp_ms, std::nullopt, &value, 1, headers};
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
  size_t size = open.builder.size_bytes();
  bytes_ += size - open.counted;
  open.counted = size;
  return size < layout_.batch_bytes ? Status() : finish(stream, to, open);
}

Status LogOutput::finish(Stream& stream, const TopicPartition& to, Open& open) {
  if (open.builder.empty()) return {};
  int32_t count = open.builder.count();
  TM_ASSIGN(std::string bytes, open.builder.finish(false));
  bytes_ += bytes.size() - open.counted;
  open.counted = 0;
  open.builder.reset(builder_options(layout_.compression));
  if (bytes.size() > layout_.max_batch_bytes) {
    return user_error("the event has " + std::to_string(bytes.size()) + " bytes as topic " + to.topic +
                      " would store it, compressed; the log takes batches of " +
                      std::to_string(layout_.max_batch_bytes) +
                      ": raise log.max_batch_bytes, and log.segment_bytes with it");
  }
  stream.done.push_back({to, std::move(bytes), count});
  return {};
}

Result<std::vector<LogOutput::Encoded>*> LogOutput::take(const TopicPartition& source) {
  Stream& stream = streams_[source];
  for (auto& [to, open] : stream.open) {
    TM_TRY(finish(stream, to, open));
    spare_.give(std::move(open.builder));
  }
  stream.open.clear();  // a commit that is tried again finds nothing more to finish
  return &stream.done;
}

}  // namespace tidemill::serve
