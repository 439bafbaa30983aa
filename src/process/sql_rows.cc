#include "process/sql_rows.h"

#include <algorithm>
#include <utility>

#include "duck/api.h"
#include "event/json_splice.h"
#include "event/json_value.h"
#include "event/timestamp.h"

namespace tidemill::process {
namespace {

using duck::api;

void set_null(duckdb_vector vector, size_t row) {
  api().vector_ensure_validity_writable(vector);
  api().vector_get_validity(vector)[row / 64] &= ~(uint64_t{1} << (row % 64));
}

template <class T>
T* cells(duckdb_vector vector) {
  return static_cast<T*>(api().vector_get_data(vector));
}

// Row `from` of the column to row `to` of the vector.
void copy(const Column& column, uint32_t from, duckdb_vector vector, size_t to) {
  if (!column.valid(from)) {
    set_null(vector, to);
    return;
  }
  switch (column.type()) {
    case Type::kBoolean:
      cells<bool>(vector)[to] = column.bool_at(from);
      return;
    case Type::kInteger:
      cells<int32_t>(vector)[to] = static_cast<int32_t>(column.int64_at(from));
      return;
    case Type::kBigint:
    case Type::kTimestamp:
      cells<int64_t>(vector)[to] = column.int64_at(from);
      return;
    case Type::kDouble:
      cells<double>(vector)[to] = column.double_at(from);
      return;
    case Type::kVarchar:
    case Type::kJson: {
      const std::string_view text = column.text_at(from);
      api().vector_assign_string_element_len(vector, to, text.data(), text.size());
      return;
    }
  }
}

void append_value(const duck::Rows& rows, size_t column, size_t row, Column* out) {
  if (rows.is_null(column, row)) {
    out->append_null();
    return;
  }
  switch (out->type()) {
    case Type::kBoolean:
      out->append_bool(rows.boolean(column, row));
      return;
    case Type::kInteger:
    case Type::kBigint:
    case Type::kTimestamp:
      out->append_int64(rows.integer(column, row));
      return;
    case Type::kDouble:
      out->append_double(rows.real(column, row));
      return;
    case Type::kVarchar:
    case Type::kJson:
      out->append_text(rows.text(column, row));
      return;
  }
}

// Keys and values of the rows, one after another.
struct Texts {
  std::string bytes;
  std::vector<std::pair<size_t, size_t>> keys, values;  // begin, end
};

void append_key(const Column& column, uint32_t row, std::string* out) {
  if (column.is_text()) {
    *out += column.text_at(row);
  } else {
    append_json_value(&column, row, out);
  }
}

}  // namespace

Status InputWriter::append(const Batch& batch, duck::Appender& appender) {
  std::vector<const Column*> columns;
  for (const Field& field : fields_) columns.push_back(batch.column(field.name));
  const size_t most = appender.vector_size();
  for (size_t begin = 0; begin < batch.selected.size(); begin += most) {
    const size_t count = std::min(most, batch.selected.size() - begin);
    duckdb_data_chunk chunk = appender.chunk();
    for (size_t c = 0; c < columns.size(); ++c) {
      TM_CHECK(columns[c] != nullptr, "the fields that it needs are decoded");
      duckdb_vector vector = api().data_chunk_get_vector(chunk, c);
      for (size_t i = 0; i < count; ++i) copy(*columns[c], batch.selected[begin + i], vector, i);
    }
    auto own = [&](size_t number) { return api().data_chunk_get_vector(chunk, columns.size() + number); };
    std::fill_n(cells<int32_t>(own(0)), count, batch.source.partition.value());
    for (size_t i = 0; i < count; ++i) {
      const Record& record = batch.records()[batch.selected[begin + i]];
      cells<int64_t>(own(1))[i] = record.offset.value();
      if (const auto time_us = record_time_us(record.timestamp_ms)) {
        cells<int64_t>(own(2))[i] = *time_us;
      } else {
        set_null(own(2), i);
      }
    }
    api().data_chunk_set_size(chunk, count);
    TM_TRY(appender.append_chunk());
  }
  return {};
}

BatchPtr make_rows_batch(const duck::Rows& rows, size_t count, const std::vector<Field>& columns,
                         const RowFrame& frame) {
  auto batch = std::make_unique<Batch>();
  batch->source = frame.source;
  batch->first = frame.offset;
  batch->end = frame.end;
  for (size_t c = 0; c < columns.size(); ++c) {
    Column column(columns[c].name, columns[c].type);
    column.reserve(count);
    for (size_t row = 0; row < count; ++row) append_value(rows, c, row, &column);
    batch->columns.push_back(std::move(column));
  }
  auto texts = std::make_shared<Texts>();
  for (uint32_t row = 0; row < count; ++row) {
    const size_t key_at = texts->bytes.size();
    if (frame.key >= 0 && batch->columns[static_cast<size_t>(frame.key)].valid(row))
      append_key(batch->columns[static_cast<size_t>(frame.key)], row, &texts->bytes);
    const size_t value_at = texts->bytes.size();
    for (size_t c = 0; c < columns.size(); ++c) {
      texts->bytes += c == 0 ? '{' : ',';
      append_json_string(columns[c].name, &texts->bytes);
      texts->bytes += ':';
      append_json_value(&batch->columns[c], row, &texts->bytes);
    }
    texts->bytes += '}';
    texts->keys.emplace_back(key_at, value_at);
    texts->values.emplace_back(value_at, texts->bytes.size());
  }
  std::vector<Record> records(count);
  const std::string_view bytes = texts->bytes;
  for (uint32_t row = 0; row < count; ++row) {
    Record& record = records[row];
    record.offset = frame.offset;
    record.timestamp_ms = frame.timestamp_ms;
    const auto [key_at, key_end] = texts->keys[row];
    const auto [value_at, value_end] = texts->values[row];
    record.has_key = frame.key >= 0 && batch->columns[static_cast<size_t>(frame.key)].valid(row);
    record.key = bytes.substr(key_at, key_end - key_at);
    record.has_value = true;
    record.value = bytes.substr(value_at, value_end - value_at);
  }
  batch->set_records(std::move(records), std::move(texts));
  batch->select_all();
  return batch;
}

}  // namespace tidemill::process
