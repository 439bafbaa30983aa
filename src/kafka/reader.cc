#include "kafka/reader.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/clock.h"
#include "base/logging.h"
#include "kafka/group_commit.h"
#include "kafka/topic_pattern.h"

namespace tidemill::kafka {
namespace {

constexpr size_t kMessages = 4096;  // of one call
constexpr int64_t kProbePauseNs = 1'000'000'000;
constexpr int kProbeMs = 3'000;
constexpr int64_t kLeaveNs = 2'000'000'000;  // how long leaving a group may take
// A member that does not poll for so long is put out of its group. A restore of much state is one wait.
constexpr int kMaxPollMs = 600'000;

// How soon a partition is found that is added to a topic, or a new topic that matches a pattern.
constexpr const char* kLookForTopicsMs = "5000";

// Headers as Record::headers has them; empty where there are none.
std::string headers_of(const rd_kafka_message_t* message) {
  rd_kafka_headers_t* headers = nullptr;
  if (api().message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
  std::vector<RecordHeader> all;
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  for (size_t i = 0; api().header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR;
       ++i) {
    RecordHeader header;
    header.key = name;
    if (value != nullptr) header.value.emplace(static_cast<const char*>(value), size);
    all.push_back(std::move(header));
  }
  return all.empty() ? std::string() : encode_headers(all);
}

void add_membership(const Membership& membership, Properties* out) {
  // No shorter than a session, as librdkafka demands.
  const int max_poll_ms = std::max(kMaxPollMs, membership.session_timeout_ms);
  out->emplace_back("max.poll.interval.ms", std::to_string(max_poll_ms));
  if (!membership.instance.empty()) out->emplace_back("group.instance.id", membership.instance);
  if (membership.protocol == Membership::Protocol::kConsumer) {
    out->emplace_back("group.protocol", "consumer");
    return;
  }
  out->emplace_back("partition.assignment.strategy", "cooperative-sticky");
  out->emplace_back("session.timeout.ms", std::to_string(membership.session_timeout_ms));
  out->emplace_back("heartbeat.interval.ms", std::to_string(membership.heartbeat_ms));
}

}  // namespace

// What the views of a poll's batches point into. librdkafka can be closed only when no message of it is left.
struct Reader::Kept {
  explicit Kept(std::shared_ptr<Client> of) : client(std::move(of)) {}
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() {
    for (rd_kafka_message_t* message : messages) api().message_destroy(message);
  }
  std::shared_ptr<Client> client;
  std::vector<rd_kafka_message_t*> messages;
  std::deque<std::string> headers;
};

Result<std::unique_ptr<Reader>> Reader::open(const Connection& connection, ReaderOptions options) {
  Client::Options made;
  made.role = Role::kConsumer;
  made.properties = {
      {"group.id", options.group},
      {"enable.auto.commit", "false"},
      {"enable.auto.offset.store", "false"},
      {"auto.offset.reset", "error"},
      {"enable.partition.eof", "true"},
      {"isolation.level", options.committed_only ? "read_committed" : "read_uncommitted"},
      {"check.crcs", "true"},
      {"fetch.wait.max.ms", std::to_string(options.fetch_wait_ms)},
      {"fetch.message.max.bytes", std::to_string(2u << 20)},
      {"fetch.error.backoff.ms", "50"},
      {"fetch.queue.backoff.ms", "10"},  // where enough was fetched; else a second
      {"queued.max.messages.kbytes", std::to_string(std::max<size_t>(options.queue_bytes >> 10, 1024))},
      {"queued.min.messages", "20000"},
      {"reconnect.backoff.max.ms", "1000"},
  };
  if (options.membership) add_membership(*options.membership, &made.properties);
  if (options.membership)
    made.properties.emplace_back("topic.metadata.refresh.interval.ms", kLookForTopicsMs);
  if (options.membership && is_pattern(options.membership->topic)) {
    made.properties.emplace_back("topic.blacklist", "^__");
  }
  for (auto& property : options.properties) made.properties.push_back(std::move(property));
  if (options.membership) made.on_rebalance = &Reader::on_rebalance;
  // The callback's argument is the reader, which is there only once the client is.
  auto self = std::make_unique<Reader*>(nullptr);
  made.opaque = self.get();
  TM_ASSIGN(auto client, Client::open(connection, std::move(made)));
  auto reader = std::unique_ptr<Reader>(
      new Reader(std::move(client), std::move(self), options.membership.has_value(), options.batch_bytes));
  reader->by_pattern_ = options.membership && is_pattern(options.membership->topic);
  if (options.membership) TM_TRY(reader->join(options.membership->topic));
  return reader;
}

Reader::Reader(std::shared_ptr<Client> client, std::unique_ptr<Reader*> self, bool member, size_t batch_bytes)
    : client_(std::move(client)),
      batch_bytes_(batch_bytes),
      self_(std::move(self)),
      member_(member),
      messages_(kMessages) {
  *self_ = this;
  if (member_) token_ = Members::add(client_);
  api().poll_set_consumer(client_->get());
  queue_ = api().queue_get_consumer(client_->get());
}

Reader::~Reader() {
  // Batches may outlive it: nothing more is fetched for them.
  if (joined_) {
    leave();
  } else {
    (void)api().assign(client_->get(), nullptr);
  }
  api().queue_destroy(queue_);
}

Status Reader::join(const std::string& topic) {
  PartitionList list(1);
  list.add(topic, RD_KAFKA_PARTITION_UA);
  auto code = api().subscribe(client_->get(), list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error("joining the group", code);
  joined_ = true;
  return {};
}

// Gives back what it holds, so that others need not wait for the end of its session. A static member's place
// is kept all the same, unless it leaves for good: who ends its subscription before it closes leaves the
// group.
void Reader::leave() {
  leaving_ = true;
  const int64_t deadline = Clock::system().steady_ns() + kLeaveNs;
  if (for_good_ && api().unsubscribe(client_->get()) == RD_KAFKA_RESP_ERR_NO_ERROR) {
    while (!given_.empty() && !gave_back_ && Clock::system().steady_ns() < deadline) {
      if (rd_kafka_message_t* message = api().consume_queue(queue_, 20)) api().message_destroy(message);
    }
  }
  rd_kafka_queue_t* last = api().queue_new(client_->get());
  rd_kafka_error_t* error = api().consumer_close_queue(client_->get(), last);
  while (error == nullptr && api().consumer_closed(client_->get()) == 0 &&
         Clock::system().steady_ns() < deadline) {
    if (rd_kafka_message_t* message = api().consume_queue(last, 20)) api().message_destroy(message);
  }
  if (error != nullptr) api().error_destroy(error);
  api().queue_destroy(last);
}

// Called from within poll() and leave(), by their thread.
void Reader::on_rebalance(rd_kafka_t* client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* list,
                          void* self) {
  Reader& reader = **static_cast<Reader**>(self);
  const bool assigned = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
  if (reader.leaving_ || list->cnt == 0) {
    // Nothing is to be done before the answer.
    reader.gave_back_ |= !assigned;
    rd_kafka_error_t* error =
        assigned ? api().incremental_assign(client, list) : api().incremental_unassign(client, list);
    if (error != nullptr) api().error_destroy(error);
    return;
  }
  GroupChange change;
  change.kind = assigned                        ? GroupChange::kAssigned
                : api().assignment_lost(client) ? GroupChange::kLost
                                                : GroupChange::kRevoked;
  for (int i = 0; i < list->cnt; ++i) {
    change.partitions.push_back({list->elems[i].topic, Partition(list->elems[i].partition)});
  }
  reader.ever_assigned_ |= assigned;
  if (!assigned) reader.revoked_.insert(change.partitions.begin(), change.partitions.end());
  reader.changes_.push_back(std::move(change));
}

std::vector<GroupChange> Reader::take_changes() {
  return std::exchange(changes_, {});
}

// Adds to what the client fetches.
Status Reader::give(const std::vector<std::pair<TopicPartition, Position>>& partitions) {
  PartitionList list(static_cast<int>(partitions.size()));
  for (const auto& [tp, position] : partitions) {
    auto* entry = list.add(tp.topic, tp.partition.value(), position.offset.value());
    if (position.leader_epoch >= LeaderEpoch(0)) {
      api().topic_partition_set_leader_epoch(entry, position.leader_epoch.value());
    }
    given_.insert(tp);
  }
  if (auto* error = api().incremental_assign(client_->get(), list.get()))
    return client_->error("assignment of partitions", error);
  return {};
}

Status Reader::take_back(const std::vector<TopicPartition>& partitions) {
  PartitionList list(static_cast<int>(partitions.size()));
  for (const TopicPartition& tp : partitions) {
    list.add(tp.topic, tp.partition.value());
    given_.erase(tp);
  }
  if (auto* error = api().incremental_unassign(client_->get(), list.get()))
    return client_->error("assignment of partitions", error);
  return {};
}

Status Reader::assign_all() {
  PartitionList list(static_cast<int>(assigned_.size()));
  for (const auto& [tp, one] : assigned_) {
    auto* entry = list.add(tp.topic, tp.partition.value(), one.next.offset.value());
    if (one.next.leader_epoch >= LeaderEpoch(0)) {
      api().topic_partition_set_leader_epoch(entry, one.next.leader_epoch.value());
    }
  }
  auto code = api().assign(client_->get(), list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error("assignment of partitions", code);
  return {};
}

Status Reader::assign(const std::vector<std::pair<TopicPartition, Position>>& partitions) {
  for (const auto& [tp, position] : partitions) assigned_[tp] = {position, false, false};
  if (!member_) return assign_all();
  // Those that were parked are moved.
  std::vector<TopicPartition> parked;
  for (const auto& [tp, position] : partitions) {
    if (given_.count(tp) != 0) parked.push_back(tp);
  }
  if (!parked.empty()) TM_TRY(take_back(parked));
  TM_TRY(give(partitions));
  if (parked.empty()) return {};
  PartitionList list(static_cast<int>(parked.size()));
  for (const TopicPartition& tp : parked) list.add(tp.topic, tp.partition.value());
  auto code = api().resume_partitions(client_->get(), list.get());
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error("assignment of partitions", code);
  return {};
}

void Reader::unassign(const std::vector<TopicPartition>& partitions) {
  for (const TopicPartition& tp : partitions) assigned_.erase(tp);
  // What fails here fails only where the client has failed, which the next poll says.
  if (!member_) {
    (void)assign_all().ok();
    return;
  }
  std::vector<TopicPartition> back;
  std::vector<std::pair<TopicPartition, Position>> parked;
  for (const TopicPartition& tp : partitions) {
    if (revoked_.erase(tp) != 0) {
      back.push_back(tp);
    } else {
      parked.emplace_back(tp, Position{Offset(RD_KAFKA_OFFSET_END), LeaderEpoch(-1)});
    }
  }
  if (!back.empty()) (void)take_back(back).ok();
  if (parked.empty()) return;
  // The group goes on only when its assignment was taken.
  std::vector<TopicPartition> given;
  for (const auto& [tp, position] : parked) {
    if (given_.count(tp) != 0) given.push_back(tp);
  }
  if (!given.empty()) (void)take_back(given).ok();
  (void)give(parked).ok();
  PartitionList list(static_cast<int>(parked.size()));
  for (const auto& [tp, position] : parked) list.add(tp.topic, tp.partition.value());
  (void)api().pause_partitions(client_->get(), list.get());
}

void Reader::tell(const std::vector<std::pair<TopicPartition, Position>>& positions) {
  PartitionList list(static_cast<int>(positions.size()));
  for (const auto& [tp, position] : positions) {
    list.add(tp.topic, tp.partition.value(), position.offset.value());
  }
  (void)api().commit(client_->get(), list.get(), 1);
}

// An end is told only by a fetch that finds nothing, which rarely happens while events trickle in.
bool Reader::read_to_end(const std::pair<const TopicPartition, Assigned>& one) const {
  if (one.second.at_end) return true;
  int64_t low = 0, high = 0;
  auto code = api().get_watermark_offsets(client_->get(), one.first.topic.c_str(),
                                          one.first.partition.value(), &low, &high);
  return one.second.heard && code == RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0 &&
         one.second.next.offset.value() >= high;
}

bool Reader::at_end() const {
  return drained_ &&
         std::all_of(assigned_.begin(), assigned_.end(), [&](const auto& one) { return read_to_end(one); });
}

bool Reader::idle() const {
  return drained_ &&
         std::all_of(assigned_.begin(), assigned_.end(), [](const auto& one) { return one.second.heard; });
}

int64_t Reader::lag(const TopicPartition& tp, Offset from) const {
  auto found = assigned_.find(tp);
  if (found == assigned_.end()) return -1;
  if (found->second.at_end) return std::max<int64_t>(0, found->second.next.offset.since(from));
  int64_t low = 0, high = 0;
  auto code =
      api().get_watermark_offsets(client_->get(), tp.topic.c_str(), tp.partition.value(), &low, &high);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR || high < 0) return -1;
  return std::max<int64_t>(0, high - from.value());
}

std::vector<std::pair<TopicPartition, Position>> Reader::positions() const {
  std::vector<std::pair<TopicPartition, Position>> all;
  for (const auto& [tp, one] : assigned_) all.emplace_back(tp, one.next);
  return all;
}

Result<std::vector<BatchPtr>> Reader::poll(const Limits& limits) {
  if (failed_) return *std::exchange(failed_, std::nullopt);
  auto kept = std::make_shared<Kept>(client_);
  filling_.clear();
  polled_bytes_ = 0;
  drained_ = true;
  Status taken;
  size_t got = 0;
  // librdkafka's batched call waits until the batch is full; so the wait is for one, and the rest is what is
  // there.
  if (limits.timeout_us > 0) {
    rd_kafka_message_t* first = api().consume_queue(
        queue_, static_cast<int>(std::min<int64_t>((limits.timeout_us + 999) / 1000, 60'000)));
    if (first != nullptr) {
      ++got;
      taken = take(first, kept);
    }
  }
  if (got > 0 || limits.timeout_us == 0) {
    while (taken.ok() && got < limits.max_events && polled_bytes_ < limits.max_bytes) {
      size_t most = std::min(
          {kMessages, limits.max_events - got, (limits.max_bytes - polled_bytes_) / event_bytes_ + 1});
      drained_ = false;
      ssize_t count = api().consume_batch_queue(queue_, 0, messages_.data(), most);
      for (ssize_t i = 0; i < count; ++i) {
        Status one = take(messages_[static_cast<size_t>(i)], kept);
        if (taken.ok()) taken = std::move(one);
      }
      drained_ = count <= 0;
      if (drained_) break;
      got += static_cast<size_t>(count);
    }
  }
  // What came before the error is not lost to whoever goes on after it.
  if (!taken.ok() && filling_.empty()) return std::move(taken).error();
  if (!taken.ok()) failed_ = std::move(taken).error();
  if (got > 0) client_->got_through();
  if (got == 0) TM_TRY(check_reachable());

  std::vector<BatchPtr> batches;
  for (Filling& one : filling_) {
    auto batch = std::make_unique<Batch>();
    batch->source = one.tp;
    batch->first = one.first;
    batch->end = one.end;
    batch->timestamp_type = one.timestamp_type;
    if (!one.records.empty()) batch->set_records(std::move(one.records), kept);
    batch->select_all();
    batches.push_back(std::move(batch));
  }
  if (!kept->messages.empty()) event_bytes_ = std::max<size_t>(64, polled_bytes_ / kept->messages.size());
  return batches;
}

// Takes the message over.
Status Reader::take(rd_kafka_message_t* message, const std::shared_ptr<Kept>& kept) {
  kept->messages.push_back(message);
  if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    const char* text = static_cast<const char*>(message->payload);
    std::string why = text == nullptr ? std::string() : std::string(text, message->len);
    std::string what = "reading";
    if (message->rkt != nullptr) {
      what = TopicPartition{api().topic_name(message->rkt), Partition(message->partition)}.to_string();
    }
    rd_kafka_resp_err_t code = message->err;
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
      char reason[512];
      code = api().fatal_error(client_->get(), reason, sizeof reason);
      why = reason;
    }
    Error error = client_->error(what, code, why);
    // A static member that joins again while its first request is still being answered fences itself.
    const bool itself = code == RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID && !ever_assigned_;
    if (code == RD_KAFKA_RESP_ERR_UNRELEASED_INSTANCE_ID || itself) {
      error.code = Code::kExists;
      return error;
    }
    // A topic that was deleted matches no longer; the group revokes it.
    if (by_pattern_ && code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) return {};
    // It was put out of its group, as a store or a restore took long: the next call says which partitions are
    // lost, and it has joined again.
    if (code == RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED) {
      log_warning(error.message + "; its partitions are taken over, or taken again");
      return {};
    }
    // librdkafka goes on by itself after those.
    if (error.retryable) return {};
    return error;
  }
  if (filling_.empty() || filling_.back().topic != message->rkt ||
      filling_.back().tp.partition.value() != message->partition || filling_.back().bytes >= batch_bytes_) {
    TopicPartition tp{api().topic_name(message->rkt), Partition(message->partition)};
    auto assigned = assigned_.find(tp);
    if (assigned == assigned_.end()) return {};  // unassigned while it was under way
    Filling begun;
    begun.tp = tp;
    begun.assigned = &assigned->second;
    begun.topic = message->rkt;
    begun.first = assigned->second.next.offset;
    begun.end = assigned->second.next;
    filling_.push_back(std::move(begun));
  }
  Filling& to = filling_.back();
  if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    to.end.offset = std::max(to.end.offset, Offset(message->offset));
    to.assigned->next = to.end;
    to.assigned->at_end = true;
    to.assigned->heard = true;
    return {};
  }
  Record record;
  record.offset = Offset(message->offset);
  rd_kafka_timestamp_type_t type = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
  record.timestamp_ms = api().message_timestamp(message, &type);
  to.timestamp_type =
      type == RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME ? TimestampType::kLogAppendTime : TimestampType::kCreateTime;
  record.has_key = message->key != nullptr;
  if (record.has_key) record.key = {static_cast<const char*>(message->key), message->key_len};
  record.has_value = message->payload != nullptr;
  if (record.has_value) record.value = {static_cast<const char*>(message->payload), message->len};
  if (std::string headers = headers_of(message); !headers.empty()) {
    kept->headers.push_back(std::move(headers));
    record.headers = kept->headers.back();
  }
  record.leader_epoch = api().message_leader_epoch(message);
  const size_t bytes = message->len + message->key_len + record.headers.size();
  polled_bytes_ += bytes;
  to.bytes += bytes + sizeof record;
  to.end = {Offset(message->offset + 1), LeaderEpoch(record.leader_epoch)};
  to.records.push_back(record);
  to.assigned->next = to.end;
  to.assigned->at_end = false;
  to.assigned->heard = true;
  return {};
}

// librdkafka says when the last connection fails, and not when one comes back: so that is asked.
Status Reader::check_reachable() {
  if (!client_->all_down()) return {};
  const int64_t now_ns = Clock::system().steady_ns();
  if (now_ns < probe_ns_) return {};
  auto metadata = client_->metadata("no broker can be reached", false, kProbeMs);
  probe_ns_ = Clock::system().steady_ns() + kProbePauseNs;
  if (metadata.ok()) {
    api().metadata_destroy(*metadata);
    return {};
  }
  Error error = std::move(metadata).error();
  error.retryable = true;
  return error;
}

Status read_range(const Connection& connection, const TopicPartition& tp, Offset from, Offset to,
                  const std::function<Status(const Record&)>& each) {
  if (from >= to) return {};
  ReaderOptions options;
  options.fetch_wait_ms = 10;
  TM_ASSIGN(auto reader, Reader::open(connection, std::move(options)));
  TM_TRY(reader->assign({{tp, Position{from, LeaderEpoch(-1)}}}));
  // Between two events, not for all of them.
  constexpr int64_t kPatienceNs = 60'000'000'000;
  int64_t deadline = Clock::system().steady_ns() + kPatienceNs;
  Offset at = from;
  while (at < to) {
    Reader::Limits limits;
    limits.timeout_us = 100'000;
    auto polled = reader->poll(limits);
    if (!polled.ok() && !polled.error().retryable) return std::move(polled).error();
    if (polled.ok()) {
      for (const BatchPtr& batch : *polled) {
        for (const Record& record : batch->records()) {
          if (record.offset < to) TM_TRY(each(record));
        }
        if (batch->end.offset > at) deadline = Clock::system().steady_ns() + kPatienceNs;
        at = std::max(at, batch->end.offset);
      }
    }
    if (at < to && Clock::system().steady_ns() > deadline) {
      Error silent = reader->client().error(
          tp.to_string() + ": offset " + std::to_string(at.value()) + " of " + std::to_string(to.value()),
          RD_KAFKA_RESP_ERR__TIMED_OUT);
      return silent;
    }
  }
  return {};
}

}  // namespace tidemill::kafka
