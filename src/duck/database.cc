#include <fmt/format.h>

#include <filesystem>
#include <mutex>
#include <set>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/logging.h"
#include "duck/connection.h"
#include "duck/error.h"
#include "duck/scan.h"

namespace tidemill::duck {
namespace {

constexpr const char* kMemory = ":memory:";
// Given when a database is opened it is shown by current_setting(), and bounds nothing.
constexpr const char* kSpillLimit = "max_temp_directory_size";
constexpr int kCheckTurns = 50;
constexpr int64_t kCheckPauseUs = 10'000;

// The files that this process has open. DuckDB's lock keeps other processes out, but not a second
// Database of the same process, and closing one of the two would release the lock of both.
class OpenFiles {
 public:
  static OpenFiles& instance() {
    static OpenFiles files;
    return files;
  }
  bool add(const std::string& path) {
    std::lock_guard lock(mutex_);
    return open_.insert(path).second;
  }
  void remove(const std::string& path) {
    std::lock_guard lock(mutex_);
    open_.erase(path);
  }

 private:
  std::mutex mutex_;
  std::set<std::string> open_;
};

// A file's place in OpenFiles, given up when the last copy of the pointer goes.
Result<std::shared_ptr<void>> reserve(const std::string& path) {
  if (path == kMemory) return std::shared_ptr<void>();
  std::error_code error;
  auto real = std::filesystem::weakly_canonical(path, error);
  std::string name = error ? path : real.string();
  if (!OpenFiles::instance().add(name)) {
    return user_error(
        fmt::format("the DuckDB database {} is already open in this process; connect to that one", path),
        Code::kExists);
  }
  return std::shared_ptr<void>(nullptr, [name](void*) { OpenFiles::instance().remove(name); });
}

class DatabaseImpl final : public Database {
 public:
  explicit DatabaseImpl(std::shared_ptr<DatabaseHandle> handle) : handle_(std::move(handle)) {}
  Result<std::unique_ptr<Connection>> connect() override { return make_connection(handle_); }
  Status add_function(ScanFunction function) override { return register_scan(handle_, std::move(function)); }
  Status lock_down(const std::vector<std::string>& directories) override {
    TM_ASSIGN(auto connection, connect());
    std::string list;
    for (const std::string& directory : directories) {
      list += (list.empty() ? "'" : ", '");
      for (char c : directory) list.append(c == '\'' ? 2 : 1, c);
      list += '\'';
    }
    if (!list.empty()) TM_TRY(connection->execute("SET GLOBAL allowed_directories = [" + list + "]"));
    TM_TRY(connection->execute("SET GLOBAL enable_external_access = false"));
    TM_TRY(connection->execute("SET GLOBAL lock_configuration = true"));
    return ok_status();
  }

  Status check() override {
    TM_ASSIGN(auto connection, connect());
    for (int turn = 0;; ++turn) {
      auto asked = connection->execute("SELECT 1");
      if (asked.ok()) return {};
      if (asked.error().message.starts_with(kFatal)) return std::move(asked).error();
      // Without memory even this is refused, which says nothing.
      if (!asked.error().retryable || turn == kCheckTurns) return {};
      Clock::system().sleep_us(kCheckPauseUs);
    }
  }

 private:
  std::shared_ptr<DatabaseHandle> handle_;
};

Result<OwnedConfig> make_config(const std::vector<std::pair<std::string, std::string>>& settings) {
  OwnedConfig config;
  if (api().create_config(config.out()) != DuckDBSuccess) return internal_error("DuckDB: no configuration");
  // Nothing is ever fetched from the network behind the user's back.
  static_cast<void>(api().set_config(config.get(), "autoinstall_known_extensions", "false"));
  for (const auto& [name, value] : settings) {
    if (name == kSpillLimit) continue;
    if (api().set_config(config.get(), name.c_str(), value.c_str()) != DuckDBSuccess) {
      return user_error(fmt::format("DuckDB has no setting {} that can be {}", name, value));
    }
  }
  return config;
}

// Texts made from times with a zone must not depend on the machine's zone. A DuckDB without ICU has
// no zones, and there nothing is to be set.
void use_utc(DatabaseImpl& database) {
  auto connection = database.connect();
  if (!connection.ok()) return;
  if (auto set = connection.value()->execute("SET GLOBAL TimeZone = 'UTC'"); !set.ok()) {
    log_debug("DuckDB without time zones: " + set.error().message);
  }
}

}  // namespace

Result<std::shared_ptr<Database>> Database::open(
    const std::string& path, const std::vector<std::pair<std::string, std::string>>& settings) {
  TM_TRY(load_api());
  TM_ASSIGN(auto file, reserve(path));
  TM_ASSIGN(OwnedConfig config, make_config(settings));
  auto handle = std::make_shared<DatabaseHandle>();
  handle->file = std::move(file);
  char* message = nullptr;
  if (api().open_ext(path.c_str(), &handle->database, config.get(), &message) != DuckDBSuccess) {
    return open_error(path, take_text(message));
  }
  auto database = std::make_shared<DatabaseImpl>(std::move(handle));
  use_utc(*database);
  for (const auto& [name, value] : settings) {
    if (name != kSpillLimit) continue;
    TM_ASSIGN(auto connection, database->connect());
    TM_TRY(connection->execute("SET GLOBAL " + name + " = '" + value + "'"));
  }
  return std::shared_ptr<Database>(std::move(database));
}

}  // namespace tidemill::duck
