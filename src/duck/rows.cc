#include <limits>
#include <utility>

#include "duck/cells.h"
#include "duck/connection.h"
#include "duck/error.h"
#include "duck/types.h"

namespace tidemill::duck {
namespace {

// DuckDB's infinities, which are the ends of the range in every unit, stay what they are.
int64_t scaled_up(int64_t value, int64_t factor) {
  int64_t product = 0;
  if (!__builtin_mul_overflow(value, factor, &product)) return product;
  return value < 0 ? -std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::max();
}

int64_t nanos_to_micros(int64_t nanos) {
  if (nanos == std::numeric_limits<int64_t>::max() || nanos == -std::numeric_limits<int64_t>::max())
    return nanos;
  int64_t micros = nanos / 1000;
  return nanos % 1000 < 0 ? micros - 1 : micros;  // towards the past, before 1970 too
}

struct Column {
  std::string name;
  OwnedType type;
  duckdb_type id = DUCKDB_TYPE_INVALID;
  Kind kind = Kind::kOther;
  // Of the loaded chunk:
  duckdb_vector vector = nullptr;
  const void* data = nullptr;
  const uint64_t* validity = nullptr;
};

class RowsImpl final : public Rows {
 public:
  RowsImpl(std::shared_ptr<ConnectionHandle> connection, OwnedStatement statement)
      : connection_(std::move(connection)), statement_(std::move(statement)) {}

  Status start() {
    connection_->interrupted = false;
    if (api().execute_prepared_streaming(statement_.get(), &result_.result) != DuckDBSuccess) {
      return error_of(text_or(api().result_error(&result_.result), "Invalid Error: no message"));
    }
    for (idx_t i = 0; i < api().column_count(&result_.result); ++i) {
      Column column;
      column.name = text_or(api().column_name(&result_.result, i), "");
      column.type = OwnedType(api().column_logical_type(&result_.result, i));
      column.id = api().get_type_id(column.type.get());
      column.kind = kind_of(column.id);
      columns_.push_back(std::move(column));
    }
    return ok_status();
  }

  // DuckDB interrupts what else works for a query that fails, and may report that instead of what failed.
  Error told(Error error) {
    if (error.code != Code::kStopped || connection_->interrupted) return error;
    std::lock_guard lock(connection_->database->mutex);
    if (connection_->database->scan_error.empty()) return error;
    return error_of("Invalid Input Error: " + std::exchange(connection_->database->scan_error, {}));
  }

  size_t column_count() const override { return columns_.size(); }
  const std::string& column_name(size_t column) const override { return at(column).name; }
  std::string column_type(size_t column) const override { return type_name(at(column).type.get()); }
  Kind column_kind(size_t column) const override { return at(column).kind; }

  Result<size_t> next() override {
    rows_ = 0;
    if (ended_) return size_t{0};
    chunk_ = OwnedChunk(api().fetch_chunk(result_.result));
    if (!chunk_) {
      ended_ = true;
      const char* message = api().result_error(&result_.result);
      if (message != nullptr && *message != '\0') return told(error_of(message));
      return size_t{0};
    }
    rows_ = api().data_chunk_get_size(chunk_.get());
    if (rows_ == 0) ended_ = true;
    for (size_t i = 0; i < columns_.size(); ++i) {
      Column& column = columns_[i];
      column.vector = api().data_chunk_get_vector(chunk_.get(), i);
      column.data = api().vector_get_data(column.vector);
      column.validity = api().vector_get_validity(column.vector);
    }
    return rows_;
  }

  bool is_null(size_t column, size_t row) const override {
    return null_cell(loaded(column, row).validity, row);
  }

  int64_t integer(size_t column, size_t row) const override {
    const Column& from = loaded(column, row);
    switch (from.id) {
      case DUCKDB_TYPE_TINYINT:
        return cell<int8_t>(from.data, row);
      case DUCKDB_TYPE_SMALLINT:
        return cell<int16_t>(from.data, row);
      case DUCKDB_TYPE_INTEGER:
        return cell<int32_t>(from.data, row);
      case DUCKDB_TYPE_BIGINT:
        return cell<int64_t>(from.data, row);
      case DUCKDB_TYPE_UTINYINT:
        return cell<uint8_t>(from.data, row);
      case DUCKDB_TYPE_USMALLINT:
        return cell<uint16_t>(from.data, row);
      case DUCKDB_TYPE_UINTEGER:
        return cell<uint32_t>(from.data, row);
      case DUCKDB_TYPE_UBIGINT:
        return static_cast<int64_t>(cell<uint64_t>(from.data, row));
      case DUCKDB_TYPE_TIMESTAMP:
      case DUCKDB_TYPE_TIMESTAMP_TZ:
        return cell<duckdb_timestamp>(from.data, row).micros;
      case DUCKDB_TYPE_TIMESTAMP_S:
        return scaled_up(cell<duckdb_timestamp_s>(from.data, row).seconds, 1'000'000);
      case DUCKDB_TYPE_TIMESTAMP_MS:
        return scaled_up(cell<duckdb_timestamp_ms>(from.data, row).millis, 1'000);
      case DUCKDB_TYPE_TIMESTAMP_NS:
        return nanos_to_micros(cell<duckdb_timestamp_ns>(from.data, row).nanos);
      default:
        TM_CHECK(false, "integer() of a column that is neither integer nor timestamp");
    }
    return 0;
  }

  double real(size_t column, size_t row) const override {
    const Column& from = loaded(column, row);
    TM_CHECK(from.kind == Kind::kDouble, "real() of another kind of column");
    if (from.id == DUCKDB_TYPE_FLOAT) return cell<float>(from.data, row);
    return cell<double>(from.data, row);
  }

  bool boolean(size_t column, size_t row) const override {
    const Column& from = loaded(column, row);
    TM_CHECK(from.kind == Kind::kBoolean, "boolean() of another kind of column");
    return cell<bool>(from.data, row);
  }

  std::string_view text(size_t column, size_t row) const override {
    const Column& from = loaded(column, row);
    TM_CHECK(from.id == DUCKDB_TYPE_VARCHAR || from.id == DUCKDB_TYPE_BLOB,
             "text() of another kind of column");
    return text_cell(from.data, row);
  }

  std::string display(size_t column, size_t row) const override {
    const Column& from = loaded(column, row);
    return display_text(from.type.get(), from.vector, row);
  }

  void append_json(size_t column, size_t row, std::string* out) const override {
    const Column& from = loaded(column, row);
    duck::append_json(from.type.get(), from.vector, row, out);
  }

 private:
  const Column& at(size_t column) const {
    TM_CHECK(column < columns_.size(), "no such column");
    return columns_[column];
  }
  const Column& loaded(size_t column, size_t row) const {
    TM_CHECK(row < rows_, "no such row in the loaded chunk");
    return at(column);
  }

  // In the order in which they depend on each other: destroyed from the last to the first.
  std::shared_ptr<ConnectionHandle> connection_;
  OwnedStatement statement_;
  OwnedResult result_;
  std::vector<Column> columns_;
  OwnedChunk chunk_;
  size_t rows_ = 0;
  bool ended_ = false;
};

}  // namespace

Result<std::unique_ptr<Rows>> make_rows(std::shared_ptr<ConnectionHandle> connection,
                                        OwnedStatement statement) {
  auto rows = std::make_unique<RowsImpl>(std::move(connection), std::move(statement));
  TM_TRY(rows->start());
  return std::unique_ptr<Rows>(std::move(rows));
}

}  // namespace tidemill::duck
