// Rows and dead letters in PostgreSQL.
#include <algorithm>
#include <charconv>
#include <deque>
#include <map>

#include "verify/json_fields.h"
#include "verify/stoppable_files.h"
#include "verify/stores.h"

namespace tidemill::verify {

// One snapshot; each reader has a cursor of its own in it.
class PostgresSession {
 public:
  PostgresSession(PostgresTable read, std::unique_ptr<pg::Connection> opened, std::function<bool()> stop)
      : table(std::move(read)), connection(std::move(opened)), stop_(std::move(stop)) {}

  Status go_on() const { return stop_ && stop_() ? Status(stopped()) : ok_status(); }
  std::string next_cursor() { return "verify_" + std::to_string(++cursors_); }
  // The table, or another of its schema, for SQL.
  std::string sql_name(const std::string& name) const {
    const size_t dot = name.find('.');
    if (dot == std::string::npos) return pg::quote_identifier(name);
    return pg::quote_identifier(name.substr(0, dot)) + "." + pg::quote_identifier(name.substr(dot + 1));
  }
  std::string dead_letters() const {
    const size_t dot = table.table.find('.');
    return sql_name(dot == std::string::npos ? table.dead_letters
                                             : table.table.substr(0, dot + 1) + table.dead_letters);
  }

  const PostgresTable table;
  const std::unique_ptr<pg::Connection> connection;

 private:
  const std::function<bool()> stop_;
  int cursors_ = 0;
};

namespace {

// The rows of one query, some thousands at a time.
class Cursor {
 public:
  static Result<std::unique_ptr<Cursor>> open(std::shared_ptr<PostgresSession> session,
                                              const std::string& query) {
    auto cursor = std::unique_ptr<Cursor>(new Cursor(std::move(session)));
    TM_TRY(
        cursor->session_->connection->execute("DECLARE " + cursor->name_ + " NO SCROLL CURSOR FOR " + query));
    return cursor;
  }
  ~Cursor() { (void)session_->connection->execute("CLOSE " + name_).ok(); }
  Cursor(const Cursor&) = delete;
  Cursor& operator=(const Cursor&) = delete;

  // False at the end.
  Result<bool> next() {
    if (answer_ && at_ + 1 < answer_->rows()) {
      ++at_;
      return true;
    }
    TM_TRY(session_->go_on());
    TM_ASSIGN(pg::Answer answer, session_->connection->execute("FETCH 4000 FROM " + name_));
    at_ = 0;
    answer_.emplace(std::move(answer));
    return answer_->rows() > 0;
  }
  bool is_null(size_t column) const { return answer_->is_null(at_, column); }
  std::string_view text(size_t column) const { return answer_->text(at_, column); }

 private:
  explicit Cursor(std::shared_ptr<PostgresSession> session)
      : session_(std::move(session)), name_(session_->next_cursor()) {}

  std::shared_ptr<PostgresSession> session_;
  const std::string name_;
  std::optional<pg::Answer> answer_;
  size_t at_ = 0;
};

template <class Number>
std::optional<Number> to_number(std::string_view text) {
  Number value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int64_t> to_integer(std::string_view text) {
  return to_number<int64_t>(text);
}
// "17.00" → "17", as numeric(10,2) holds it.
std::string_view whole(std::string_view text) {
  const size_t point = text.find('.');
  if (point == text.npos || text.find_first_not_of('0', point + 1) != text.npos) return text;
  return text.substr(0, point);
}

// "2026-11-21 09:07:00.123456+00"; without an offset it is UTC.
std::optional<int64_t> to_time(std::string_view text) {
  int64_t us = 0;
  if (parse_timestamp(text, &us)) return us;
  if (parse_timestamp(std::string(text) + "Z", &us)) return us;
  return std::nullopt;
}

class PostgresRowStore;

class PostgresRows final : public StoredRows {
 public:
  PostgresRows(const PostgresRowStore& store, std::unique_ptr<Cursor> cursor, size_t fields)
      : store_(store), cursor_(std::move(cursor)), fields_(fields) {}
  Result<bool> next(StoredRow* row) override;

 private:
  void read_field(size_t field, StoredRow* row);
  FieldValue json(std::string_view text, const Narrowing& narrows);
  std::optional<int64_t> integer(int column) const;
  std::optional<int64_t> time(int column) const;

  const PostgresRowStore& store_;
  std::unique_ptr<Cursor> cursor_;
  const size_t fields_;
  int64_t number_ = -1;
  std::deque<std::string> texts_;
};

class PostgresRowStore final : public RowStore {
 public:
  PostgresRowStore(std::shared_ptr<PostgresSession> session, std::vector<FieldSpec> fields)
      : session_(std::move(session)), fields_(std::move(fields)) {}

  Status prepare(const StoreColumns& names);
  const StoreShape& shape() const override { return shape_; }
  Result<std::unique_ptr<StoredRows>> rows(bool with_fields) override;
  std::string describe(const StoredRow& row) const override { return "row " + std::to_string(row.place); }

 private:
  friend class PostgresRows;
  std::string expression_of(const FieldSpec& spec, Narrowing* narrows) const;
  Narrowing narrowing_of(const std::string& column) const;
  int add_extra(const std::string& name);
  bool has(const std::string& name) const { return types_.contains(name); }

  std::shared_ptr<PostgresSession> session_;
  const std::vector<FieldSpec> fields_;
  StoreShape shape_;
  std::map<std::string, std::string> types_;  // of the table's columns
  std::map<std::string, int64_t> modifiers_;  // of the same
  std::vector<std::string> expressions_;      // per field; "NULL" where the table has none
  std::vector<std::string> extras_;
  int partition_ = -1, offset_ = -1, enqueued_ = -1, stored_ = -1;
};

// The ways in which the table may hold a field: a column of its name, of its path joined by an underscore, a
// member of one that holds JSON.
std::string PostgresRowStore::expression_of(const FieldSpec& spec, Narrowing* narrows) const {
  std::string scored;
  for (const std::string& name : spec.path) scored += (scored.empty() ? "" : "_") + name;
  for (const std::string& name : {spec.name, scored}) {
    if (!has(name)) continue;
    *narrows = narrowing_of(name);
    return pg::quote_identifier(name);
  }
  if (spec.path.size() < 2 || !has(spec.path[0])) return "NULL";
  std::string expression = pg::quote_identifier(spec.path[0]);
  const std::string& type = types_.at(spec.path[0]);
  if (type != "jsonb" && type != "json") expression += "::json";
  const bool is_json = spec.type == FieldType::kJson;
  for (size_t n = 1; n < spec.path.size(); ++n)
    expression += (n + 1 < spec.path.size() || is_json ? "->" : "->>") + pg::quote_literal(spec.path[n]);
  // Numbers there are numeric.
  if (type == "jsonb") *narrows = {is_json ? Narrowing::Kind::kJsonb : Narrowing::Kind::kDecimal, 0};
  // A member that is null is as one that is not there.
  return is_json ? "NULLIF((" + expression + ")::text, 'null')" : "(" + expression + ")";
}

Narrowing PostgresRowStore::narrowing_of(const std::string& column) const {
  using Kind = Narrowing::Kind;
  const std::string& type = types_.at(column);
  if (type == "real") return {Kind::kReal, 0};
  if (type == "uuid") return {Kind::kUuid, 0};
  if (type == "jsonb") return {Kind::kJsonb, 0};
  if (type == "smallint" || type == "integer" || type == "bigint") return {Kind::kDecimal, 0};
  if (type != "numeric") return {};
  // atttypmod: -1, or 4 + (precision << 16 | scale), of which the scale has 11 bits with its sign.
  const int64_t modifier = modifiers_.at(column) - 4;
  const int32_t scale = (static_cast<int32_t>(modifier & 0x7FF) ^ 0x400) - 0x400;
  return modifier < 0 || scale < 0 ? Narrowing{Kind::kDecimal, 0} : Narrowing{Kind::kRounded, scale};
}

int PostgresRowStore::add_extra(const std::string& name) {
  if (name.empty() || !has(name)) return -1;
  extras_.push_back(pg::quote_identifier(name));
  return static_cast<int>(extras_.size()) - 1;
}

Status PostgresRowStore::prepare(const StoreColumns& names) {
  const std::string table = session_->sql_name(session_->table.table);
  TM_ASSIGN(pg::Answer columns, session_->connection->execute(
                                    "SELECT attname, format_type(atttypid, NULL), atttypmod FROM "
                                    "pg_attribute WHERE attrelid = to_regclass(" +
                                    pg::quote_literal(table) + ") AND attnum > 0 AND NOT attisdropped"));
  if (columns.rows() == 0)
    return user_error(session_->connection->place() + " has no table " + table, Code::kNotFound);
  for (size_t n = 0; n < columns.rows(); ++n) {
    types_.emplace(columns.text(n, 0), columns.text(n, 1));
    modifiers_.emplace(columns.text(n, 0), columns.integer(n, 2));
  }
  for (const FieldSpec& spec : fields_) {
    shape_.narrows.emplace_back();
    expressions_.push_back(expression_of(spec, &shape_.narrows.back()));
    shape_.has_field.push_back(expressions_.back() == "NULL" ? 0 : 1);
  }
  partition_ = add_extra(names.partition);
  offset_ = add_extra(names.offset);
  enqueued_ = add_extra(names.enqueued_at);
  stored_ = add_extra(names.stored_at);
  shape_.positions = partition_ >= 0 && offset_ >= 0;
  shape_.enqueued_at = enqueued_ >= 0;
  shape_.stored_at = stored_ >= 0;
  shape_.unordered = true;
  return ok_status();
}

Result<std::unique_ptr<StoredRows>> PostgresRowStore::rows(bool with_fields) {
  const size_t fields = with_fields ? fields_.size() : std::min<size_t>(1, fields_.size());
  std::string sql;
  for (const std::string& extra : extras_) sql += (sql.empty() ? "" : ", ") + extra;
  for (size_t n = 0; n < fields; ++n) sql += (sql.empty() ? "" : ", ") + expressions_[n];
  TM_ASSIGN(auto cursor,
            Cursor::open(session_, "SELECT " + sql + " FROM " + session_->sql_name(session_->table.table)));
  return std::unique_ptr<StoredRows>(std::make_unique<PostgresRows>(*this, std::move(cursor), fields));
}

std::optional<int64_t> PostgresRows::integer(int extra) const {
  if (extra < 0 || cursor_->is_null(static_cast<size_t>(extra))) return std::nullopt;
  return to_integer(cursor_->text(static_cast<size_t>(extra)));
}
std::optional<int64_t> PostgresRows::time(int extra) const {
  if (extra < 0 || cursor_->is_null(static_cast<size_t>(extra))) return std::nullopt;
  return to_time(cursor_->text(static_cast<size_t>(extra)));
}

FieldValue PostgresRows::json(std::string_view text, const Narrowing& narrows) {
  if (narrows.kind == Narrowing::Kind::kJsonb) return narrowed(FieldValue::of_text(text), narrows, &texts_);
  texts_.emplace_back();
  if (!canonical_json(text, &texts_.back())) texts_.back() = text;
  return FieldValue::of_text(texts_.back());
}

void PostgresRows::read_field(size_t field, StoredRow* row) {
  FieldValue& value = row->fields[field];
  value = {};
  const size_t column = store_.extras_.size() + field;
  if (cursor_->is_null(column)) return;
  const std::string_view text = cursor_->text(column);
  switch (store_.fields_[field].type) {
    case FieldType::kBoolean:
      if (text == "t" || text == "true") value = FieldValue::of_boolean(true);
      if (text == "f" || text == "false") value = FieldValue::of_boolean(false);
      break;
    case FieldType::kInteger:
    case FieldType::kBigint:
      if (auto number = to_integer(whole(text))) value = FieldValue::of_integer(*number);
      break;
    case FieldType::kDouble:
      if (store_.shape_.narrows[field].kind == Narrowing::Kind::kReal) {
        if (auto real = to_number<float>(text)) value = FieldValue::of_double(static_cast<double>(*real));
      } else if (auto real = to_number<double>(text)) {
        value = FieldValue::of_double(*real);
      }
      break;
    case FieldType::kTimestamp:
      if (auto us = to_time(text)) value = FieldValue::of_timestamp(*us);
      break;
    case FieldType::kText:
      value = FieldValue::of_text(text);
      break;
    case FieldType::kJson:
      value = json(text, store_.shape_.narrows[field]);
      break;
  }
  if (value.kind != FieldValue::Kind::kNull) return;
  value = FieldValue::of_text(text);
  row->unreadable[field] = 1;
}

Result<bool> PostgresRows::next(StoredRow* row) {
  TM_ASSIGN(bool more, cursor_->next());
  if (!more) return false;
  texts_.clear();
  row->place = ++number_;
  row->wrong.clear();
  row->fields.resize(fields_);
  row->unreadable.assign(fields_, 0);
  for (size_t n = 0; n < fields_; ++n) read_field(n, row);
  row->partition.reset();
  if (auto partition = integer(store_.partition_)) row->partition = static_cast<int32_t>(*partition);
  row->offset = integer(store_.offset_);
  row->enqueued_us = time(store_.enqueued_);
  row->stored_us = time(store_.stored_);
  return true;
}

// ---- dead letters

class PostgresDeadLetterRows final : public DeadLetterRows {
 public:
  explicit PostgresDeadLetterRows(std::unique_ptr<Cursor> cursor) : cursor_(std::move(cursor)) {}
  Result<bool> next(DeadLetter* letter) override {
    TM_ASSIGN(bool more, cursor_->next());
    if (!more) return false;
    letter->topic = cursor_->text(0);
    letter->partition = static_cast<int32_t>(to_integer(cursor_->text(1)).value_or(-1));
    letter->offset = to_integer(cursor_->text(2)).value_or(-1);
    letter->reason = cursor_->text(3);
    const std::string_view digits = cursor_->text(4);
    auto nibble = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
    value_.clear();
    for (size_t n = 0; n + 1 < digits.size(); n += 2)
      value_.push_back(static_cast<char>(nibble(digits[n]) << 4 | nibble(digits[n + 1])));
    letter->value = value_;
    return true;
  }

 private:
  std::unique_ptr<Cursor> cursor_;
  std::string value_;
};

class PostgresDeadLetterStore final : public DeadLetterStore {
 public:
  explicit PostgresDeadLetterStore(std::shared_ptr<PostgresSession> session) : session_(std::move(session)) {}
  Result<std::unique_ptr<DeadLetterRows>> rows() override {
    TM_ASSIGN(auto cursor,
              Cursor::open(session_,
                           "SELECT topic, \"partition\", \"offset\", reason, encode(\"value\", 'hex') FROM " +
                               session_->dead_letters()));
    return std::unique_ptr<DeadLetterRows>(std::make_unique<PostgresDeadLetterRows>(std::move(cursor)));
  }

 private:
  std::shared_ptr<PostgresSession> session_;
};

}  // namespace

Result<std::shared_ptr<PostgresSession>> open_postgres(const PostgresTable& table,
                                                       std::function<bool()> stop) {
  TM_ASSIGN(auto connection, pg::Connection::open(table.connection));
  TM_TRY(connection->execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"));
  return std::make_shared<PostgresSession>(table, std::move(connection), std::move(stop));
}

Result<std::unique_ptr<RowStore>> open_postgres_rows(std::shared_ptr<PostgresSession> session,
                                                     const StoreColumns& columns,
                                                     const std::vector<FieldSpec>& fields) {
  auto store = std::make_unique<PostgresRowStore>(std::move(session), fields);
  TM_TRY(store->prepare(columns));
  return std::unique_ptr<RowStore>(std::move(store));
}

Result<std::unique_ptr<DeadLetterStore>> open_postgres_dead_letters(
    std::shared_ptr<PostgresSession> session) {
  TM_ASSIGN(pg::Answer found,
            session->connection->execute("SELECT 1 WHERE to_regclass(" +
                                         pg::quote_literal(session->dead_letters()) + ") IS NOT NULL"));
  if (found.rows() == 0) return std::unique_ptr<DeadLetterStore>();
  return std::unique_ptr<DeadLetterStore>(std::make_unique<PostgresDeadLetterStore>(std::move(session)));
}

}  // namespace tidemill::verify
