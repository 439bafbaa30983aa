#include "serve/kafka_output.h"

#include <algorithm>
#include <cstring>

#include "event/partitioner.h"
#include "serve/dead_letters.h"

namespace tidemill::serve {
namespace {

constexpr size_t kBlockBytes = 1u << 20;

}  // namespace

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
  std::memcpy(at, bytes.data(), bytes.size());
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
  for (uint32_t row : batch.selected) {
    Outgoing out;
    out.record = batch.records()[row];
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
      std::memcpy(at, value.parts[i].data(), value.parts[i].size());
      at += value.parts[i].size();
    }
    outgoing_.push_back(out);
  }
  rows_ += batch.selected.size();
}

void KafkaOutput::write_dead_letters(const Batch& batch) {
  for (const DeadLetter& letter : batch.dead_letters) {
    Outgoing out;
    out.dead = true;
    out.partition = Partition(batch.source.partition.value() % layout_.dead_partitions);
    out.record.timestamp_ms = letter.timestamp_ms;
    out.record.has_key = letter.has_key;
    out.record.key = keep(letter.key);
    out.record.has_value = true;
    out.record.value = keep(letter.value);
    out.record.headers = keep(dead_letter_headers(letter));
    outgoing_.push_back(out);
  }
}

}  // namespace tidemill::serve
