#include "pg/connection.h"

#include <array>
#include <charconv>
#include <cstdlib>
#include <utility>

#include "pg/api.h"
#include "pg/error.h"

namespace tidemill::pg {
namespace {

PGconn* conn(void* handle) {
  return static_cast<PGconn*>(handle);
}
PGresult* result_of(void* result) {
  return static_cast<PGresult*>(result);
}

std::string text_or_empty(const char* text) {
  return text == nullptr ? std::string() : std::string(text);
}

std::string quoted(std::string_view text, char quote) {
  std::string result(1, quote);
  for (char c : text) {
    result += c;
    if (c == quote) result += c;
  }
  return result + quote;
}

std::string place_of(const std::string& database, const std::string& host, const std::string& port) {
  return "PostgreSQL" + (database.empty() ? "" : " database " + database) + " at " +
         (host.empty() ? "localhost" : host) + (port.empty() || host.starts_with("/") ? "" : ":" + port);
}

// What its messages cite of a text that it cannot parse may hold the password.
constexpr const char* kUnreadable =
    "serve.postgres.connection is no URI (postgresql://user@host:5432/database) and no list of key=value "
    "pairs "
    "that libpq understands";

void ignore_notice(void*, const PGresult*) {}

}  // namespace

struct Answer::Impl {
  explicit Impl(PGresult* taken) : result(taken) {}
  ~Impl() { api().clear(result); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  PGresult* result;
};

std::string quote_identifier(std::string_view name) {
  return quoted(name, '"');
}
std::string quote_literal(std::string_view text) {
  return quoted(text, '\'');
}

size_t Answer::rows() const {
  return static_cast<size_t>(api().ntuples(impl_->result));
}
size_t Answer::columns() const {
  return static_cast<size_t>(api().nfields(impl_->result));
}
std::string Answer::column_name(size_t column) const {
  return text_or_empty(api().fname(impl_->result, static_cast<int>(column)));
}
uint32_t Answer::column_type(size_t column) const {
  return api().ftype(impl_->result, static_cast<int>(column));
}
bool Answer::is_null(size_t row, size_t column) const {
  return api().getisnull(impl_->result, static_cast<int>(row), static_cast<int>(column)) != 0;
}
std::string_view Answer::text(size_t row, size_t column) const {
  const int r = static_cast<int>(row), c = static_cast<int>(column);
  return {api().getvalue(impl_->result, r, c), static_cast<size_t>(api().getlength(impl_->result, r, c))};
}
int64_t Answer::integer(size_t row, size_t column) const {
  if (is_null(row, column)) return 0;
  std::string_view digits = text(row, column);
  int64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  TM_CHECK(error == std::errc() && end == digits.data() + digits.size(), "the column is of integers");
  return value;
}
int64_t Answer::affected() const {
  std::string_view digits = api().cmdTuples(impl_->result);
  int64_t value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

Result<std::string> describe(const Options& options) {
  TM_TRY(load_api());
  char* problem = nullptr;
  PQconninfoOption* parsed = api().conninfoParse(options.connection.c_str(), &problem);
  if (problem != nullptr) api().freemem(problem);
  if (parsed == nullptr) return user_error(kUnreadable);
  auto value = [&](std::string_view keyword, const char* variable) {
    for (PQconninfoOption* one = parsed; one->keyword != nullptr; ++one) {
      if (keyword == one->keyword && one->val != nullptr) return std::string(one->val);
    }
    return text_or_empty(std::getenv(variable));
  };
  std::string port = value("port", "PGPORT");
  std::string place =
      place_of(value("dbname", "PGDATABASE"), value("host", "PGHOST"), port.empty() ? "5432" : port);
  api().conninfoFree(parsed);
  return place;
}

Result<std::string> connection_without_secrets(const Options& options) {
  TM_TRY(load_api());
  char* problem = nullptr;
  PQconninfoOption* parsed = api().conninfoParse(options.connection.c_str(), &problem);
  if (problem != nullptr) api().freemem(problem);
  if (parsed == nullptr) return user_error(kUnreadable);
  std::string text;
  for (PQconninfoOption* one = parsed; one->keyword != nullptr; ++one) {
    const std::string_view keyword = one->keyword;
    std::string value = text_or_empty(one->val);
    const bool where = keyword == "host" || keyword == "port" || keyword == "dbname" || keyword == "user";
    if (value.empty() && where && one->envvar != nullptr) value = text_or_empty(std::getenv(one->envvar));
    if (value.empty() || *one->dispchar == '*') continue;  // which marks passwords
    text += (text.empty() ? "" : " ") + std::string(keyword) + "=";
    if (value.find_first_of(" '\\") == std::string::npos) {
      text += value;
      continue;
    }
    text += '\'';
    for (char c : value) text += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    text += '\'';
  }
  api().conninfoFree(parsed);
  return text;
}

Result<std::unique_ptr<Connection>> Connection::open(const Options& options) {
  TM_ASSIGN(std::string place, describe(options));
  // What the connection says itself comes later, and counts.
  std::vector<const char*> names = {"connect_timeout",  "keepalives_idle",  "keepalives_interval",
                                    "keepalives_count", "tcp_user_timeout", "fallback_application_name",
                                    "client_encoding"};
  const std::string timeout = std::to_string(options.timeout_s);
  std::vector<const char*> values = {timeout.c_str(), "10", "5", "3", "30000", "tidemill", "UTF8"};
  names.push_back("dbname");
  values.push_back(options.connection.c_str());
  if (!options.password.empty()) {
    names.push_back("password");
    values.push_back(options.password.c_str());
  }
  names.push_back(nullptr);
  values.push_back(nullptr);
  PGconn* handle = api().connectdbParams(names.data(), values.data(), 1);
  if (handle == nullptr || api().status(handle) != CONNECTION_OK) {
    Error error = connect_error(place, handle == nullptr ? "out of memory" : api().errorMessage(handle));
    if (handle != nullptr) api().finish(handle);
    return error;
  }
  place = place_of(text_or_empty(api().db(handle)), text_or_empty(api().host(handle)),
                   text_or_empty(api().port(handle)));
  api().setNoticeReceiver(handle, ignore_notice, nullptr);
  std::unique_ptr<Connection> opened(new Connection(handle, std::move(place)));
  // quote_literal() counts on the first; times are printed one way.
  auto set =
      opened->execute("SET standard_conforming_strings = on; SET timezone = 'UTC'; SET datestyle = 'ISO'");
  if (!set.ok()) return std::move(set).error();
  return opened;
}

Connection::Connection(void* handle, std::string place)
    : handle_(handle), cancel_(api().getCancel(conn(handle))), place_(std::move(place)) {}

Connection::~Connection() {
  api().freeCancel(static_cast<PGcancel*>(cancel_));
  api().finish(conn(handle_));
}

bool Connection::alive() const {
  return api().status(conn(handle_)) == CONNECTION_OK;
}
int Connection::backend() const {
  return api().backendPID(conn(handle_));
}
int Connection::server_version() const {
  return api().serverVersion(conn(handle_));
}

void Connection::cancel() {
  std::array<char, 256> why{};
  (void)api().cancel(static_cast<PGcancel*>(cancel_), why.data(), static_cast<int>(why.size()));
}

Error Connection::error_of_result(void* result) const {
  Said said;
  if (result != nullptr) {
    auto field = [&](int code) { return text_or_empty(api().resultErrorField(result_of(result), code)); };
    said = {field(PG_DIAG_SQLSTATE), field(PG_DIAG_MESSAGE_PRIMARY), field(PG_DIAG_MESSAGE_DETAIL),
            field(PG_DIAG_MESSAGE_HINT)};
  }
  if (said.message.empty()) said.message = api().errorMessage(conn(handle_));
  if (said.message.empty()) said.message = "the connection was lost";
  return error_of(said).within(place_);
}

// Takes over the result; an error where it is one, or is no result of a statement.
Result<Answer> Connection::take(void* result) {
  switch (result == nullptr ? PGRES_FATAL_ERROR : api().resultStatus(result_of(result))) {
    case PGRES_COMMAND_OK:
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
      return Answer(std::make_shared<const Answer::Impl>(result_of(result)));
    default:
      break;
  }
  Error error = error_of_result(result);
  if (result != nullptr) api().clear(result_of(result));
  return error;
}

Result<Answer> Connection::execute(const std::string& sql) {
  return take(api().exec(conn(handle_), sql.c_str()));
}

Result<Answer> Connection::execute(const std::string& sql,
                                   const std::vector<std::optional<std::string>>& values) {
  std::vector<const char*> texts;
  for (const auto& value : values) texts.push_back(value ? value->c_str() : nullptr);
  return take(api().execParams(conn(handle_), sql.c_str(), static_cast<int>(texts.size()), nullptr,
                               texts.data(), nullptr, nullptr, 0));
}

Status Connection::commit() {
  PGresult* result = api().exec(conn(handle_), "COMMIT");
  const bool answered = alive() && result != nullptr;
  const bool committed = answered && api().resultStatus(result) == PGRES_COMMAND_OK &&
                         std::string_view(api().cmdStatus(result)) == "COMMIT";
  if (committed) {
    api().clear(result);
    return {};
  }
  if (answered && api().resultStatus(result) == PGRES_COMMAND_OK) {
    api().clear(result);
    return internal_error(place_ + ": a transaction that had failed was to be committed");
  }
  Error error = error_of_result(result);
  if (result != nullptr) api().clear(result);
  if (!answered) {
    error.code = Code::kUnknown;
    error.retryable = false;
  }
  return error;
}

Status Connection::stream(const std::string& sql, const std::function<Status(const Answer&)>& each) {
  const int sent =
      api().sendQueryParams(conn(handle_), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0);
  if (sent != 1) return error_of_result(nullptr);
  api().setSingleRowMode(conn(handle_));
  Status outcome;
  while (PGresult* result = api().getResult(conn(handle_))) {
    Result<Answer> answer = take(result);
    if (!outcome.ok()) continue;
    outcome = answer.ok() ? each(*answer) : Status(answer.error());
    if (!outcome.ok()) cancel();
  }
  return outcome;
}

Status Connection::begin_copy(const std::string& sql) {
  TM_TRY(execute(sql));
  return {};
}

Status Connection::put(std::string_view bytes) {
  if (api().putCopyData(conn(handle_), bytes.data(), static_cast<int>(bytes.size())) == 1) return {};
  return error_of_result(nullptr);
}

Result<int64_t> Connection::end_copy() {
  if (api().putCopyEnd(conn(handle_), nullptr) != 1) return error_of_result(nullptr);
  Result<Answer> answer = take(api().getResult(conn(handle_)));
  while (PGresult* rest = api().getResult(conn(handle_))) api().clear(rest);
  if (!answer.ok()) return std::move(answer).error();
  return answer->affected();
}

Status Connection::copy_out(const std::string& sql, const std::function<Status(std::string_view)>& each) {
  TM_TRY(execute(sql));
  Status outcome;
  for (char* row = nullptr;;) {
    const int size = api().getCopyData(conn(handle_), &row, 0);
    if (size < 0) break;
    if (outcome.ok()) {
      outcome = each({row, static_cast<size_t>(size)});
      if (!outcome.ok()) cancel();
    }
    api().freemem(row);
  }
  Status ended;
  while (PGresult* result = api().getResult(conn(handle_))) {
    Result<Answer> answer = take(result);
    if (!answer.ok() && ended.ok()) ended = std::move(answer).error();
  }
  return outcome.ok() ? ended : outcome;
}

}  // namespace tidemill::pg
