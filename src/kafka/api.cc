#include "kafka/api.h"

#include <fmt/format.h>

#include "base/library.h"

namespace tidemill::kafka {
namespace {

// Its transactions survive what older ones do not.
constexpr int kOldest = 0x020c0000;

LibraryTable<Api> library;

std::string fill(SymbolBinder& bind, Api& table) {
  bind("rd_kafka_version", table.version);
  bind("rd_kafka_version_str", table.version_str);
  if (!bind.missing().empty()) return "is not librdkafka";
  if (table.version() < kOldest) return fmt::format("is librdkafka {}, older than 2.12", table.version_str());
  bind("rd_kafka_new", table.new_client);
#define TM_KAFKA_BIND(name) bind("rd_kafka_" #name, table.name);
  TM_KAFKA_FUNCTIONS(TM_KAFKA_BIND)
#undef TM_KAFKA_BIND
  return {};
}

}  // namespace

std::vector<std::string> library_candidates() {
  return library_places("TIDEMILL_LIBRDKAFKA", "librdkafka.so.1", TIDEMILL_RDKAFKA_LIBRARY);
}

Result<const Api*> load_api() {
  return library.load(library_candidates(), fill, [](const std::string& tried) {
    return user_error(
        "cannot load librdkafka (librdkafka.so.1, 2.12 or later), which speaks to Kafka; `make kafka` builds "
        "it, or set TIDEMILL_LIBRDKAFKA to its path. Tried:" +
            tried,
        Code::kFailed);
  });
}

const Api& api() {
  return library.get();
}

}  // namespace tidemill::kafka
