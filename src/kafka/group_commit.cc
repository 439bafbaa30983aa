#include "kafka/group_commit.h"

#include <algorithm>
#include <array>
#include <map>
#include <mutex>

#include "base/clock.h"

namespace tidemill::kafka {
namespace {

constexpr int kAnswerMs = 100;

// The member, or its view of the group, is not the coordinator's.
constexpr std::array kPutOut = {
    RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID,
    RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, RD_KAFKA_RESP_ERR_FENCED_MEMBER_EPOCH,
    RD_KAFKA_RESP_ERR_STALE_MEMBER_EPOCH,
};
// It was not stored, and may be in a moment.
constexpr std::array kNotYet = {
    RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS,     RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS,
    RD_KAFKA_RESP_ERR_NOT_COORDINATOR,           RD_KAFKA_RESP_ERR__WAIT_COORD,
    RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE,
};

template <size_t N>
bool is_one_of(rd_kafka_resp_err_t code, const std::array<rd_kafka_resp_err_t, N>& codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

Status outcome(const Client& client, const std::string& what, rd_kafka_resp_err_t code) {
  if (code == RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  Error error = client.error(what, code);
  if (is_one_of(code, kPutOut)) {
    error.code = Code::kFenced;
    error.retryable = false;
  } else if (is_one_of(code, kNotYet)) {
    error.retryable = true;
  } else if (error.retryable) {
    // A timeout, a broken connection: the request may have got through.
    error.code = Code::kUnknown;
    error.retryable = false;
  }
  return error;
}

struct Registry {
  std::mutex mutex;
  uint64_t next = 0;
  std::map<std::string, std::weak_ptr<Client>> members;
};

Registry& registry() {
  static Registry all;
  return all;
}

}  // namespace

OffsetList::OffsetList(const GroupOffsets& offsets) : list_(static_cast<int>(offsets.size())) {
  for (const auto& [tp, offset] : offsets) {
    auto* entry = list_.add(tp.topic, tp.partition.value(), offset.position.offset.value());
    if (offset.position.leader_epoch >= LeaderEpoch(0)) {
      api().topic_partition_set_leader_epoch(entry, offset.position.leader_epoch.value());
    }
    entry->metadata = const_cast<char*>(offset.metadata.data());
    entry->metadata_size = offset.metadata.size();
  }
}

// The list would free what it does not own.
OffsetList::~OffsetList() {
  for (int i = 0; i < list_.get()->cnt; ++i) {
    list_.get()->elems[i].metadata = nullptr;
    list_.get()->elems[i].metadata_size = 0;
  }
}

Status commit_positions(Client& client, const std::string& what, const GroupOffsets& offsets,
                        int timeout_ms) {
  OffsetList list(offsets);
  rd_kafka_queue_t* queue = api().queue_new(client.get());
  auto code = api().commit_queue(client.get(), list.get(), queue, nullptr, nullptr);
  rd_kafka_event_t* event = nullptr;
  const int64_t deadline = Clock::system().steady_ns() + int64_t{timeout_ms} * 1'000'000;
  while (code == RD_KAFKA_RESP_ERR_NO_ERROR && event == nullptr) {
    event = api().queue_poll(queue, kAnswerMs);
    if (event == nullptr && Clock::system().steady_ns() > deadline) code = RD_KAFKA_RESP_ERR__TIMED_OUT;
  }
  if (event != nullptr) {
    code = api().event_error(event);
    const rd_kafka_topic_partition_list_t* done = api().event_topic_partition_list(event);
    for (int i = 0; done != nullptr && code == RD_KAFKA_RESP_ERR_NO_ERROR && i < done->cnt; ++i) {
      code = done->elems[i].err;
    }
    api().event_destroy(event);
  }
  api().queue_destroy(queue);
  return outcome(client, what, code);
}

std::string Members::add(const std::shared_ptr<Client>& member) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  std::erase_if(all.members, [](const auto& one) { return one.second.expired(); });
  std::string token = "member " + std::to_string(all.next++);
  all.members[token] = member;
  return token;
}

std::shared_ptr<Client> Members::find(const std::string& token) {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  auto found = all.members.find(token);
  return found == all.members.end() ? nullptr : found->second.lock();
}

}  // namespace tidemill::kafka
