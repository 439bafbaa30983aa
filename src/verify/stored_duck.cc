// Rows and dead letters in DuckDB.
#include <algorithm>
#include <cctype>
#include <deque>

#include "verify/duck_sql.h"
#include "verify/json_fields.h"
#include "verify/stoppable_files.h"
#include "verify/stores.h"

namespace tidemill::verify {
namespace {

// "main.rawdata" → "main"."rawdata".
std::string sql_quoted_table(std::string_view name) {
  std::string out;
  for (;;) {
    size_t dot = name.find('.');
    out += sql_quoted(name.substr(0, dot));
    if (dot == std::string_view::npos) return out;
    out += '.';
    name.remove_prefix(dot + 1);
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

struct Column {
  std::string name;
  std::string type;
};

class DuckRowStore;

class DuckRows final : public StoredRows {
 public:
  DuckRows(const DuckRowStore& store, std::unique_ptr<duck::Rows> rows, size_t fields)
      : store_(store), rows_(std::move(rows)), fields_(fields) {}
  Result<bool> next(StoredRow* row) override;

 private:
  void read_field(size_t column, size_t field, StoredRow* row);
  std::optional<int64_t> integer(int column, bool timestamp) const;

  const DuckRowStore& store_;
  std::unique_ptr<duck::Rows> rows_;
  size_t fields_;
  size_t at_ = 0;
  size_t loaded_ = 0;
  int64_t number_ = -1;
  std::deque<std::string> texts_;
};

class DuckRowStore final : public RowStore {
 public:
  DuckRowStore(std::shared_ptr<DuckSession> session, std::vector<FieldSpec> fields)
      : session_(std::move(session)), fields_(std::move(fields)) {}

  Status prepare(const DuckTable& table, const StoreColumns& names);
  const StoreShape& shape() const override { return shape_; }
  Result<std::unique_ptr<StoredRows>> rows(bool with_fields) override;
  std::string describe(const StoredRow& row) const override {
    return (has_row_id_ ? "rowid " : "row ") + std::to_string(row.place);
  }

 private:
  friend class DuckRows;
  bool binds(const std::string& expression) const;
  const Column* find(std::string_view name) const;
  std::string field_expression(const FieldSpec& spec) const;
  // Adds a column of the store to every query; its number there, or -1.
  int add_extra(const std::string& name);

  std::shared_ptr<DuckSession> session_;
  std::vector<FieldSpec> fields_;
  StoreShape shape_;
  std::string from_;  // FROM … WHERE …
  std::string table_;
  std::string order_;  // ORDER BY, where the database does not keep the order by itself
  std::vector<Column> columns_;
  std::vector<std::string> expressions_;  // per field; "NULL" where the table has none
  std::vector<std::string> extras_;
  bool has_row_id_ = false;
  int partition_ = -1, offset_ = -1, enqueued_ = -1, stored_ = -1;
};

bool DuckRowStore::binds(const std::string& expression) const {
  return session_->connection().query("SELECT " + expression + " FROM " + table_ + " LIMIT 0").ok();
}

const Column* DuckRowStore::find(std::string_view name) const {
  std::string wanted = lower(name);
  for (const Column& column : columns_) {
    if (lower(column.name) == wanted) return &column;
  }
  return nullptr;
}

std::string cast_for(const std::string& expression, const std::string& type, FieldType wanted) {
  if (wanted == FieldType::kText || wanted == FieldType::kJson) {
    return type == "VARCHAR" ? expression : "CAST(" + expression + " AS VARCHAR)";
  }
  if (wanted == FieldType::kTimestamp && type.starts_with("TIMESTAMP_")) {
    return "CAST(" + expression + " AS TIMESTAMP)";
  }
  return expression;
}

std::string_view sql_type_of(FieldType type) {
  switch (type) {
    case FieldType::kBoolean:
      return "BOOLEAN";
    case FieldType::kInteger:
    case FieldType::kBigint:
      return "BIGINT";
    case FieldType::kDouble:
      return "DOUBLE";
    default:
      return "VARCHAR";
  }
}

// The ways in which a table may hold a field: a column of its name, of its path joined by a dot or
// an underscore, a member of a STRUCT, a member of a JSON column, a column of the last name alone.
std::string DuckRowStore::field_expression(const FieldSpec& spec) const {
  std::string dotted, scored;
  for (const std::string& name : spec.path) {
    dotted += (dotted.empty() ? "" : ".") + name;
    scored += (scored.empty() ? "" : "_") + name;
  }
  for (const std::string& name : {spec.name, dotted, scored}) {
    if (const Column* column = find(name)) return cast_for(sql_quoted(column->name), column->type, spec.type);
  }
  if (spec.path.size() < 2) return "NULL";
  if (const Column* column = find(spec.path[0])) {
    std::string inner = sql_quoted(column->name);
    std::string json = "'$";
    for (size_t n = 1; n < spec.path.size(); ++n) {
      inner = "struct_extract(" + inner + ", " + sql_quoted(spec.path[n], '\'') + ")";
      std::string step = sql_quoted(spec.path[n]);
      json += "." + sql_quoted(step, '\'').substr(1, sql_quoted(step, '\'').size() - 2);
    }
    if (column->type.starts_with("STRUCT(")) {
      bool text = spec.type == FieldType::kText || spec.type == FieldType::kJson;
      std::string expression = text ? "CAST(" + inner + " AS VARCHAR)" : inner;
      return binds(expression) ? expression : "NULL";
    }
    if (column->type == "JSON" || column->type == "VARCHAR") {
      std::string expression = "CAST(json_extract_string(" + sql_quoted(column->name) + ", " + json +
                               "') AS " + std::string(sql_type_of(spec.type)) + ")";
      return binds(expression) ? expression : "NULL";
    }
  }
  if (const Column* column = find(spec.path.back())) {
    return cast_for(sql_quoted(column->name), column->type, spec.type);
  }
  return "NULL";
}

int DuckRowStore::add_extra(const std::string& name) {
  const Column* column = name.empty() ? nullptr : find(name);
  if (column == nullptr) return -1;
  extras_.push_back(cast_for(sql_quoted(column->name), column->type, FieldType::kTimestamp));
  return static_cast<int>(extras_.size()) - 1;
}

Status DuckRowStore::prepare(const DuckTable& table, const StoreColumns& names) {
  table_ = sql_quoted_table(table.table);
  from_ = " FROM " + table_ + (table.where.empty() ? "" : " WHERE (" + table.where + ")");
  duck::Connection& connection = session_->connection();
  {
    TM_ASSIGN(auto all, connection.query("SELECT * FROM " + table_ + " LIMIT 0"));
    for (size_t n = 0; n < all->column_count(); ++n)
      columns_.push_back({all->column_name(n), all->column_type(n)});
  }
  has_row_id_ = binds("rowid");
  if (has_row_id_) {
    TM_ASSIGN(auto setting,
              connection.query("SELECT CAST(current_setting('preserve_insertion_order') AS VARCHAR)"));
    TM_ASSIGN(size_t got, setting->next());
    if (got != 1 || setting->text(0, 0) != "true") order_ = " ORDER BY rowid";
  }
  for (const FieldSpec& spec : fields_) {
    expressions_.push_back(field_expression(spec));
    shape_.has_field.push_back(expressions_.back() == "NULL" ? 0 : 1);
  }
  partition_ = add_extra(names.partition);
  offset_ = add_extra(names.offset);
  enqueued_ = add_extra(names.enqueued_at);
  stored_ = add_extra(names.stored_at);
  shape_.positions = partition_ >= 0 && offset_ >= 0;
  shape_.enqueued_at = enqueued_ >= 0;
  shape_.stored_at = stored_ >= 0;
  shape_.unordered = table.unordered;
  return ok_status();
}

Result<std::unique_ptr<StoredRows>> DuckRowStore::rows(bool with_fields) {
  size_t fields = with_fields ? fields_.size() : std::min<size_t>(1, fields_.size());
  std::string sql = "SELECT " + std::string(has_row_id_ ? "rowid" : "0");
  for (const std::string& extra : extras_) sql += ", " + extra;
  for (size_t n = 0; n < fields; ++n) sql += ", " + expressions_[n];
  TM_ASSIGN(auto rows, session_->connection().query(sql + from_ + order_));
  return std::unique_ptr<StoredRows>(std::make_unique<DuckRows>(*this, std::move(rows), fields));
}

std::optional<int64_t> DuckRows::integer(int extra, bool timestamp) const {
  if (extra < 0) return std::nullopt;
  auto column = static_cast<size_t>(extra) + 1;
  if (rows_->is_null(column, at_)) return std::nullopt;
  duck::Kind kind = rows_->column_kind(column);
  int64_t parsed = 0;
  if (timestamp && kind == duck::Kind::kText && parse_timestamp(rows_->text(column, at_), &parsed))
    return parsed;
  if (kind != (timestamp ? duck::Kind::kTimestamp : duck::Kind::kInteger)) return std::nullopt;
  return rows_->integer(column, at_);
}

void DuckRows::read_field(size_t column, size_t field, StoredRow* row) {
  FieldValue& value = row->fields[field];
  value = {};
  FieldType type = store_.fields_[field].type;
  duck::Kind kind = rows_->column_kind(column);
  if (kind == duck::Kind::kNull || rows_->is_null(column, at_)) return;
  if (type == FieldType::kBoolean && kind == duck::Kind::kBoolean) {
    value = FieldValue::of_boolean(rows_->boolean(column, at_));
  } else if ((type == FieldType::kInteger || type == FieldType::kBigint) && kind == duck::Kind::kInteger) {
    value = FieldValue::of_integer(rows_->integer(column, at_));
  } else if (type == FieldType::kDouble && kind == duck::Kind::kDouble) {
    value = FieldValue::of_double(rows_->real(column, at_));
  } else if (type == FieldType::kTimestamp && kind == duck::Kind::kTimestamp) {
    value = FieldValue::of_timestamp(rows_->integer(column, at_));
  } else if (type == FieldType::kText && kind == duck::Kind::kText) {
    value = FieldValue::of_text(rows_->text(column, at_));
  } else if (int64_t parsed = 0; type == FieldType::kTimestamp && kind == duck::Kind::kText &&
                                 parse_timestamp(rows_->text(column, at_), &parsed)) {
    value = FieldValue::of_timestamp(parsed);
  } else if (type == FieldType::kJson && kind == duck::Kind::kText) {
    texts_.emplace_back();
    if (!canonical_json(rows_->text(column, at_), &texts_.back())) texts_.back() = rows_->text(column, at_);
    value = FieldValue::of_text(texts_.back());
  } else {
    texts_.push_back(rows_->display(column, at_));
    value = FieldValue::of_text(texts_.back());
    row->unreadable[field] = 1;
  }
}

Result<bool> DuckRows::next(StoredRow* row) {
  if (at_ + 1 < loaded_) {
    ++at_;
  } else {
    TM_TRY(store_.session_->go_on());
    TM_ASSIGN(loaded_, rows_->next());
    at_ = 0;
    if (loaded_ == 0) return false;
  }
  texts_.clear();
  if (store_.has_row_id_) {
    int64_t number = rows_->integer(0, at_);
    if (number <= number_)
      return internal_error("DuckDB gave its rows in another order than they were inserted in");
    number_ = number;
  } else {
    ++number_;
  }
  row->place = number_;
  row->wrong.clear();
  row->fields.resize(fields_);
  row->unreadable.assign(fields_, 0);
  for (size_t n = 0; n < fields_; ++n) read_field(1 + store_.extras_.size() + n, n, row);
  std::optional<int64_t> partition = integer(store_.partition_, false);
  row->partition.reset();
  if (partition) row->partition = static_cast<int32_t>(*partition);
  row->offset = integer(store_.offset_, false);
  row->enqueued_us = integer(store_.enqueued_, true);
  row->stored_us = integer(store_.stored_, true);
  return true;
}

// ---- dead letters

class DuckDeadLetterRows final : public DeadLetterRows {
 public:
  DuckDeadLetterRows(const DuckSession& session, std::unique_ptr<duck::Rows> rows)
      : session_(session), rows_(std::move(rows)) {}
  Result<bool> next(DeadLetter* letter) override {
    if (at_ + 1 < loaded_) {
      ++at_;
    } else {
      TM_TRY(session_.go_on());
      TM_ASSIGN(loaded_, rows_->next());
      at_ = 0;
      if (loaded_ == 0) return false;
    }
    auto text = [this](size_t column) { return rows_->is_null(column, at_) ? "" : rows_->text(column, at_); };
    auto integer = [this](size_t column) {
      return rows_->is_null(column, at_) ? -1 : rows_->integer(column, at_);
    };
    letter->topic = text(0);
    letter->partition = static_cast<int32_t>(integer(1));
    letter->offset = integer(2);
    letter->reason = text(3);
    // Hexadecimal on the way, because any byte may be in it.
    std::string_view digits = text(4);
    value_.clear();
    auto nibble = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
    for (size_t n = 0; n + 1 < digits.size(); n += 2) {
      value_.push_back(static_cast<char>(nibble(digits[n]) << 4 | nibble(digits[n + 1])));
    }
    letter->value = value_;
    return true;
  }

 private:
  const DuckSession& session_;
  std::unique_ptr<duck::Rows> rows_;
  size_t at_ = 0;
  size_t loaded_ = 0;
  std::string value_;
};

class DuckDeadLetterStore final : public DeadLetterStore {
 public:
  DuckDeadLetterStore(std::shared_ptr<DuckSession> session, std::string table)
      : session_(std::move(session)), table_(std::move(table)) {}
  Result<std::unique_ptr<DeadLetterRows>> rows() override {
    TM_ASSIGN(auto rows, session_->connection().query(
                             "SELECT topic, CAST(partition AS BIGINT), CAST(\"offset\" AS BIGINT), reason, "
                             "hex(value) FROM " +
                             sql_quoted_table(table_)));
    return std::unique_ptr<DeadLetterRows>(std::make_unique<DuckDeadLetterRows>(*session_, std::move(rows)));
  }

 private:
  std::shared_ptr<DuckSession> session_;
  std::string table_;
};

}  // namespace

Result<std::shared_ptr<DuckSession>> DuckSession::open(const DuckTable& table, std::function<bool()> stop) {
  auto session = std::make_shared<DuckSession>();
  session->stop_ = std::move(stop);
  session->database_ = table.database;
  if (!session->database_) {
    TM_ASSIGN(session->database_, duck::Database::open(table.path, {{"access_mode", "READ_ONLY"}}));
  }
  TM_ASSIGN(session->connection_, session->database_->connect());
  TM_TRY(session->connection_->execute("BEGIN TRANSACTION"));
  return session;
}

Status DuckSession::go_on() const {
  return stop_ && stop_() ? Status(stopped()) : ok_status();
}

DuckSession::~DuckSession() {
  if (connection_) static_cast<void>(connection_->execute("ROLLBACK"));
}

Result<std::unique_ptr<RowStore>> open_duck_rows(std::shared_ptr<DuckSession> session, const DuckTable& table,
                                                 const StoreColumns& columns,
                                                 const std::vector<FieldSpec>& fields) {
  auto store = std::make_unique<DuckRowStore>(std::move(session), fields);
  TM_TRY(store->prepare(table, columns));
  return std::unique_ptr<RowStore>(std::move(store));
}

Result<std::unique_ptr<DeadLetterStore>> open_duck_dead_letters(std::shared_ptr<DuckSession> session,
                                                                const std::string& table) {
  std::string name = table.substr(table.rfind('.') == std::string::npos ? 0 : table.rfind('.') + 1);
  TM_ASSIGN(auto found, session->connection().query(
                            "SELECT 1 FROM information_schema.tables WHERE lower(table_name) = lower(?)",
                            {duck::Value::of(name)}));
  TM_ASSIGN(size_t count, found->next());
  if (count == 0) return std::unique_ptr<DeadLetterStore>();
  return std::unique_ptr<DeadLetterStore>(std::make_unique<DuckDeadLetterStore>(std::move(session), table));
}

}  // namespace tidemill::verify
