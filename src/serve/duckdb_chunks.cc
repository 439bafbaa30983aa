#include "serve/duckdb_chunks.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <utility>

#include "duck/api.h"
#include "event/timestamp.h"
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

size_t ChunkCutter::next(size_t most, std::vector<Slice>* slices) {
  slices->clear();
  size_t rows = 0;
  while (rows < most && kept_ < rows_.size()) {
    const std::vector<KeptRows::Run>& runs = rows_[kept_].runs();
    if (run_ == runs.size()) {
      ++kept_;
      run_ = 0;
      continue;
    }
    const KeptRows::Run& run = runs[run_];
    const auto take = static_cast<uint32_t>(std::min<size_t>(run.count - in_run_, most - rows));
    slices->push_back({&rows_[kept_], {run.first + in_run_, take}});
    rows += take;
    in_run_ += take;
    if (in_run_ < run.count) continue;
    in_run_ = 0;
    ++run_;
  }
  return rows;
}

ChunkFiller::ChunkFiller(const TableLayout& layout) : layout_(layout) {
  for (const TableColumn& column : layout.columns) objects_.emplace_back(column.object_layout);
}

// Column by column, so that each vector is written from end to end.
void ChunkFiller::fill(const std::vector<ChunkCutter::Slice>& slices, int64_t stored_at_us,
                       const std::vector<duckdb_vector>& vectors) const {
  for (size_t c = 0; c < layout_.columns.size(); ++c) {
    const TableColumn& column = layout_.columns[c];
    if (vectors[c] == nullptr) continue;
    size_t at = 0;
    for (const ChunkCutter::Slice& slice : slices) {
      if (column.kind == TableColumn::kStoredAt) {
        std::fill_n(static_cast<int64_t*>(api().vector_get_data(vectors[c])) + at, slice.run.count,
                    stored_at_us);
      } else if (column.kind == TableColumn::kJson) {
        copy_object(objects_[c], *slice.kept, column.object_fields, slice.run, vectors[c], at);
      } else {
        copy_member(column, *slice.kept, slice.run, vectors[c], at);
      }
      at += slice.run.count;
    }
  }
}

Status append_rows(const TableLayout& layout, const std::vector<KeptRows>& rows, int64_t stored_at_us,
                   duck::Appender& appender) {
  const ChunkFiller filler(layout);
  ChunkCutter cutter(rows);
  std::vector<ChunkCutter::Slice> slices;
  std::vector<duckdb_vector> vectors(layout.columns.size());
  while (const size_t count = cutter.next(appender.vector_size(), &slices)) {
    duckdb_data_chunk chunk = appender.chunk();
    for (size_t c = 0; c < vectors.size(); ++c) vectors[c] = api().data_chunk_get_vector(chunk, c);
    filler.fill(slices, stored_at_us, vectors);
    api().data_chunk_set_size(chunk, count);
    TM_TRY(appender.append_chunk());
  }
  return {};
}

// What the function that DuckDB knows, and keeps as long as the database, has in common with the feed.
struct RowFeed::Shared {
  Shared(const TableLayout& columns, size_t most_threads)
      : layout(columns), filler(layout), threads(most_threads) {}
  const TableLayout layout;
  const ChunkFiller filler;
  const size_t threads;
  const std::vector<KeptRows>* rows = nullptr;  // null: there are none to be had
  size_t row_count = 0;
  int64_t stored_at_us = 0;
};

class RowFeed::Reader final : public duck::Scan {
 public:
  explicit Reader(std::shared_ptr<const Shared> shared)
      : shared_(std::move(shared)), cutter_(*shared_->rows) {}

  // A thread is worth a row group of its own.
  size_t threads() const override {
    constexpr size_t kRowGroup = 122'880;
    return std::clamp<size_t>(shared_->row_count / kRowGroup, 1, shared_->threads);
  }

  Result<size_t> next(const std::vector<duckdb_vector>& columns, size_t most) override {
    std::vector<ChunkCutter::Slice> slices;
    size_t count = 0;
    {
      std::lock_guard lock(mutex_);
      count = cutter_.next(most, &slices);
    }
    shared_->filler.fill(slices, shared_->stored_at_us, columns);
    return count;
  }

 private:
  const std::shared_ptr<const Shared> shared_;
  std::mutex mutex_;
  ChunkCutter cutter_;
};

Result<std::unique_ptr<RowFeed>> RowFeed::open(duck::Connection& connection, const TableLayout& layout,
                                               size_t threads) {
  static std::atomic<uint64_t> number{0};
  auto shared = std::make_shared<Shared>(layout, threads);
  duck::ScanFunction function;
  function.name = "tidemill_rows_" + std::to_string(++number);
  for (const TableColumn& column : layout.columns) function.columns.push_back({column.name, column.type});
  function.open = [shared]() -> Result<std::unique_ptr<duck::Scan>> {
    if (shared->rows == nullptr) return internal_error("no rows are given");
    return std::unique_ptr<duck::Scan>(std::make_unique<Reader>(shared));
  };
  std::string name = function.name;
  TM_TRY(connection.add_function(std::move(function)));
  return std::unique_ptr<RowFeed>(new RowFeed(std::move(name), std::move(shared)));
}

void RowFeed::give(const std::vector<KeptRows>& rows, int64_t stored_at_us) {
  shared_->rows = &rows;
  shared_->stored_at_us = stored_at_us;
  shared_->row_count = 0;
  for (const KeptRows& kept : rows) {
    for (const KeptRows::Run& run : kept.runs()) shared_->row_count += run.count;
  }
}

void RowFeed::take_back() {
  shared_->rows = nullptr;
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
      if (const auto time_us = record_time_us(letter.timestamp_ms)) {
        words(3)[i] = *time_us;
      } else {
        set_null(vector(3), i, 1);
      }
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
