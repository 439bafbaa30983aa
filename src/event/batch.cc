#include "event/batch.h"

#include <algorithm>
#include <numeric>

namespace tidemill {

Result<std::optional<Position>> Batch::set_record_batches(std::shared_ptr<const std::string> bytes,
                                                          Offset from, size_t max_decompressed_bytes) {
  set_records({}, nullptr);
  std::string_view rest = *bytes;
  auto fail = [this](Error error) {
    set_records({}, nullptr);
    return std::move(error).within(source.to_string());
  };
  size_t decompressed = 0;
  LeaderEpoch leader_epoch;
  keepalive_.push_back(bytes);
  kept_bytes_ = bytes->capacity();
  while (!rest.empty()) {
    auto parsed = parse_batch_header(rest);
    if (!parsed.ok()) return fail(std::move(parsed).error());
    if (!parsed.value() || parsed.value()->size_bytes() > rest.size()) {
      return fail(external_error("record batch: cut short", Code::kCorrupt));
    }
    const BatchHeader& header = *parsed.value();
    std::string_view whole = rest.substr(0, header.size_bytes());
    rest.remove_prefix(whole.size());
    if (header.last_offset() < from.value() || header.control()) continue;

    size_t first_row = records_.size();
    bool compressed = header.compression() != Compression::kNone;
    std::shared_ptr<std::string> scratch = compressed ? std::make_shared<std::string>() : nullptr;
    size_t allowed = max_decompressed_bytes - (compressed ? decompressed : 0);
    Status decoded = decode_records(header, whole, allowed, scratch.get(), &records_);
    if (!decoded.ok() && decoded.error().code == Code::kInvalid && decompressed > 0) {
      count_payload();
      return std::optional(Position{std::max(from, Offset(header.base_offset)), leader_epoch});
    }
    if (!decoded.ok()) return fail(std::move(decoded).error());
    if (compressed) decompressed += std::max(scratch->size(), (records_.size() - first_row) * sizeof(Record));
    leader_epoch = LeaderEpoch(header.leader_epoch);
    timestamp_type = header.timestamp_type();
    if (header.base_offset < from.value()) {
      auto begin = records_.begin() + static_cast<ptrdiff_t>(first_row);
      auto wanted =
          std::partition_point(begin, records_.end(), [&](const Record& r) { return r.offset < from; });
      records_.erase(begin, wanted);
    }
    const std::string& backing = compressed ? *scratch : *bytes;
    add_backing(first_row, backing.data() + backing.size());
    if (compressed) {
      kept_bytes_ += scratch->capacity();
      keepalive_.push_back(std::move(scratch));
    }
  }
  count_payload();
  return std::optional<Position>();
}

void Batch::set_records(std::vector<Record> records, std::shared_ptr<const void> keepalive) {
  records_ = std::move(records);
  backings_.clear();
  keepalive_.clear();
  kept_bytes_ = 0;
  if (keepalive != nullptr) keepalive_.push_back(std::move(keepalive));
  count_payload();
}

void Batch::add_backing(size_t first_row, const char* memory_end) {
  if (first_row == records_.size()) return;
  if (!backings_.empty() && backings_.back().end == memory_end) return;
  backings_.push_back({static_cast<uint32_t>(first_row), memory_end});
}

void Batch::count_payload() {
  payload_bytes_ = 0;
  for (const Record& record : records_) payload_bytes_ += record.key.size() + record.value.size();
}

size_t Batch::memory_bytes() const {
  size_t bytes = records_.capacity() * sizeof(Record) + std::max(kept_bytes_, payload_bytes_) +
                 (selected.capacity() + added.capacity() + has_added_member.capacity()) * sizeof(uint32_t);
  for (const Column& column : columns) bytes += sizeof(Column) + column.memory_bytes();
  for (const DeadLetter& dead : dead_letters) {
    bytes += sizeof(DeadLetter) + dead.reason.capacity() + dead.key.capacity() + dead.value.capacity();
  }
  return bytes;
}

const Column* Batch::column(std::string_view name) const {
  for (const Column& column : columns) {
    if (column.name() == name) return &column;
  }
  return nullptr;
}

void Batch::select_all() {
  selected.resize(records_.size());
  std::iota(selected.begin(), selected.end(), uint32_t{0});
}

}  // namespace tidemill
