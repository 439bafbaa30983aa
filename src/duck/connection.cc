#include "duck/connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <utility>

#include "base/clock.h"
#include "duck/error.h"
#include "duck/scan.h"

namespace tidemill::duck {
namespace {

Status bind_one(duckdb_prepared_statement statement, idx_t index, const Value& value) {
  duckdb_state state = DuckDBError;
  switch (value.kind) {
    case Kind::kNull:
      state = api().bind_null(statement, index);
      break;
    case Kind::kBoolean:
      state = api().bind_boolean(statement, index, value.integer != 0);
      break;
    case Kind::kInteger: {
      // A value of another type than the parameter's has DuckDB plan the statement again.
      bool narrow = api().param_type(statement, index) == DUCKDB_TYPE_INTEGER &&
                    value.integer == static_cast<int32_t>(value.integer);
      state = narrow ? api().bind_int32(statement, index, static_cast<int32_t>(value.integer))
                     : api().bind_int64(statement, index, value.integer);
      break;
    }
    case Kind::kDouble:
      state = api().bind_double(statement, index, value.real);
      break;
    case Kind::kTimestamp:
      // A TIMESTAMP where a TIMESTAMP WITH TIME ZONE is asked for would be taken for local time.
      state = api().param_type(statement, index) == DUCKDB_TYPE_TIMESTAMP_TZ
                  ? api().bind_timestamp_tz(statement, index, {value.integer})
                  : api().bind_timestamp(statement, index, {value.integer});
      break;
    case Kind::kText:
      state = api().bind_varchar_length(statement, index, value.text.data(), value.text.size());
      break;
    case Kind::kOther:
      return internal_error(fmt::format("parameter {} has no type that can be bound", index));
  }
  if (state == DuckDBSuccess) return ok_status();
  return error_of(text_or(api().prepare_error(statement), "Invalid Input Error: value cannot be bound"))
      .within(fmt::format("parameter {}", index));
}

class ConnectionImpl final : public Connection {
 public:
  explicit ConnectionImpl(std::shared_ptr<ConnectionHandle> handle) : handle_(std::move(handle)) {}

  Result<int64_t> execute(const std::string& sql, const std::vector<Value>& values) override {
    auto known = values.empty() ? kept_.end() : kept_.find(sql);
    if (known != kept_.end()) {
      TM_TRY(bind(known->second.get(), values));
      return run(known->second.get());
    }
    bool alone = false;
    TM_ASSIGN(OwnedStatement last, run_all_but_last(sql, values, &alone));
    auto result = run(last.get());
    if (result.ok() && alone && !values.empty() && kept_.size() < kMostKept) kept_[sql] = std::move(last);
    return result;
  }

  Result<int64_t> execute_kept(const std::string& sql) override {
    auto known = kept_.find(sql);
    if (known != kept_.end()) return run(known->second.get());
    TM_ASSIGN(OwnedStatement statement, run_all_but_last(sql, {}));
    auto result = run(statement.get());
    if (result.ok() && kept_.size() < kMostKept) kept_[sql] = std::move(statement);
    return result;
  }

  Result<std::unique_ptr<Rows>> query(const std::string& sql, const std::vector<Value>& values) override {
    TM_ASSIGN(OwnedStatement last, run_all_but_last(sql, values));
    return make_rows(handle_, std::move(last));
  }

  Result<std::unique_ptr<Rows>> read(const std::string& sql) override {
    OwnedStatements statements;
    idx_t count = api().extract_statements(handle_->connection, sql.c_str(), statements.out());
    if (count == 0) {
      return error_of(
          text_or(api().extract_statements_error(statements.get()), "Parser Error: no statement"));
    }
    // DuckDB makes a PIVOT two statements, the first of which creates a type of the connection's own. Whoever
    // wrote several statements wrote a semicolon between them.
    if (count > 1 && sql.find(';') < sql.find_last_not_of("; \t\r\n")) {
      return user_error("one statement at a time, please");
    }
    for (idx_t i = 0;; ++i) {
      bool last = i + 1 == count;
      OwnedStatement statement;
      if (api().prepare_extracted_statement(handle_->connection, statements.get(), i, statement.out()) !=
          DuckDBSuccess) {
        return error_of(
            text_or(api().prepare_error(statement.get()), "Invalid Input Error: cannot be prepared"));
      }
      duckdb_statement_type type = api().prepared_statement_type(statement.get());
      bool reads = last ? type == DUCKDB_STATEMENT_TYPE_SELECT || type == DUCKDB_STATEMENT_TYPE_EXPLAIN
                        : type == DUCKDB_STATEMENT_TYPE_CREATE;
      if (!reads) {
        return user_error(
            "a query reads: it is a SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW, PIVOT or EXPLAIN");
      }
      TM_TRY(bind(statement.get(), {}));
      if (last) return make_rows(handle_, std::move(statement));
      TM_TRY(run(statement.get()));
    }
  }

  Result<size_t> count_statements(const std::string& sql) override {
    OwnedStatements statements;
    const idx_t count = api().extract_statements(handle_->connection, sql.c_str(), statements.out());
    if (count > 0) return static_cast<size_t>(count);
    return error_of(text_or(api().extract_statements_error(statements.get()), "Parser Error: no statement"));
  }

  Result<std::unique_ptr<Appender>> appender(const std::string& table) override {
    return make_appender(handle_, table);
  }

  Status add_function(ScanFunction function) override {
    return register_scan(handle_->database, std::move(function), handle_.get());
  }

  void interrupt() override {
    handle_->interrupted = true;
    api().interrupt(handle_->connection);
  }

 private:
  // Statements are prepared one after another, since the first may create what the next one names.
  Result<OwnedStatement> run_all_but_last(const std::string& sql, const std::vector<Value>& values,
                                          bool* alone = nullptr) {
    OwnedStatements statements;
    idx_t count = api().extract_statements(handle_->connection, sql.c_str(), statements.out());
    if (alone != nullptr) *alone = count == 1;
    if (count == 0) {
      return error_of(
          text_or(api().extract_statements_error(statements.get()), "Parser Error: no statement"));
    }
    for (idx_t i = 0;; ++i) {
      bool last = i + 1 == count;
      OwnedStatement statement;
      if (api().prepare_extracted_statement(handle_->connection, statements.get(), i, statement.out()) !=
          DuckDBSuccess) {
        return error_of(
            text_or(api().prepare_error(statement.get()), "Invalid Input Error: cannot be prepared"));
      }
      TM_TRY(bind(statement.get(), last ? values : std::vector<Value>{}));
      if (last) return statement;
      TM_TRY(run(statement.get()));
    }
  }

  static Status bind(duckdb_prepared_statement statement, const std::vector<Value>& values) {
    idx_t wanted = api().nparams(statement);
    if (wanted != values.size()) {
      return user_error(
          fmt::format("the statement has {} parameters, but {} values were given", wanted, values.size()));
    }
    for (idx_t i = 0; i < wanted; ++i) TM_TRY(bind_one(statement, i + 1, values[i]));
    return ok_status();
  }

  // Left to itself DuckDB asks for tasks without a pause while its own threads have them all.
  static duckdb_pending_state wait_for(duckdb_pending_result pending) {
    constexpr int64_t kFirstPauseUs = 20, kLongestPauseUs = 1000;
    int64_t pause_us = kFirstPauseUs;
    while (true) {
      const duckdb_pending_state state = api().pending_execute_task(pending);
      if (api().pending_execution_is_finished(state)) return state;
      if (state != DUCKDB_PENDING_NO_TASKS_AVAILABLE) continue;
      Clock::system().sleep_us(pause_us);
      pause_us = std::min(2 * pause_us, kLongestPauseUs);
    }
  }

  static Result<int64_t> run(duckdb_prepared_statement statement) {
    OwnedPending pending;
    if (api().pending_prepared(statement, pending.out()) != DuckDBSuccess ||
        wait_for(pending.get()) == DUCKDB_PENDING_ERROR) {
      return error_of(text_or(api().pending_error(pending.get()), "Invalid Error: no message"));
    }
    OwnedResult result;
    if (api().execute_pending(pending.get(), &result.result) != DuckDBSuccess) {
      return error_of(text_or(api().result_error(&result.result), "Invalid Error: no message"));
    }
    return static_cast<int64_t>(api().rows_changed(&result.result));
  }

  static constexpr size_t kMostKept = 16;

  std::shared_ptr<ConnectionHandle> handle_;
  // Statements that were executed with values, or are to be kept: planning one costs more than running it.
  std::unordered_map<std::string, OwnedStatement> kept_;
};

}  // namespace

Result<std::unique_ptr<Connection>> make_connection(std::shared_ptr<DatabaseHandle> database) {
  auto handle = std::make_shared<ConnectionHandle>(std::move(database));
  if (api().connect(handle->database->database, &handle->connection) != DuckDBSuccess) {
    return external_error("DuckDB refused a new connection");
  }
  return std::unique_ptr<Connection>(std::make_unique<ConnectionImpl>(std::move(handle)));
}

}  // namespace tidemill::duck
