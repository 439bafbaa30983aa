#include "log/producer_state.h"

#include <algorithm>
#include <climits>

#include "base/bytes.h"
#include "base/crc32c.h"

namespace tidemill::log {
namespace {

constexpr int16_t kSnapshotVersion = 1;
constexpr size_t kSnapshotHeader = 6;
constexpr size_t kSnapshotEntry = 46;

std::string describe(const BatchHeader& header) {
  return "producer " + std::to_string(header.producer_id) + " epoch " + std::to_string(header.producer_epoch);
}

}  // namespace

int32_t advance_sequence(int32_t sequence, int32_t by) {
  int64_t sum = int64_t{sequence} + by;
  if (sum > INT_MAX) sum -= int64_t{INT_MAX} + 1;
  if (sum < 0) sum += int64_t{INT_MAX} + 1;
  return static_cast<int32_t>(sum);
}

int32_t ProducerStates::Batch::first_sequence() const {
  return advance_sequence(last_sequence, -offset_delta);
}

void ProducerStates::Producer::push(const Batch& batch) {
  if (count == kWindow) {
    std::move(window.begin() + 1, window.end(), window.begin());
    --count;
  }
  window[count++] = batch;
  last_timestamp_ms = std::max(last_timestamp_ms, batch.timestamp_ms);
}

void ProducerStates::Producer::raise_epoch(int16_t to) {
  if (to <= epoch) return;
  epoch = to;
  count = 0;
}

Result<std::optional<ProducerStates::Batch>> ProducerStates::check(const BatchHeader& header) const {
  auto found = producers_.find(header.producer_id);
  if (found == producers_.end()) return std::optional<Batch>();
  const Producer& producer = found->second;
  if (header.producer_epoch < producer.epoch) {
    return user_error(
        describe(header) + ": a producer with epoch " + std::to_string(producer.epoch) + " took over",
        Code::kFenced);
  }
  if (producer.transaction_first && !header.transactional()) {
    return user_error(describe(header) + ": a plain batch while its transaction is open");
  }
  int32_t expected = 0;
  if (header.producer_epoch == producer.epoch) {
    for (size_t i = 0; i < producer.count; ++i) {
      const Batch& batch = producer.window[i];
      if (batch.first_sequence() == header.base_sequence && batch.offset_delta == header.last_offset_delta) {
        return std::optional<Batch>(batch);
      }
    }
    if (producer.count > 0) expected = advance_sequence(producer.last()->last_sequence, 1);
  }
  if (header.base_sequence != expected) {
    return user_error(describe(header) + ": sequence " + std::to_string(header.base_sequence) +
                      " is out of order, expected " + std::to_string(expected));
  }
  return std::optional<Batch>();
}

void ProducerStates::appended(const BatchHeader& header) {
  if (header.producer_id < 0) return;
  Producer& producer = producers_[header.producer_id];
  producer.raise_epoch(header.producer_epoch);
  Batch batch;
  batch.last_sequence = advance_sequence(header.base_sequence, header.last_offset_delta);
  batch.last_offset = Offset(header.last_offset());
  batch.offset_delta = header.last_offset_delta;
  batch.timestamp_ms = header.max_timestamp_ms;
  producer.push(batch);
  if (!header.transactional()) return;
  if (!producer.transaction_first) {
    producer.transaction_first = Offset(header.base_offset);
    open_[Offset(header.base_offset)] = header.producer_id;
  }
  producer.transaction_last = batch.last_offset;
}

std::optional<AbortedTransaction> ProducerStates::completed(int64_t producer_id, int16_t producer_epoch,
                                                            bool commit, Offset marker,
                                                            int64_t timestamp_ms) {
  Producer& producer = producers_[producer_id];
  producer.raise_epoch(producer_epoch);
  producer.last_timestamp_ms = std::max(producer.last_timestamp_ms, timestamp_ms);
  if (!producer.transaction_first) return std::nullopt;
  Offset first = *producer.transaction_first;
  producer.transaction_first.reset();
  open_.erase(first);
  if (commit) return std::nullopt;
  return AbortedTransaction{producer_id, first, marker, {}};
}

std::optional<ProducerStates::Open> ProducerStates::open_transaction(int64_t producer_id) const {
  auto found = producers_.find(producer_id);
  if (found == producers_.end() || !found->second.transaction_first) return std::nullopt;
  const Producer& producer = found->second;
  return Open{producer_id, producer.epoch, *producer.transaction_first, producer.transaction_last};
}

std::vector<ProducerStates::Open> ProducerStates::open_transactions() const {
  std::vector<Open> open;
  for (const auto& [first, producer_id] : open_) open.push_back(*open_transaction(producer_id));
  return open;
}

std::optional<Offset> ProducerStates::first_open() const {
  if (open_.empty()) return std::nullopt;
  return open_.begin()->first;
}

std::optional<int32_t> ProducerStates::last_sequence(int64_t producer_id, int16_t producer_epoch) const {
  auto found = producers_.find(producer_id);
  if (found == producers_.end() || found->second.epoch != producer_epoch) return std::nullopt;
  const Batch* last = found->second.last();
  if (last == nullptr) return std::nullopt;
  return last->last_sequence;
}

void ProducerStates::for_each(const std::function<void(int64_t, int16_t)>& each) const {
  for (const auto& [id, producer] : producers_) each(id, producer.epoch);
}

void ProducerStates::expire(int64_t before_ms, const std::function<bool(int64_t)>& keep) {
  std::erase_if(producers_, [&](const auto& entry) {
    const Producer& producer = entry.second;
    return !producer.transaction_first && producer.last_timestamp_ms < before_ms && !keep(entry.first);
  });
}

std::string ProducerStates::encode() const {
  std::string bytes;
  ByteWriter out(bytes);
  out.be(kSnapshotVersion);
  out.be(uint32_t{0});
  out.be(int32_t{0});
  int32_t entries = 0;
  for (const auto& [id, producer] : producers_) {
    Batch none;
    none.last_offset = Offset(-1);
    none.timestamp_ms = producer.last_timestamp_ms;
    for (size_t i = 0; i < std::max<size_t>(producer.count, 1); ++i) {
      const Batch& batch = producer.count == 0 ? none : producer.window[i];
      out.be(id);
      out.be(producer.epoch);
      out.be(batch.last_sequence);
      out.be(batch.last_offset.value());
      out.be(batch.offset_delta);
      out.be(batch.timestamp_ms);
      out.be(int32_t{0});  // coordinator epoch
      out.be(producer.transaction_first ? producer.transaction_first->value() : int64_t{-1});
      ++entries;
    }
  }
  store_be(bytes.data() + kSnapshotHeader, entries);
  store_be(bytes.data() + 2, crc32c(std::string_view(bytes).substr(kSnapshotHeader)));
  return bytes;
}

Result<ProducerStates> ProducerStates::decode(const std::string& path, std::string_view bytes) {
  Error corrupt = external_error(path + ": damaged producer snapshot", Code::kCorrupt);
  ByteReader in(bytes);
  auto version = in.be<int16_t>();
  auto crc = in.be<uint32_t>();
  auto count = in.be<int32_t>();
  if (!in.ok() || version != kSnapshotVersion || crc != crc32c(bytes.substr(kSnapshotHeader))) return corrupt;
  if (count < 0 || in.remaining() != static_cast<size_t>(count) * kSnapshotEntry) return corrupt;
  ProducerStates states;
  for (int32_t i = 0; i < count; ++i) {
    auto id = in.be<int64_t>();
    auto epoch = in.be<int16_t>();
    Batch batch;
    batch.last_sequence = in.be<int32_t>();
    batch.last_offset = Offset(in.be<int64_t>());
    batch.offset_delta = in.be<int32_t>();
    batch.timestamp_ms = in.be<int64_t>();
    in.be<int32_t>();
    auto transaction_first = in.be<int64_t>();
    if (batch.offset_delta < 0 || batch.last_sequence < -1) return corrupt;
    Producer& producer = states.producers_[id];
    producer.raise_epoch(epoch);
    if (batch.last_sequence >= 0) {
      producer.push(batch);
      producer.transaction_last = batch.last_offset;
    }
    producer.last_timestamp_ms = std::max(producer.last_timestamp_ms, batch.timestamp_ms);
    if (transaction_first >= 0) {
      producer.transaction_first = Offset(transaction_first);
      states.open_[Offset(transaction_first)] = id;
    }
  }
  return states;
}

}  // namespace tidemill::log
