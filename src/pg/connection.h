// A connection to PostgreSQL: statements, COPY both ways, and a commit whose answer may be lost.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace tidemill::pg {

// How a server is reached. Neither is ever part of a message.
struct Options {
  // A URI (postgresql://user@host/db?sslmode=verify-full) or libpq's key=value pairs; what it leaves out
  // comes from the environment (PGHOST …) and ~/.pgpass.
  std::string connection;
  std::string password;  // empty: the connection's, the environment's or that of ~/.pgpass
  int timeout_s = 10;    // of connecting to one address, unless the connection says another
};
// "telemetry at db:5432": for messages, without user and password. Errors: the library is missing, or the
// connection cannot be parsed, or only into parts of which one may be of the password.
Result<std::string> describe(const Options& options);

// "host=h port=5432 dbname=d user=u" as libpq's clients take it, without what is secret; also with what the
// environment says of those four. Errors: as describe()'s.
Result<std::string> connection_without_secrets(const Options& options);

// "name" and 'text' for SQL, whatever they contain but for NUL.
std::string quote_identifier(std::string_view name);
std::string quote_literal(std::string_view text);

// What a statement gave. Values are texts, as PostgreSQL prints them.
class Answer {
 public:
  struct Impl;
  explicit Answer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

  size_t rows() const;
  size_t columns() const;
  std::string column_name(size_t column) const;
  uint32_t column_type(size_t column) const;  // pg_type.oid
  bool is_null(size_t row, size_t column) const;
  std::string_view text(size_t row, size_t column) const;  // "" of NULL
  int64_t integer(size_t row, size_t column) const;        // 0 of NULL. Precondition: it is one
  int64_t affected() const;                                // rows inserted, updated, copied …

 private:
  std::shared_ptr<const Impl> impl_;
};

// Used by one thread at a time, but for cancel().
class Connection {
 public:
  // Errors: kUser for what no retry can help (a wrong password), else retryable.
  static Result<std::unique_ptr<Connection>> open(const Options& options);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // One or several statements; the last one's answer.
  Result<Answer> execute(const std::string& sql);
  // One statement with $1, $2 …; nullopt is NULL.
  Result<Answer> execute(const std::string& sql, const std::vector<std::optional<std::string>>& values);
  // Ends the transaction. kUnknown where the connection was lost before the answer came.
  Status commit();
  // One statement whose rows come one by one, however many they are, and after them an answer without rows;
  // `each` may end it by an error. COPY is refused (kUser).
  Status stream(const std::string& sql, const std::function<Status(const Answer& row)>& each);

  // COPY … FROM STDIN. After any error the copy is over, and its transaction failed.
  Status begin_copy(const std::string& sql);
  Status put(std::string_view bytes);
  Result<int64_t> end_copy();  // rows
  // COPY … TO STDOUT: one call per row.
  Status copy_out(const std::string& sql, const std::function<Status(std::string_view row)>& each);

  // Not once it was lost: it is to be opened again then.
  bool alive() const;
  int backend() const;         // the server's process
  int server_version() const;  // 150018
  const std::string& place() const { return place_; }
  // Asks the server to end the statement that runs. From any thread.
  void cancel();

 private:
  Connection(void* handle, std::string place);
  Error error_of_result(void* result) const;
  Result<Answer> take(void* result);
  void leave_copy(bool in);

  void* handle_;  // PGconn
  void* cancel_;  // PGcancel
  const std::string place_;
};

}  // namespace tidemill::pg
