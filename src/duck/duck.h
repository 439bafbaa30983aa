// The one way in which the program speaks to DuckDB: its C API, from libduckdb.so, which is loaded
// the first time a database is opened (a solution without DuckDB never loads it).
//
// A Database may be shared by threads; a Connection, Rows or Appender is used by one at a time.
// Errors carry DuckDB's own message; kDiskFull and I/O errors are Domain::kExternal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

// duckdb.h's handles, without its header.
struct _duckdb_data_chunk;
struct _duckdb_vector;

namespace tidemill::duck {

// The type of a result column, as far as callers tell them apart.
enum class Kind { kNull, kBoolean, kInteger, kDouble, kTimestamp, kText, kOther };

// A streaming result: chunk after chunk, in bounded memory.
class Rows {
 public:
  virtual ~Rows() = default;
  virtual size_t column_count() const = 0;
  virtual const std::string& column_name(size_t column) const = 0;
  virtual std::string column_type(size_t column) const = 0;  // as SQL says it: "STRUCT(a DOUBLE)"
  virtual Kind column_kind(size_t column) const = 0;
  // Loads the next chunk; its number of rows, 0 at the end.
  virtual Result<size_t> next() = 0;
  // Values of the loaded chunk, meaningless where is_null(). Precondition: the kind fits. integer():
  // any integer type up to 64 bits (UBIGINT by its bits), and timestamps as microseconds since 1970 UTC,
  // rounded towards the past. text(): VARCHAR, and the bytes of a BLOB (which is kOther); borrowed until
  // next().
  virtual bool is_null(size_t column, size_t row) const = 0;
  virtual int64_t integer(size_t column, size_t row) const = 0;
  virtual double real(size_t column, size_t row) const = 0;
  virtual bool boolean(size_t column, size_t row) const = 0;
  virtual std::string_view text(size_t column, size_t row) const = 0;
  // Any value as text, as DuckDB casts it to VARCHAR; times with a zone in UTC, NULL as "NULL". Slow:
  // for people.
  virtual std::string display(size_t column, size_t row) const = 0;
  // Any value as JSON on one line: structs and maps as objects, lists and arrays as arrays, values of type
  // JSON as they are, numbers by all their digits (doubles by the fewest that name them); any other value,
  // nan and inf too, as the text that display() gives. Slow, as that is.
  virtual void append_json(size_t column, size_t row, std::string* out) const = 0;
};

// A value to bind.
struct Value {
  Kind kind = Kind::kNull;
  int64_t integer = 0;
  double real = 0;
  std::string text;
  static Value of(int64_t value) { return {Kind::kInteger, value, 0, {}}; }
  static Value of(double value) { return {Kind::kDouble, 0, value, {}}; }
  static Value of(std::string value) { return {Kind::kText, 0, 0, std::move(value)}; }
  static Value timestamp(int64_t us) { return {Kind::kTimestamp, us, 0, {}}; }
  static Value null() { return {}; }
};

// Rows that the program itself gives, read front to back.
class Scan {
 public:
  virtual ~Scan() = default;
  // How many threads may call next() at once, each of which gets rows of its own.
  virtual size_t threads() const { return 1; }
  // Fills rows 0, 1 … of the vectors (with the functions of api.h), `most` at most. One for each column of
  // the function, null where the query does not read it. Returns the number of rows, 0 at the end.
  virtual Result<size_t> next(const std::vector<_duckdb_vector*>& columns, size_t most) = 0;
};

struct ScanColumn {
  std::string name;
  std::string type;  // as SQL says it: "BIGINT", "STRUCT(a DOUBLE)"
};

// A table function of SQL without arguments: `FROM name()`. `open` is called for each of its calls, from any
// thread, as long as the database lives.
struct ScanFunction {
  std::string name;
  std::vector<ScanColumn> columns;
  std::function<Result<std::unique_ptr<Scan>>()> open;
};

// Appends whole data chunks to one table inside the connection's transaction.
class Appender {
 public:
  virtual ~Appender() = default;
  // The duckdb_data_chunk to fill with the functions of api.h, up to vector_size() rows; the caller sets
  // its size. Valid as long as the appender, but its data and validity pointers only until append_chunk().
  virtual _duckdb_data_chunk* chunk() = 0;
  virtual size_t vector_size() const = 0;
  virtual Status append_chunk() = 0;  // hands the filled chunk over and resets it
  // What was appended and not flushed when the appender is destroyed is dropped, except that DuckDB
  // flushes by itself now and then: atomicity is the transaction's work. After an error: destroy it.
  virtual Status flush() = 0;
};

class Connection {
 public:
  virtual ~Connection() = default;
  // `sql` may hold several statements; values are bound to the last one ($1, $2 … or ?), whose result or
  // count of rows is returned. A new statement ends the Rows that are still being read; Rows and Appenders
  // may outlive the Connection.
  //
  // Statements without a result that anyone reads. Returns the number of rows changed.
  virtual Result<int64_t> execute(const std::string& sql, const std::vector<Value>& values = {}) = 0;
  // The same of one statement without values that is run again and again: it is planned once.
  virtual Result<int64_t> execute_kept(const std::string& sql) = 0;
  virtual Result<std::unique_ptr<Rows>> query(const std::string& sql,
                                              const std::vector<Value>& values = {}) = 0;
  // As query(), of one statement that only reads (SELECT, SHOW, DESCRIBE, EXPLAIN, PIVOT and their kin).
  // Errors: kInvalid for any other, which is then not run. It is for whoever asks on behalf of somebody
  // else; a read-only transaction keeps out what a reading statement may still write (EXPLAIN ANALYZE).
  virtual Result<std::unique_ptr<Rows>> read(const std::string& sql) = 0;
  // How many statements DuckDB makes of the text. Errors: it does not parse.
  virtual Result<size_t> count_statements(const std::string& sql) = 0;
  // Columns in the table's order. `table` is a name in the current schema, taken as it is: no quotes.
  virtual Result<std::unique_ptr<Appender>> appender(const std::string& table) = 0;
  // A function that statements of this connection alone may call. No other of the database has its name.
  virtual Status add_function(ScanFunction function) = 0;
  // Stops what runs on this connection (Code::kStopped); from any thread.
  virtual void interrupt() = 0;
};

class Database {
 public:
  // `path` ":memory:" or a file. `settings` are DuckDB's configuration names (access_mode,
  // memory_limit, threads, temp_directory …). Errors: kUser with the way out where libduckdb.so
  // cannot be found (searched: TIDEMILL_DUCKDB; else beside the program, in ../lib/tidemill, where CMake
  // found it, the system); kExternal and retryable, naming the holder, where another process has the file
  // open; kExists where this process has. The time zone of connections is UTC until SQL sets another.
  static Result<std::shared_ptr<Database>> open(
      const std::string& path, const std::vector<std::pair<std::string, std::string>>& settings = {});
  virtual ~Database() = default;
  virtual Result<std::unique_ptr<Connection>> connect() = 0;
  virtual Status add_function(ScanFunction function) = 0;
  // From now on SQL reaches no files but the database's own and those in `directories`, and changes no
  // settings; for good. Paths are absolute.
  virtual Status lock_down(const std::vector<std::string>& directories = {}) = 0;
  // Whether it still answers. An error is final: DuckDB gives a database up for good when it cannot write a
  // checkpoint (no memory, no room), though what was committed is durable; opened again, it is whole.
  virtual Status check() = 0;
};

}  // namespace tidemill::duck
