#include "event/json_decoder.h"

#include <algorithm>

#include "event/json_reason.h"
#include "event/json_walker.h"

namespace tidemill {
namespace {

// Positions in a document have 32 bits.
constexpr size_t kMaxEventBytes = size_t{1} << 30;

}  // namespace

struct JsonDecoder::Impl {
  explicit Impl(DecodePlan planned)
      : plan(std::move(planned)), walker(plan), text_bytes(plan.fields.size(), 0) {
    plan.event_limit_bytes = std::min(plan.event_limit_bytes, kMaxEventBytes);
  }

  void prepare_columns(Batch& batch);
  bool decode_row(const Record& record, const char* memory_end, size_t row, Column* columns);
  void finish_columns(const Batch& batch);

  DecodePlan plan;
  json::Walker walker;
  std::string padded;
  std::string reason;
  std::vector<size_t> text_bytes;  // of each column in the batch before: what the next will need
};

JsonDecoder::JsonDecoder(DecodePlan plan) : impl_(std::make_unique<Impl>(std::move(plan))) {}
JsonDecoder::~JsonDecoder() = default;
JsonDecoder::JsonDecoder(JsonDecoder&&) noexcept = default;

void JsonDecoder::Impl::prepare_columns(Batch& batch) {
  batch.columns.clear();
  batch.columns.reserve(plan.fields.size());
  batch.has_added_member.clear();
  for (size_t i = 0; i < plan.fields.size(); ++i) {
    Column& column = batch.columns.emplace_back(plan.fields[i].name, plan.fields[i].type);
    column.reserve(batch.size());
    if (column.is_text()) column.reserve_text(text_bytes[i]);
  }
}

void JsonDecoder::Impl::finish_columns(const Batch& batch) {
  for (size_t i = 0; i < batch.columns.size(); ++i) {
    if (batch.columns[i].is_text()) text_bytes[i] = batch.columns[i].data().size();
  }
}

bool JsonDecoder::Impl::decode_row(const Record& record, const char* memory_end, size_t row,
                                   Column* columns) {
  std::string_view text = record.value;
  if (!record.has_value) {
    reason = "no value";
    return false;
  }
  if (text.size() > plan.event_limit_bytes) {
    reason = json::too_long(text.size(), plan.event_limit_bytes);
    return false;
  }
  auto readable = memory_end == nullptr ? text.size() : static_cast<size_t>(memory_end - text.data());
  if (readable < text.size() + json::kPadding) {
    padded.assign(text);
    padded.append(json::kPadding, ' ');
    text = std::string_view(padded).substr(0, text.size());
  }
  if (walker.decode(text, row, columns)) return true;
  reason = walker.reason();
  return false;
}

void JsonDecoder::decode(Batch& batch) {
  Impl& impl = *impl_;
  impl.prepare_columns(batch);
  const std::vector<Record>& records = batch.records();
  auto backing = batch.backings().begin();
  const char* memory_end = nullptr;
  size_t kept = 0;
  size_t next_selected = 0;
  for (size_t row = 0; row < records.size(); ++row) {
    if (backing != batch.backings().end() && backing->first_row == row) memory_end = (backing++)->end;
    bool selected = next_selected < batch.selected.size() && batch.selected[next_selected] == row;
    if (selected) {
      ++next_selected;
      const Record& record = records[row];
      if (impl.decode_row(record, memory_end, row, batch.columns.data())) {
        batch.selected[kept++] = static_cast<uint32_t>(row);
        if (impl.walker.has_added_member()) batch.has_added_member.push_back(static_cast<uint32_t>(row));
        continue;
      }
      std::string_view value = record.value.substr(0, impl.plan.event_limit_bytes);
      batch.dead_letters.push_back({batch.source, record.offset, record.timestamp_ms, impl.reason,
                                    std::string(record.key), record.has_key, std::string(value),
                                    record.has_value});
    }
    for (Column& column : batch.columns) {
      column.truncate(row);
      column.append_null();
    }
  }
  batch.selected.resize(kept);
  impl.finish_columns(batch);
}

}  // namespace tidemill
