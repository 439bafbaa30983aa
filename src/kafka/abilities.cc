#include "kafka/abilities.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <mutex>
#include <set>
#include <utility>

#include "base/clock.h"
#include "kafka/client.h"

namespace tidemill::kafka {
namespace {

constexpr int kTrialMs = 1'000;
constexpr int kDeleteRecords = 21, kInitProducerId = 22;
constexpr std::array<std::pair<int, const char*>, 5> kTransactional = {{
    {kInitProducerId, "InitProducerId"},
    {24, "AddPartitionsToTxn"},
    {25, "AddOffsetsToTxn"},
    {26, "EndTxn"},
    {28, "TxnOffsetCommit"},
}};

// What another try does not mend.
constexpr std::array kRefusals = {
    RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION,
    RD_KAFKA_RESP_ERR_INVALID_REQUEST,
    RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT,
};

bool refuses(rd_kafka_resp_err_t code) {
  return std::find(kRefusals.begin(), kRefusals.end(), code) != kRefusals.end();
}

// What the client said, on threads of its own.
class Said {
 public:
  void add(std::string_view line) {
    std::lock_guard lock(mutex_);
    lines_.emplace_back(line);
  }
  std::vector<std::string> lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Whether transactions can begin. `said` grows meanwhile.
Status try_transactions(Client& client, Said& said, int timeout_ms, Abilities* abilities) {
  auto refuse = [&](const std::string& why) -> Status {
    abilities->transactions = false;
    abilities->without_transactions = "it refuses to begin one: " + why;
    return {};
  };
  const std::string what = "beginning to write in transactions";
  const int64_t begun_ns = Clock::system().steady_ns();
  while (true) {
    rd_kafka_error_t* error = api().init_transactions(client.get(), kTrialMs);
    api().poll(client.get(), 0);
    if (error == nullptr) return {};
    const rd_kafka_resp_err_t code = api().error_code(error);
    const bool again = api().error_is_retriable(error) != 0;
    const std::string text = api().error_string(error);
    Error failed = client.error(what, error);
    if (refuses(code)) return refuse(text);
    for (const std::string& line : said.lines()) {
      if (std::string why = coordinator_refused(line); !why.empty()) return refuse(why);
    }
    if (failed.code == Code::kFenced) return {};  // by another process that asked
    const bool over = Clock::system().steady_ns() - begun_ns > int64_t{timeout_ms} * 1'000'000;
    if (!again || over || client.hopeless(begun_ns)) return failed;
  }
}

}  // namespace

Abilities abilities_told(const std::vector<std::string>& lines) {
  std::set<int> keys;
  for (const std::string& line : lines) {
    const size_t at = line.find("ApiKey "), open = line.find('(', std::min(at, line.size()));
    if (at == std::string::npos || open == std::string::npos) continue;
    if (line.find(") Versions ", open) == std::string::npos) continue;
    keys.insert(std::atoi(line.c_str() + open + 1));
  }
  Abilities abilities;
  if (keys.empty()) return abilities;
  abilities.deletes = keys.count(kDeleteRecords) != 0;
  abilities.idempotence = keys.count(kInitProducerId) != 0;
  if (!abilities.idempotence) abilities.without_idempotence = "it offers no InitProducerId";
  for (const auto& [key, name] : kTransactional) {
    if (keys.count(key) != 0) continue;
    abilities.transactions = false;
    std::string& why = abilities.without_transactions;
    why += (why.empty() ? "it offers no " : ", ") + std::string(name);
  }
  return abilities;
}

std::string coordinator_refused(std::string_view line) {
  constexpr std::string_view kSign = "Failed to find transaction coordinator: ";
  const size_t at = line.find(kSign);
  if (at == std::string_view::npos) return {};
  const std::string_view why = line.substr(at + kSign.size());
  for (rd_kafka_resp_err_t code : kRefusals) {
    if (why.starts_with(std::string(api().err2name(code)) + ":")) return std::string(why);
  }
  return {};
}

Result<Abilities> ask_abilities(const Connection& connection, const std::string& transactional_id,
                                int timeout_ms) {
  Said said;
  Client::Options options;
  options.properties = {{"debug", "feature,eos"}, {"reconnect.backoff.max.ms", "1000"}};
  if (!transactional_id.empty()) options.properties.emplace_back("transactional.id", transactional_id);
  options.on_debug = [&said](std::string_view line) { said.add(line); };
  Connection asked = connection;
  std::erase_if(asked.properties, [](const auto& property) { return property.first == "debug"; });
  TM_ASSIGN(auto client, Client::open(asked, std::move(options)));
  TM_ASSIGN(const rd_kafka_metadata_t* metadata,
            client->metadata("what the endpoint can do", false, timeout_ms));
  api().metadata_destroy(metadata);
  Abilities abilities = abilities_told(said.lines());
  if (abilities.transactions && !transactional_id.empty()) {
    TM_TRY(try_transactions(*client, said, timeout_ms, &abilities));
  }
  return abilities;
}

}  // namespace tidemill::kafka
