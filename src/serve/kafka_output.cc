#include "serve/kafka_output.h"

#include <algorithm>
#include <optional>

#include "base/clock.h"
#include "event/partitioner.h"

namespace tidemill::serve {
namespace {

constexpr size_t kBlockBytes = 1u << 20;
// Of a batch with one record, beside key, value and headers: at most.
constexpr size_t kBatchOverhead = 128;
constexpr size_t kPlainValueBytes = 48;  // the JSON of a number or a time, at most

// The JSON of a column's value, at most.
size_t json_bound(const Column* column, uint32_t row) {
  if (column == nullptr || !column->valid(row) || !column->is_text()) return kPlainValueBytes;
  return 6 * column->text_at(row).size() + 2;
}

// What the JSON of a row may have, at most, without its being written.
class JsonBound {
 public:
  JsonBound(const KafkaLayout& layout, const Batch& batch)
      : batch_(batch), rebuilt_(layout.form == JsonForm::kRebuild) {
    auto take = [&](const Column* column, const std::string& name) {
      columns_.push_back(column);
      fixed_ += 6 * name.size() + 8;
    };
    if (rebuilt_) {
      for (const Field& field : layout.fields) {
        take(batch.column(field.name), field.name);
        for (const std::string& member : field.path) fixed_ += 6 * member.size() + 8;
      }
    } else {
      for (uint32_t column : batch.added) take(&batch.columns[column], batch.columns[column].name());
    }
  }
  size_t of(uint32_t row) const {
    size_t bytes = fixed_ + (rebuilt_ ? 0 : batch_.records()[row].value.size());
    for (const Column* column : columns_) bytes += json_bound(column, row);
    return bytes;
  }

 private:
  const Batch& batch_;
  const bool rebuilt_;
  std::vector<const Column*> columns_;
  size_t fixed_ = 2;
};

constexpr int64_t kMostMarginMs = 60'000;

// Whether they are further apart than the broker takes, with a margin: it compares by its own clock, when the
// row has waited for its epoch.
bool too_far(int64_t earlier_ms, int64_t later_ms, int64_t limit_ms) {
  const int64_t most_ms = limit_ms - std::min(kMostMarginMs, limit_ms / 2);
  return earlier_ms<later_ms&& static_cast<uint64_t>(later_ms) -
                    static_cast<uint64_t>(earlier_ms)> static_cast<uint64_t>(most_ms);
}

int64_t clamp_time(int64_t time_ms, const kafka::TopicLimits& limits, int64_t now_ms) {
  const bool far = too_far(now_ms, time_ms, limits.ahead_ms) || too_far(time_ms, now_ms, limits.behind_ms);
  return far ? now_ms : time_ms;
}

int64_t now_ms() {
  return Clock::system().wall_us() / 1000;
}

}  // namespace

std::vector<RowFault> rows_too_large(const KafkaLayout& layout, const Batch& batch) {
  std::vector<RowFault> faults;
  const JsonBound bound(layout, batch);
  const Column* rekey = layout.rekey.empty() ? nullptr : batch.column(layout.rekey);
  std::optional<EventJson> json;
  for (uint32_t row : batch.selected) {
    const Record& record = batch.records()[row];
    const size_t key = rekey == nullptr ? record.key.size() : json_bound(rekey, row);
    const size_t beside = kBatchOverhead + key + record.headers.size();
    if (beside + bound.of(row) <= layout.rows.bytes) continue;
    if (!json) {
      json.emplace(layout.form, layout.fields);
      json->begin(batch);
    }
    const size_t bytes = beside + json->value(row).size_bytes();
    if (bytes <= layout.rows.bytes) continue;
    faults.push_back({row, "serve.kafka: it has " + std::to_string(bytes) +
                               " bytes as it is served, and topic " + layout.topic + " takes " +
                               std::to_string(layout.rows.bytes) +
                               " (max.message.bytes of the topic, message.max.bytes under properties)"});
  }
  return faults;
}

Status KafkaOutput::write(BatchPtr& batch) {
  write_rows(*batch);
  write_dead_letters(*batch);
  batch.reset();
  return sender_ == nullptr ? Status() : send();
}

Status KafkaOutput::send_kept(KafkaRows& sender) {
  if (sender_ == nullptr) {
    sender_ = &sender;
    sent_ = sender.begin();
  }
  return send();
}

Status KafkaOutput::send() {
  TopicPartition rows{layout_.topic, Partition(0)}, letters{layout_.dead_topic, Partition(0)};
  for (size_t i = 0; i < outgoing_.size(); ++i) {
    TopicPartition& to = outgoing_[i].dead ? letters : rows;
    to.partition = outgoing_[i].partition;
    Status added = sender_->add(to, outgoing_[i].record, sent_);
    if (added.ok()) continue;
    sender_->send();
    outgoing_.erase(outgoing_.begin(), outgoing_.begin() + static_cast<std::ptrdiff_t>(i));
    return added;
  }
  sender_->send();
  outgoing_.clear();
  blocks_.clear();
  block_left_ = 0;
  return {};
}

char* KafkaOutput::room(size_t bytes) {
  if (bytes > block_left_) {
    block_left_ = std::max(bytes, kBlockBytes);
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(block_left_));
    next_ = blocks_.back().get();
  }
  char* at = next_;
  next_ += bytes;
  block_left_ -= bytes;
  bytes_ += bytes;
  return at;
}

std::string_view KafkaOutput::keep(std::string_view bytes) {
  if (bytes.empty()) return "";
  char* at = room(bytes.size());
  std::copy(bytes.begin(), bytes.end(), at);
  return {at, bytes.size()};
}

Partition KafkaOutput::partition_of(const Batch& batch, const Record& record) const {
  // What has nothing to be rekeyed by stays together, as copies of an event have to.
  if (record.has_key || !layout_.rekey.empty()) return partition_for_key(record.key, layout_.partitions);
  return Partition(batch.source.partition.value() % layout_.partitions);
}

void KafkaOutput::write_rows(const Batch& batch) {
  if (batch.selected.empty()) return;
  const Column* rekey = nullptr;
  if (!layout_.rekey.empty()) {
    rekey = batch.column(layout_.rekey);
    TM_CHECK(rekey != nullptr, "the plan decodes the field that is rekeyed by");
  }
  json_.begin(batch);
  const int64_t now = now_ms();
  for (uint32_t row : batch.selected) {
    Outgoing out;
    out.record = batch.records()[row];
    out.record.timestamp_ms = clamp_time(out.record.timestamp_ms, layout_.rows, now);
    if (rekey != nullptr) {
      key_.clear();
      out.record.has_key = rekey->valid(row);
      if (out.record.has_key && rekey->is_text()) {
        key_ = rekey->text_at(row);
      } else if (out.record.has_key) {
        append_json_value(rekey, row, &key_);
      }
      out.record.key = key_;
    }
    out.partition = partition_of(batch, out.record);
    out.record.key = keep(out.record.key);
    out.record.headers = keep(out.record.headers);
    EventJson::Parts value = json_.value(row);
    out.record.has_value = value.count > 0;
    size_t size = 0;
    for (size_t i = 0; i < value.count; ++i) size += value.parts[i].size();
    char* at = room(size);
    out.record.value = {at, size};
    for (size_t i = 0; i < value.count; ++i) {
      at = std::copy(value.parts[i].begin(), value.parts[i].end(), at);
    }
    outgoing_.push_back(out);
  }
  rows_ += batch.selected.size();
}

// What the topic cannot hold of a letter is cut, and a header says how long it was.
void KafkaOutput::write_dead_letters(const Batch& batch) {
  const int64_t now = batch.dead_letters.empty() ? 0 : now_ms();
  for (const DeadLetter& letter : batch.dead_letters) {
    Outgoing out;
    out.dead = true;
    out.partition = Partition(batch.source.partition.value() % layout_.dead_partitions);
    out.record.timestamp_ms = std::min(clamp_time(letter.timestamp_ms, layout_.letters, now), now);
    out.record.has_key = letter.has_key;
    out.record.has_value = letter.has_value;
    std::string headers = dead_letter_headers(letter);
    std::string_view key = letter.key, value = letter.value;
    if (kBatchOverhead + headers.size() + key.size() + value.size() > layout_.letters.bytes) {
      DeadLetter shorter = letter;
      shorter.reason.resize(std::min(shorter.reason.size(), layout_.letters.bytes / 4));
      const std::string cut = "key of " + std::to_string(key.size()) + " bytes, value of " +
                              std::to_string(value.size()) + " bytes";
      headers = dead_letter_headers(shorter, cut);
      const size_t beside = kBatchOverhead + headers.size();
      const size_t room = layout_.letters.bytes - std::min(beside, layout_.letters.bytes);
      key = key.substr(0, room / 2);
      value = value.substr(0, room - key.size());
    }
    out.record.key = keep(key);
    out.record.value = keep(value);
    out.record.headers = keep(headers);
    outgoing_.push_back(out);
  }
}

}  // namespace tidemill::serve
