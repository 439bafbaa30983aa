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
    "pairs that libpq understands; in a URI's password '/' is written %2F, '@' %40 and '%' %25";
constexpr const char* kMisread =
    "serve.postgres.connection is a URI that libpq does not read as it is meant: its host, port or database "
    "would have a part of something else; in a password '/' is written %2F and '@' %40, and a port is a "
    "number";

bool is_uri(std::string_view text) {
  return text.starts_with("postgresql://") || text.starts_with("postgres://");
}

using Parsed = std::unique_ptr<PQconninfoOption, void (*)(PQconninfoOption*)>;

// "" where the connection does not say.
std::string value_of(const Parsed& parsed, std::string_view keyword) {
  for (const PQconninfoOption* one = parsed.get(); one->keyword != nullptr; ++one) {
    if (keyword == one->keyword) return text_or_empty(one->val);
  }
  return {};
}

// Whether libpq takes a part of the password for host, port or database: what divides them is in it as it is.
bool misread(std::string_view connection, const Parsed& parsed) {
  if (is_uri(value_of(parsed, "dbname"))) return true;
  if (!is_uri(connection)) return false;
  std::string_view place = connection.substr(connection.find("://") + 3);
  const size_t user_ends = place.find_first_of("@/");
  if (user_ends != place.npos && place[user_ends] == '@') place.remove_prefix(user_ends + 1);
  return place.substr(0, place.find('?')).find('@') != place.npos ||
         value_of(parsed, "host").find('@') != std::string::npos ||
         value_of(parsed, "port").find_first_not_of("0123456789,") != std::string::npos;
}

Result<Parsed> parse(const std::string& connection) {
  TM_TRY(load_api());
  char* problem = nullptr;
  Parsed parsed(api().conninfoParse(connection.c_str(), &problem), api().conninfoFree);
  if (problem != nullptr) api().freemem(problem);
  if (!parsed) return user_error(kUnreadable);
  if (misread(connection, parsed)) return user_error(kMisread);
  return parsed;
}

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
  TM_ASSIGN(const Parsed parsed, parse(options.connection));
  auto value = [&](std::string_view keyword, const char* variable) {
    std::string said = value_of(parsed, keyword);
    return said.empty() ? text_or_empty(std::getenv(variable)) : said;
  };
  const std::string port = value("port", "PGPORT");
  return place_of(value("dbname", "PGDATABASE"), value("host", "PGHOST"), port.empty() ? "5432" : port);
}

Result<std::string> connection_without_secrets(const Options& options) {
  TM_ASSIGN(const Parsed parsed, parse(options.connection));
  std::string text;
  for (PQconninfoOption* one = parsed.get(); one->keyword != nullptr; ++one) {
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
  // quote_literal() counts on the first; times and doubles are printed one way, doubles so that they read
  // back the same. What a database or role says of time is meant for people.
  auto set = opened->execute(
      "SET standard_conforming_strings = on; SET timezone = 'UTC'; SET datestyle = 'ISO'; "
      "SET extra_float_digits = 1; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0");
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

// Ends what a COPY has begun, in either direction, and takes what is still to come.
void Connection::leave_copy(bool in) {
  if (in) (void)api().putCopyEnd(conn(handle_), "not wanted");
  if (in) return;
  cancel();
  for (char* row = nullptr; api().getCopyData(conn(handle_), &row, 0) > 0;) api().freemem(row);
}

Status Connection::stream(const std::string& sql, const std::function<Status(const Answer&)>& each) {
  const int sent =
      api().sendQueryParams(conn(handle_), sql.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0);
  if (sent != 1) return error_of_result(nullptr);
  api().setSingleRowMode(conn(handle_));
  Status outcome;
  while (PGresult* result = api().getResult(conn(handle_))) {
    const ExecStatusType status = api().resultStatus(result);
    Result<Answer> answer = take(result);
    if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT) {
      leave_copy(status == PGRES_COPY_IN);
      if (outcome.ok())
        outcome =
            user_error("a query returns rows; COPY does not: ask for them by SELECT, or copy with psql");
    }
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
