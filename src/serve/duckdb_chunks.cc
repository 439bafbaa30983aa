#include "serve/duckdb_chunks.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "duck/api.h"
#include "serve/dead_letters.h"

namespace tidemill::serve {

using duck::api;

namespace {

void set_null(duckdb_vector vector, size_t at, size_t count) {
  api().vector_ensure_validity_writable(vector);
  uint64_t* validity = api().vector_get_validity(vector);
  for (size_t i = at; i < at + count; ++i) validity[i / 64] &= ~(uint64_t{1} << (i % 64));
}

void set_nulls(const Column& column, KeptRows::Run run, duckdb_vector vector, size_t at) {
  if (column.null_count() == 0) return;
  api().vector_ensure_validity_writable(vector);
  uint64_t* validity = api().vector_get_validity(vector);
  for (uint32_t i = 0; i < run.count; ++i) {
    if (!column.valid(run.first + i)) validity[(at + i) / 64] &= ~(uint64_t{1} << ((at + i) % 64));
  }
}

void set_text(duckdb_vector vector, size_t at, std::string_view text) {
  api().vector_assign_string_element_len(vector, at, text.data(), text.size());
}

// One run of a column to rows at, at + 1 … of a vector.
void copy_run(const Column* column, KeptRows::Run run, duckdb_vector vector, size_t at) {
  if (column == nullptr) {
    set_null(vector, at, run.count);
    return;
  }
  set_nulls(*column, run, vector, at);
  void* data = api().vector_get_data(vector);
  switch (column->type()) {
    case Type::kBigint:
    case Type::kDouble:
    case Type::kTimestamp:
      std::memcpy(static_cast<uint64_t*>(data) + at, column->words() + run.first, size_t{run.count} * 8);
      return;
    case Type::kInteger:
      for (uint32_t i = 0; i < run.count; ++i) {
        static_cast<int32_t*>(data)[at + i] = static_cast<int32_t>(column->int64_at(run.first + i));
      }
      return;
    case Type::kBoolean:
      for (uint32_t i = 0; i < run.count; ++i)
        static_cast<bool*>(data)[at + i] = column->bool_at(run.first + i);
      return;
    case Type::kVarchar:
    case Type::kJson:
      for (uint32_t i = 0; i < run.count; ++i) {
        if (column->valid(run.first + i)) set_text(vector, at + i, column->text_at(run.first + i));
      }
      return;
  }
}

void copy_object(const JsonWriter& object, const KeptRows& kept, const std::vector<size_t>& fields,
                 KeptRows::Run run, duckdb_vector vector, size_t at) {
  std::vector<const Column*> columns;
  for (size_t field : fields) columns.push_back(kept.column(field));
  std::string text;
  for (uint32_t i = 0; i < run.count; ++i) {
    text.clear();
    object.append(columns, run.first + i, &text);
    set_text(vector, at + i, text);
  }
}

void copy_member(const TableColumn& column, const KeptRows& kept, KeptRows::Run run, duckdb_vector vector,
                 size_t at) {
  if (column.kind == TableColumn::kField) {
    copy_run(kept.column(column.field), run, vector, at);
    return;
  }
  for (size_t i = 0; i < column.members.size(); ++i) {
    copy_member(column.members[i], kept, run, api().struct_vector_get_child(vector, i), at);
  }
}

}  // namespace

KeptRows::KeptRows(Batch& batch, const std::vector<Field>& fields) : columns_(std::move(batch.columns)) {
  for (const Field& field : fields) {
    auto found = std::find_if(columns_.begin(), columns_.end(),
                              [&](const Column& column) { return column.name() == field.name; });
    of_field_.push_back(found == columns_.end() ? -1 : static_cast<int32_t>(found - columns_.begin()));
  }
  for (uint32_t row : batch.selected) {
    if (!runs_.empty() && runs_.back().first + runs_.back().count == row) {
      ++runs_.back().count;
    } else {
      runs_.push_back({row, 1});
    }
  }
  for (const Column& column : columns_) memory_bytes_ += column.memory_bytes();
  memory_bytes_ += runs_.size() * sizeof(Run);
}

const Column* KeptRows::column(size_t field) const {
  int32_t index = of_field_[field];
  return index < 0 ? nullptr : &columns_[static_cast<size_t>(index)];
}

ChunkWriter::ChunkWriter(const TableLayout& layout, duck::Appender& appender)
    : layout_(layout), appender_(appender) {
  for (const TableColumn& column : layout.columns) objects_.emplace_back(column.object_layout);
}

Status ChunkWriter::append(const std::vector<KeptRows>& kept, int64_t stored_at_us) {
  const size_t most = appender_.vector_size();
  for (const KeptRows& one : kept) {
    for (KeptRows::Run run : one.runs()) {
      while (run.count > 0) {
        auto take = static_cast<uint32_t>(std::min<size_t>(run.count, most - rows_));
        slices_.push_back({&one, {run.first, take}});
        rows_ += take;
        run.first += take;
        run.count -= take;
        if (rows_ == most) TM_TRY(append_chunk(stored_at_us));
      }
    }
  }
  return rows_ == 0 ? Status() : append_chunk(stored_at_us);
}

// Column by column, so that each vector is written from end to end.
Status ChunkWriter::append_chunk(int64_t stored_at_us) {
  duckdb_data_chunk chunk = appender_.chunk();
  for (size_t c = 0; c < layout_.columns.size(); ++c) {
    const TableColumn& column = layout_.columns[c];
    duckdb_vector vector = api().data_chunk_get_vector(chunk, c);
    if (column.kind == TableColumn::kStoredAt) {
      std::fill_n(static_cast<int64_t*>(api().vector_get_data(vector)), rows_, stored_at_us);
      continue;
    }
    size_t at = 0;
    for (const Slice& slice : slices_) {
      if (column.kind == TableColumn::kJson) {
        copy_object(objects_[c], *slice.kept, column.object_fields, slice.run, vector, at);
      } else {
        copy_member(column, *slice.kept, slice.run, vector, at);
      }
      at += slice.run.count;
    }
  }
  api().data_chunk_set_size(chunk, rows_);
  slices_.clear();
  rows_ = 0;
  return appender_.append_chunk();
}

std::string duckdb_dead_letters_sql(const std::string& table) {
  return "CREATE TABLE IF NOT EXISTS " + quote_identifier(table) +
         " (topic VARCHAR NOT NULL, \"partition\" INTEGER NOT NULL, \"offset\" BIGINT NOT NULL, "
         "\"timestamp\" TIMESTAMP, reason VARCHAR NOT NULL, \"key\" BLOB, \"value\" BLOB NOT NULL, "
         "\"storedAt\" TIMESTAMP NOT NULL)";
}

Status append_dead_letters(const std::vector<DeadLetter>& letters, int64_t stored_at_us,
                           duck::Appender& appender) {
  const size_t most = appender.vector_size();
  for (size_t begin = 0; begin < letters.size(); begin += most) {
    size_t count = std::min(most, letters.size() - begin);
    duckdb_data_chunk chunk = appender.chunk();
    auto vector = [&](idx_t column) { return api().data_chunk_get_vector(chunk, column); };
    auto words = [&](idx_t column) { return static_cast<int64_t*>(api().vector_get_data(vector(column))); };
    for (size_t i = 0; i < count; ++i) {
      const DeadLetter& letter = letters[begin + i];
      set_text(vector(0), i, letter.source.topic);
      static_cast<int32_t*>(api().vector_get_data(vector(1)))[i] = letter.source.partition.value();
      words(2)[i] = letter.offset.value();
      words(3)[i] = letter.timestamp_ms * 1000;
      set_text(vector(4), i, as_utf8(letter.reason));
      if (letter.has_key) {
        set_text(vector(5), i, letter.key);
      } else {
        set_null(vector(5), i, 1);
      }
      set_text(vector(6), i, letter.value);
      words(7)[i] = stored_at_us;
    }
    api().data_chunk_set_size(chunk, count);
    TM_TRY(appender.append_chunk());
  }
  return {};
}

}  // namespace tidemill::serve
