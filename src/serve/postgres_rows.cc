#include "serve/postgres_rows.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>

#include "serve/dead_letters.h"
#include "serve/postgres_numeric.h"

namespace tidemill::serve {
namespace {

constexpr size_t kChunkBytes = 256 << 10;
constexpr std::string_view kHeader("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
constexpr std::string_view kTrailer("\377\377", 2);
constexpr int64_t kEpochUs = 946'684'800'000'000;  // 2000-01-01, where PostgreSQL's time begins
// Of timestamp, in microseconds since then.
constexpr int64_t kFirstTime = -211'813'488'000'000'000, kTimeEnd = 9'223'371'331'200'000'000;
constexpr char kJsonbVersion = 1;

void put16(int16_t value, std::string* to) {
  const uint16_t big = __builtin_bswap16(static_cast<uint16_t>(value));
  to->append(reinterpret_cast<const char*>(&big), sizeof big);
}
void put32(int32_t value, std::string* to) {
  const uint32_t big = __builtin_bswap32(static_cast<uint32_t>(value));
  to->append(reinterpret_cast<const char*>(&big), sizeof big);
}
void put64(uint64_t value, std::string* to) {
  const uint64_t big = __builtin_bswap64(value);
  to->append(reinterpret_cast<const char*>(&big), sizeof big);
}
void put_null(std::string* to) {
  put32(-1, to);
}
void put_bytes(std::string_view bytes, std::string* to) {
  put32(static_cast<int32_t>(bytes.size()), to);
  to->append(bytes);
}
void put_word(uint64_t value, std::string* to) {
  put32(8, to);
  put64(value, to);
}

bool time_fits(int64_t us) {
  static_assert(INT64_MAX - kEpochUs < kTimeEnd);
  return us >= kFirstTime + kEpochUs;
}
void put_time(int64_t us, std::string* to) {
  put_word(static_cast<uint64_t>(us - kEpochUs), to);
}

// What a column of integers holds of a field: the row was screened.
int64_t whole_at(const Column& column, uint32_t row) {
  return column.type() == Type::kDouble ? static_cast<int64_t>(column.double_at(row)) : column.int64_at(row);
}

void put_numeric(const Column& column, uint32_t row, std::string* to) {
  if (column.type() != Type::kDouble) return Decimal::of(column.int64_at(row)).append_numeric(to);
  const double value = column.double_at(row);
  std::isnan(value) ? append_numeric_nan(to) : Decimal::of(value).append_numeric(to);
}

void put_value(const PostgresColumn& as, const Column& column, uint32_t row, std::string* to) {
  switch (as.type) {
    case PostgresType::kBoolean:
      put32(1, to);
      *to += column.bool_at(row) ? '\1' : '\0';
      return;
    case PostgresType::kSmallint:
      put32(2, to);
      put16(static_cast<int16_t>(whole_at(column, row)), to);
      return;
    case PostgresType::kInteger:
      put32(4, to);
      put32(static_cast<int32_t>(whole_at(column, row)), to);
      return;
    case PostgresType::kBigint:
      put_word(static_cast<uint64_t>(whole_at(column, row)), to);
      return;
    case PostgresType::kDouble:
      put_word(std::bit_cast<uint64_t>(column.double_at(row)), to);
      return;
    case PostgresType::kReal:
      put32(4, to);
      put32(std::bit_cast<int32_t>(static_cast<float>(column.double_at(row))), to);
      return;
    case PostgresType::kNumeric:
      put_numeric(column, row, to);
      return;
    case PostgresType::kText:
    case PostgresType::kVarchar:
    case PostgresType::kJson:
      put_bytes(column.text_at(row), to);
      return;
    case PostgresType::kUuid: {
      uint8_t bytes[16];
      TM_CHECK(parse_uuid(column.text_at(row), bytes), "the row was screened");
      put_bytes({reinterpret_cast<const char*>(bytes), sizeof bytes}, to);
      return;
    }
    case PostgresType::kTimestamptz:
    case PostgresType::kTimestamp:
      put_time(column.int64_at(row), to);
      return;
    case PostgresType::kJsonb:
      put32(static_cast<int32_t>(column.text_at(row).size() + 1), to);
      *to += kJsonbVersion;
      to->append(column.text_at(row));
      return;
  }
}

void put_object(const PostgresColumn& as, const JsonWriter& writer, const std::vector<const Column*>& columns,
                uint32_t row, std::string* to) {
  const size_t at = to->size();
  put32(0, to);
  if (as.type == PostgresType::kJsonb) *to += kJsonbVersion;
  writer.append(columns, row, to);
  const uint32_t size = __builtin_bswap32(static_cast<uint32_t>(to->size() - at - 4));
  std::memcpy(to->data() + at, &size, sizeof size);
}

// The columns of a batch by the schema's fields; null where it has none.
std::vector<const Column*> by_field(const Batch& batch, const std::vector<Field>& fields) {
  std::vector<const Column*> columns;
  columns.reserve(fields.size());
  for (const Field& field : fields) columns.push_back(batch.column(field.name));
  return columns;
}

// ---- what does not fit

bool holds_nul(std::string_view text) {
  return std::memchr(text.data(), 0, text.size()) != nullptr;
}

int64_t characters(std::string_view utf8) {
  return std::count_if(utf8.begin(), utf8.end(),
                       [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; });
}

// numeric holds 131072 digits before the point and 16383 behind it.
bool number_fits(std::string_view number) {
  constexpr int64_t kBefore = 131'072, kBehind = 16'383, kExponent = 1'000'000;
  int64_t before = 0, behind = 0, exponent = 0;
  size_t at = number.starts_with('-') ? 1 : 0;
  for (; at < number.size() && number[at] >= '0' && number[at] <= '9'; ++at) ++before;
  if (at < number.size() && number[at] == '.') {
    for (++at; at < number.size() && number[at] >= '0' && number[at] <= '9'; ++at) ++behind;
  }
  if (at < number.size()) {
    const bool negative = at + 1 < number.size() && number[at + 1] == '-';
    for (++at; at < number.size(); ++at) {
      if (number[at] >= '0' && number[at] <= '9')
        exponent = std::min(exponent * 10 + (number[at] - '0'), kExponent);
    }
    if (negative) exponent = -exponent;
  }
  return before + exponent <= kBefore && behind - exponent <= kBehind;
}

std::string out_of_range(PostgresType type) {
  return " is out of the range of " + std::string(postgres_type_name(type));
}

std::string shortest(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

constexpr std::string_view kNul = "U+0000, which PostgreSQL cannot hold in a text";

class Screen {
 public:
  Screen(const PostgresTable& table, const std::vector<Field>& fields, const Batch& batch)
      : table_(table), fields_(fields), batch_(batch), columns_(by_field(batch, fields)) {}

  std::vector<RowFault> faults() {
    for (const PostgresColumn& as : table_.columns) {
      if (as.kind == PostgresColumn::kField) check_field(as);
      if (as.kind == PostgresColumn::kObject) check_object(as);
    }
    for (const auto& index : table_.indexed) check_index(index);
    return std::move(faults_);
  }

 private:
  template <class Check>
  void each(const Column& column, const std::string& name, const Check& check) {
    for (uint32_t row : batch_.selected) {
      if (!column.valid(row)) continue;
      std::string reason = check(row);
      if (!reason.empty()) faults_.push_back({row, name + ": " + reason});
    }
  }

  void check_field(const PostgresColumn& as) {
    const Column* column = columns_[as.field];
    const std::string& name = fields_[as.field].name;
    if (column == nullptr) return;
    switch (as.type) {
      case PostgresType::kSmallint:
        check_range(*column, name, INT16_MIN, INT16_MAX, as.type);
        return;
      case PostgresType::kInteger:
        check_range(*column, name, INT32_MIN, INT32_MAX, as.type);
        return;
      case PostgresType::kBigint:
        check_range(*column, name, INT64_MIN, INT64_MAX, as.type);
        return;
      case PostgresType::kReal:
        check_real(*column, name);
        return;
      case PostgresType::kNumeric:
        check_numeric(as, *column, name);
        return;
      case PostgresType::kTimestamptz:
      case PostgresType::kTimestamp:
        each(*column, name, [&](uint32_t row) {
          return time_fits(column->int64_at(row)) ? std::string() : "is beyond PostgreSQL's timestamps";
        });
        return;
      case PostgresType::kUuid:
        each(*column, name, [&](uint32_t row) {
          uint8_t bytes[16];
          return parse_uuid(column->text_at(row), bytes) ? std::string() : "is no uuid";
        });
        return;
      case PostgresType::kText:
      case PostgresType::kVarchar:
        check_text(as, *column, name);
        return;
      case PostgresType::kJsonb:
        check_json(*column, name);
        return;
      case PostgresType::kBoolean:
      case PostgresType::kDouble:
      case PostgresType::kJson:
        return;
    }
  }

  void check_range(const Column& column, const std::string& name, int64_t least, int64_t most,
                   PostgresType type) {
    if (column.type() == Type::kDouble) return check_whole(column, name, least, type);
    if (type == PostgresType::kBigint) return;
    each(column, name, [&](uint32_t row) {
      const int64_t value = column.int64_at(row);
      if (value >= least && value <= most) return std::string();
      return std::to_string(value) + out_of_range(type);
    });
  }

  // A double where integers from `least` to -least - 1 stand.
  void check_whole(const Column& column, const std::string& name, int64_t least, PostgresType type) {
    const auto lowest = static_cast<double>(least);
    each(column, name, [&](uint32_t row) {
      const double value = column.double_at(row);
      if (std::trunc(value) != value)
        return shortest(value) + " is no whole number, as " + std::string(postgres_type_name(type)) +
               " wants";
      return value >= lowest && value < -lowest ? std::string() : shortest(value) + out_of_range(type);
    });
  }

  // It rounds to the nearest; what would become 0 or infinite does not fit.
  void check_real(const Column& column, const std::string& name) {
    each(column, name, [&](uint32_t row) {
      const double value = column.double_at(row);
      const auto narrow = static_cast<float>(value);
      const bool fits = std::isfinite(value) ? std::isfinite(narrow) && (narrow != 0 || value == 0) : true;
      return fits ? std::string() : shortest(value) + out_of_range(PostgresType::kReal);
    });
  }

  void check_numeric(const PostgresColumn& as, const Column& column, const std::string& name) {
    const bool real = column.type() == Type::kDouble;
    if (!real && as.precision == 0) return;
    each(column, name, [&](uint32_t row) {
      const double value = real ? column.double_at(row) : 0;
      if (std::isnan(value)) return std::string();
      if (std::isinf(value)) return shortest(value) + out_of_range(as.type);
      const Decimal decimal = real ? Decimal::of(value) : Decimal::of(column.int64_at(row));
      if (decimal.fits(as.precision, as.scale)) return std::string();
      return (real ? shortest(value) : std::to_string(column.int64_at(row))) + out_of_range(as.type) + "(" +
             std::to_string(as.precision) + "," + std::to_string(as.scale) + ")";
    });
  }

  void check_text(const PostgresColumn& as, const Column& column, const std::string& name) {
    if (as.max_chars == 0 && !holds_nul(column.data())) return;
    each(column, name, [&](uint32_t row) {
      const std::string_view text = column.text_at(row);
      if (holds_nul(text)) return "holds " + std::string(kNul);
      if (as.max_chars == 0 || static_cast<int64_t>(text.size()) <= as.max_chars ||
          characters(text) <= as.max_chars)
        return std::string();
      return "is longer than varchar(" + std::to_string(as.max_chars) + ")";
    });
  }

  void check_json(const Column& column, const std::string& name) {
    each(column, name, [&](uint32_t row) {
      const std::string_view fault = jsonb_fault(column.text_at(row));
      return fault.empty() ? std::string() : "holds " + std::string(fault);
    });
  }

  void check_object(const PostgresColumn& as) {
    if (as.type != PostgresType::kJsonb) return;
    for (size_t field : as.object_fields) {
      const Column* column = columns_[field];
      if (column == nullptr) continue;
      if (column->type() == Type::kJson) check_json(*column, fields_[field].name);
      if (column->type() == Type::kVarchar && holds_nul(column->data())) {
        each(*column, fields_[field].name, [&](uint32_t row) {
          return holds_nul(column->text_at(row)) ? "holds " + std::string(kNul) : std::string();
        });
      }
    }
  }

  // An entry of a B-tree has at most a third of a page.
  void check_index(const std::vector<size_t>& index) {
    constexpr size_t kMostBytes = 2'600;
    for (uint32_t row : batch_.selected) {
      size_t bytes = 0;
      for (size_t c : index) {
        const PostgresColumn& as = table_.columns[c];
        const Column* column = as.kind == PostgresColumn::kField ? columns_[as.field] : nullptr;
        if (column != nullptr && column->is_text() && column->valid(row))
          bytes += column->text_at(row).size();
      }
      if (bytes <= kMostBytes) continue;
      faults_.push_back({row, fields_[table_.columns[index.front()].field].name + ": " +
                                  std::to_string(bytes) + " bytes are too long for an index of table " +
                                  table_.name});
    }
  }

  const PostgresTable& table_;
  const std::vector<Field>& fields_;
  const Batch& batch_;
  const std::vector<const Column*> columns_;
  std::vector<RowFault> faults_;
};

// Of each byte; 0xff: it is no digit. Branches would be guessed wrong at every other digit.
constexpr std::array<uint8_t, 256> kHexDigits = [] {
  std::array<uint8_t, 256> digits{};
  for (size_t c = 0; c < digits.size(); ++c) {
    const size_t small = c | 0x20;
    digits[c] = static_cast<uint8_t>(c >= '0' && c <= '9'           ? c - '0'
                                     : small >= 'a' && small <= 'f' ? small - 'a' + 10
                                                                    : 0xff);
  }
  return digits;
}();

}  // namespace

std::string_view jsonb_fault(std::string_view json) {
  for (size_t at = 0; at < json.size();) {
    if (json[at] == '"') {
      for (++at; at < json.size() && json[at] != '"'; ++at) {
        if (json[at] != '\\') continue;
        if (json.substr(at + 1, 5) == "u0000") return kNul;
        ++at;
      }
      ++at;
    } else if (json[at] == '-' || (json[at] >= '0' && json[at] <= '9')) {
      size_t end = json.find_first_not_of("+-.0123456789eE", at);
      if (end == std::string_view::npos) end = json.size();
      if (!number_fits(json.substr(at, end - at))) return "a number beyond the range of PostgreSQL's numeric";
      at = end;
    } else {
      ++at;
    }
  }
  return {};
}

bool parse_uuid(std::string_view text, uint8_t* bytes) {
  constexpr std::array<uint8_t, 16> kAt = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
  if (text.size() != 36) return false;
  if (text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-') return false;
  uint8_t wrong = 0;
  for (size_t i = 0; i < kAt.size(); ++i) {
    const uint8_t high = kHexDigits[static_cast<uint8_t>(text[kAt[i]])],
                  low = kHexDigits[static_cast<uint8_t>(text[kAt[i] + 1u])];
    wrong |= high | low;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return (wrong & 0xf0) == 0;
}

void screen_postgres_rows(const PostgresTable& table, const std::vector<Field>& fields, Batch& batch) {
  move_to_dead_letters(Screen(table, fields, batch).faults(), batch);
}

PostgresRows::PostgresRows(const PostgresTable& table, bool keys) : table_(table) {
  for (const PostgresColumn& column : table.columns) writers_.emplace_back(column.object_layout);
  stored_at_ = table.columns.back().kind == PostgresColumn::kStoredAt;
  for (size_t k = 0; keys && k < table.key.size(); ++k) {
    size_t c = 0;
    while (table.columns[c].name != table.key[k]) ++c;
    key_columns_.push_back(c);
  }
}

void PostgresRows::append(const Batch& batch, const std::vector<Field>& fields) {
  const std::vector<const Column*> columns = by_field(batch, fields);
  std::vector<std::vector<const Column*>> objects(table_.columns.size());
  for (size_t c = 0; c < objects.size(); ++c) {
    for (size_t field : table_.columns[c].object_fields) objects[c].push_back(columns[field]);
  }
  for (uint32_t row : batch.selected) {
    if (chunks_.empty() || chunks_.back().bytes.size() >= kChunkBytes) {
      chunks_.emplace_back();
      chunks_.back().bytes.reserve(kChunkBytes + kChunkBytes / 16);
    }
    Chunk& chunk = chunks_.back();
    const size_t before = chunk.bytes.size();
    append_row(columns, objects, row, &chunk.bytes);
    bytes_ += chunk.bytes.size() - before;
    chunk.row_ends.push_back(static_cast<uint32_t>(chunk.bytes.size()));
    if (!key_columns_.empty()) append_key(columns, row);
    ++rows_;
  }
}

void PostgresRows::append_row(const std::vector<const Column*>& columns,
                              const std::vector<std::vector<const Column*>>& objects, uint32_t row,
                              std::string* to) const {
  put16(static_cast<int16_t>(table_.columns.size()), to);
  for (size_t c = 0; c < table_.columns.size(); ++c) {
    const PostgresColumn& as = table_.columns[c];
    if (as.kind == PostgresColumn::kStoredAt) {
      put_word(0, to);
    } else if (as.kind == PostgresColumn::kObject) {
      put_object(as, writers_[c], objects[c], row, to);
    } else if (const Column* column = columns[as.field]; column != nullptr && column->valid(row)) {
      put_value(as, *column, row, to);
    } else {
      put_null(to);
    }
  }
}

void PostgresRows::append_key(const std::vector<const Column*>& columns, uint32_t row) {
  const size_t before = keys_.size();
  put16(static_cast<int16_t>(key_columns_.size() + 1), &keys_);
  for (size_t c : key_columns_) {
    const Column* column = columns[table_.columns[c].field];
    TM_CHECK(column != nullptr && column->valid(row), "a key is of required fields");
    put_value(table_.columns[c], *column, row, &keys_);
  }
  put32(4, &keys_);
  put32(static_cast<int32_t>(rows_), &keys_);
  bytes_ += keys_.size() - before;
}

void PostgresRows::set_stored_at(int64_t us) {
  if (!stored_at_) return;
  const uint64_t big = __builtin_bswap64(static_cast<uint64_t>(us - kEpochUs));
  for (Chunk& chunk : chunks_) {
    for (uint32_t end : chunk.row_ends) std::memcpy(chunk.bytes.data() + end - sizeof big, &big, sizeof big);
  }
}

std::vector<std::string_view> PostgresRows::chunks(const std::vector<uint32_t>& without) const {
  std::vector<std::string_view> all{kHeader};
  size_t first = 0;  // row of the chunk
  auto skipped = without.begin();
  for (const Chunk& chunk : chunks_) {
    size_t from = 0;
    for (; skipped != without.end() && *skipped < first + chunk.row_ends.size(); ++skipped) {
      const size_t row = *skipped - first;
      const size_t begin = row == 0 ? 0 : chunk.row_ends[row - 1];
      if (begin > from) all.push_back(std::string_view(chunk.bytes).substr(from, begin - from));
      from = chunk.row_ends[row];
    }
    if (from < chunk.bytes.size()) all.push_back(std::string_view(chunk.bytes).substr(from));
    first += chunk.row_ends.size();
  }
  all.push_back(kTrailer);
  return all;
}

std::vector<std::string_view> PostgresRows::key_chunks() const {
  return {kHeader, keys_, kTrailer};
}

std::string postgres_dead_letters_sql(const std::string& sql_name) {
  return "CREATE TABLE IF NOT EXISTS " + sql_name +
         " (topic text NOT NULL, \"partition\" integer NOT NULL, \"offset\" bigint NOT NULL, "
         "\"timestamp\" timestamp with time zone, reason text NOT NULL, \"key\" bytea, "
         "\"value\" bytea NOT NULL, \"storedAt\" timestamp with time zone NOT NULL)";
}

std::string encode_postgres_dead_letters(const std::vector<DeadLetter>& letters, int64_t stored_at_us) {
  std::string bytes(kHeader);
  for (const DeadLetter& letter : letters) {
    std::string reason = as_utf8(letter.reason);
    std::replace(reason.begin(), reason.end(), '\0', '?');
    const int64_t latest_ms = (kTimeEnd - kEpochUs) / 1000;
    put16(8, &bytes);
    put_bytes(letter.source.topic, &bytes);
    put32(4, &bytes);
    put32(letter.source.partition.value(), &bytes);
    put_word(static_cast<uint64_t>(letter.offset.value()), &bytes);
    if (letter.timestamp_ms >= 0 && letter.timestamp_ms < latest_ms) {
      put_time(letter.timestamp_ms * 1000, &bytes);
    } else {
      put_null(&bytes);
    }
    put_bytes(reason, &bytes);
    letter.has_key ? put_bytes(letter.key, &bytes) : put_null(&bytes);
    put_bytes(letter.value, &bytes);
    put_time(stored_at_us, &bytes);
  }
  return bytes.append(kTrailer);
}

}  // namespace tidemill::serve
