// The implementations behind duck.h, known only inside this folder.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "duck/api.h"
#include "duck/duck.h"
#include "duck/handles.h"

namespace tidemill::duck {

// Keeps the database open; destroyed last.
struct DatabaseHandle {
  DatabaseHandle() = default;
  ~DatabaseHandle() {
    if (database != nullptr) api().close(&database);
  }
  DatabaseHandle(const DatabaseHandle&) = delete;
  DatabaseHandle& operator=(const DatabaseHandle&) = delete;
  duckdb_database database = nullptr;
  std::mutex mutex;
  std::string scan_error;      // of the last scan that failed; guarded by the mutex
  std::shared_ptr<void> file;  // its place among the files this process has open, given up last
};

// Shared by a Connection and the Rows and Appenders made from it, so that these may be destroyed in
// any order.
struct ConnectionHandle {
  explicit ConnectionHandle(std::shared_ptr<DatabaseHandle> owner) : database(std::move(owner)) {}
  ~ConnectionHandle() {
    if (connection != nullptr) api().disconnect(&connection);
  }
  ConnectionHandle(const ConnectionHandle&) = delete;
  ConnectionHandle& operator=(const ConnectionHandle&) = delete;
  std::shared_ptr<DatabaseHandle> database;
  duckdb_connection connection = nullptr;
  std::atomic<bool> interrupted{false};  // by Connection::interrupt, since the rows being read began
};

Result<std::unique_ptr<Connection>> make_connection(std::shared_ptr<DatabaseHandle> database);

// Takes over the statement, whose text its streaming result reads.
Result<std::unique_ptr<Rows>> make_rows(std::shared_ptr<ConnectionHandle> connection,
                                        OwnedStatement statement);

Result<std::unique_ptr<Appender>> make_appender(std::shared_ptr<ConnectionHandle> connection,
                                                const std::string& table);

}  // namespace tidemill::duck
