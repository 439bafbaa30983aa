#include "kafka/api.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <system_error>

namespace tidemill::kafka {
namespace {

// Its transactions survive what older ones do not.
constexpr int kOldest = 0x020c0000;

std::atomic<const Api*> loaded{nullptr};

template <class Function>
bool bind_symbol(void* library, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, symbol));
  return function != nullptr;
}

// Returns what is wrong with the library at `path`, or an empty text when `table` is filled.
std::string try_library(const std::string& path, Api& table) {
  // Never unloaded: its threads may outlive any Client.
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* reason = dlerror();
    return reason == nullptr ? "cannot be loaded" : reason;
  }
  std::string problem;
  if (!bind_symbol(library, "rd_kafka_version", table.version) ||
      !bind_symbol(library, "rd_kafka_version_str", table.version_str)) {
    problem = "is not librdkafka";
  } else if (table.version() < kOldest) {
    problem = fmt::format("is librdkafka {}, older than 2.12", table.version_str());
  } else {
    const char* missing = nullptr;
    if (!bind_symbol(library, "rd_kafka_new", table.new_client)) missing = "rd_kafka_new";
#define TM_KAFKA_BIND(name)                                                       \
  if (!bind_symbol(library, "rd_kafka_" #name, table.name) && missing == nullptr) \
    missing =                                                                     \
        "rd_"                                                                     \
        "kafka_" #name;
    TM_KAFKA_FUNCTIONS(TM_KAFKA_BIND)
#undef TM_KAFKA_BIND
    if (missing != nullptr) problem = fmt::format("lacks {}", missing);
  }
  if (!problem.empty()) dlclose(library);
  return problem;
}

}  // namespace

std::vector<std::string> library_candidates() {
  if (const char* chosen = std::getenv("TIDEMILL_LIBRDKAFKA"); chosen != nullptr && *chosen != '\0') {
    return {chosen};
  }
  std::vector<std::string> candidates;
  std::error_code error;
  auto program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    auto folder = program.parent_path();
    candidates.push_back((folder / "librdkafka.so.1").string());
    candidates.push_back((folder.parent_path() / "lib" / "tidemill" / "librdkafka.so.1").string());
  }
#ifdef TIDEMILL_RDKAFKA_LIBRARY
  candidates.emplace_back(TIDEMILL_RDKAFKA_LIBRARY);
#endif
  candidates.emplace_back("librdkafka.so.1");
  return candidates;
}

Result<const Api*> load_api() {
  if (const Api* table = loaded.load(std::memory_order_acquire)) return table;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (const Api* table = loaded.load(std::memory_order_acquire)) return table;

  static Api table;
  std::string tried;
  for (const auto& path : library_candidates()) {
    std::string problem = try_library(path, table);
    if (problem.empty()) {
      loaded.store(&table, std::memory_order_release);
      return &table;
    }
    tried += fmt::format("\n  {}: {}", path, problem);
  }
  return user_error(
      "cannot load librdkafka (librdkafka.so.1, 2.12 or later), which speaks to Kafka; `make kafka` builds "
      "it, "
      "or set TIDEMILL_LIBRDKAFKA to its path. Tried:" +
          tried,
      Code::kFailed);
}

const Api& api() {
  const Api* table = loaded.load(std::memory_order_acquire);
  TM_CHECK(table != nullptr, "Kafka used before a client was opened");
  return *table;
}

}  // namespace tidemill::kafka
