#include "kafka/producer.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <optional>
#include <system_error>
#include <thread>

#include "base/clock.h"
#include "kafka/group_commit.h"

namespace tidemill::kafka {
namespace {

constexpr size_t kRecordOverhead = 10;  // of a record in a batch, about
constexpr size_t kRestError = 4;        // records by which the size of a batch is guessed wrong
constexpr int kLongLingerMs = 10'000;   // what is produced goes when the queue is flushed
constexpr int64_t kFullNs = 60'000'000'000;

struct GroupMetadata {
  ~GroupMetadata() {
    if (handle != nullptr) api().consumer_group_metadata_destroy(handle);
  }
  rd_kafka_consumer_group_metadata_t* handle = nullptr;
};

// Has what was produced sent, however small its batches are, while its owner waits for something else.
class Flushing {
 public:
  explicit Flushing(rd_kafka_t* client) {
    try {
      thread_ = std::thread([this, client] {
        while (!stopping_ && api().flush(client, kFlushSliceMs) == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        }
      });
    } catch (const std::system_error&) {
      // No more threads: the commit sends it.
    }
  }
  ~Flushing() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
  }
  Flushing(const Flushing&) = delete;
  Flushing& operator=(const Flushing&) = delete;

 private:
  static constexpr int kFlushSliceMs = 1;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace

Error too_large(const TopicPartition& to, const Record& record) {
  return external_error("writing to " + to.to_string() + ": an event of " +
                            std::to_string(record.value.size()) +
                            " bytes is larger than message.max.bytes: raise it here under properties and on "
                            "the brokers, or lower event.max_bytes",
                        Code::kInvalid);
}

Result<std::unique_ptr<Producer>> Producer::open(const Connection& connection,
                                                 const ProducerOptions& options) {
  Client::Options made;
  made.properties = {
      {"acks", "all"},
      {"enable.idempotence", options.idempotent ? "true" : "false"},
      {"compression.codec", std::string(compression_name(options.compression))},
      {"batch.size", std::to_string(kBatchBytes)},
      {"reconnect.backoff.max.ms", "1000"},
      // A request that waits for a coordinator may miss that there is one until metadata comes again.
      {"topic.metadata.refresh.interval.ms", "10000"},
  };
  if (options.transactional_id.empty()) {
    // Never given up: what a client gives up it may have stored all the same.
    made.properties.emplace_back("message.timeout.ms", "0");
    made.properties.emplace_back("linger.ms",
                                 std::to_string(options.grouped ? kLongLingerMs : options.linger_ms));
    if (options.grouped) made.properties.emplace_back("batch.num.messages", "1000000");
    made.properties.emplace_back("queue.buffering.max.kbytes",
                                 options.grouped ? "2097151" : std::to_string(options.queue_bytes >> 10));
    made.properties.emplace_back("queue.buffering.max.messages", options.grouped ? "10000000" : "500000");
    if (!options.idempotent) made.properties.emplace_back("max.in.flight.requests.per.connection", "1");
  } else {
    // Whole batches go by themselves, the rest with the commit (wait_for_whole_batches).
    // Less than the transaction may take, which librdkafka wants.
    made.properties.emplace_back("linger.ms",
                                 std::to_string(std::min(kLongLingerMs, options.transaction_timeout_ms / 2)));
    made.properties.emplace_back("batch.num.messages", "1000000");
    made.properties.emplace_back("queue.buffering.max.kbytes", "2097151");
    made.properties.emplace_back("queue.buffering.max.messages", "10000000");
    made.properties.emplace_back("transactional.id", options.transactional_id);
    made.properties.emplace_back("transaction.timeout.ms", std::to_string(options.transaction_timeout_ms));
  }
  for (const auto& property : options.properties) made.properties.push_back(property);
  made.on_delivery = options.on_delivery;
  TM_ASSIGN(auto client, Client::open(connection, std::move(made)));
  return std::unique_ptr<Producer>(new Producer(std::move(client), !options.transactional_id.empty()));
}

Producer::~Producer() {
  purge();
  for (auto& [name, topic] : topics_) api().topic_destroy(topic);
}

Error Producer::failed(const std::string& what, rd_kafka_error_t* error) {
  fatal_ |= api().error_is_fatal(error) != 0;
  must_abort_ |= api().error_txn_requires_abort(error) != 0;
  Error made = client_->error(what, error);
  fenced_ |= made.code == Code::kFenced;
  if (fatal_) made.retryable = false;
  return made;
}

Status Producer::init(int timeout_ms) {
  const int64_t deadline = Clock::system().steady_ns() + int64_t{timeout_ms} * 1'000'000;
  // librdkafka looks for the coordinator at once where a broker is connected, and else half a second later.
  TM_ASSIGN(const rd_kafka_metadata_t* metadata,
            client_->metadata("beginning to write in transactions", false, timeout_ms));
  api().metadata_destroy(metadata);
  while (true) {
    rd_kafka_error_t* error = api().init_transactions(client_->get(), timeout_ms);
    api().poll(client_->get(), 0);
    if (error == nullptr) return {};
    const bool again = api().error_is_retriable(error) != 0;
    Error why = failed("beginning to write in transactions", error);
    if (!again || Clock::system().steady_ns() > deadline) return why;
  }
}

Status Producer::begin() {
  must_abort_ = false;
  sent_.clear();
  last_topic_ = nullptr;
  if (rd_kafka_error_t* error = api().begin_transaction(client_->get()))
    return failed("begin of a transaction", error);
  return {};
}

rd_kafka_topic_t* Producer::topic(const std::string& name) {
  rd_kafka_topic_t*& handle = topics_[name];
  if (handle == nullptr) handle = api().topic_new(client_->get(), name.c_str(), nullptr);
  return handle;
}

Status Producer::produce(const TopicPartition& to, const Record& record, void* opaque, bool copy) {
  std::array<rd_kafka_vu_t, 8> told;
  size_t count = 0;
  auto add = [&](rd_kafka_vtype_t type) -> rd_kafka_vu_t& {
    told[count].vtype = type;
    return told[count++];
  };
  rd_kafka_topic_t* const handle = topic(to.topic);
  add(RD_KAFKA_VTYPE_RKT).u.rkt = handle;
  add(RD_KAFKA_VTYPE_PARTITION).u.i32 = to.partition.value();
  add(RD_KAFKA_VTYPE_MSGFLAGS).u.i = copy ? RD_KAFKA_MSG_F_COPY : 0;
  if (opaque != nullptr) add(RD_KAFKA_VTYPE_OPAQUE).u.ptr = opaque;
  add(RD_KAFKA_VTYPE_TIMESTAMP).u.i64 = record.timestamp_ms;
  if (record.has_key) {
    // A key that is empty is not a null one: what it points at must not be null.
    rd_kafka_vu_t& key = add(RD_KAFKA_VTYPE_KEY);
    key.u.mem.ptr = const_cast<char*>(record.key.data() == nullptr ? "" : record.key.data());
    key.u.mem.size = record.key.size();
  }
  if (record.has_value) {
    rd_kafka_vu_t& value = add(RD_KAFKA_VTYPE_VALUE);
    value.u.mem.ptr = const_cast<char*>(record.value.data() == nullptr ? "" : record.value.data());
    value.u.mem.size = record.value.size();
  }
  rd_kafka_headers_t* headers = nullptr;
  if (!record.headers.empty()) {
    TM_ASSIGN(std::vector<RecordHeader> decoded, decode_headers(record.headers));
    headers = api().headers_new(decoded.size());
    for (const RecordHeader& header : decoded) {
      api().header_add(headers, header.key.data(), static_cast<ssize_t>(header.key.size()),
                       header.value ? header.value->data() : nullptr,
                       header.value ? static_cast<ssize_t>(header.value->size()) : 0);
    }
    add(RD_KAFKA_VTYPE_HEADERS).u.headers = headers;
  }
  const int64_t deadline = Clock::system().steady_ns() + kFullNs;
  while (true) {
    rd_kafka_error_t* error = api().produceva(client_->get(), told.data(), count);
    if (error == nullptr) {
      if (transactional_) count_in(handle, to.partition.value(), record);
      return {};
    }
    const bool full = api().error_code(error) == RD_KAFKA_RESP_ERR__QUEUE_FULL;
    if (full && Clock::system().steady_ns() < deadline) {
      api().error_destroy(error);
      api().poll(client_->get(), 1);
      continue;
    }
    if (headers != nullptr) api().headers_destroy(headers);
    const bool large = api().error_code(error) == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    Error why = failed("writing to " + to.to_string(), error);
    return large ? too_large(to, record) : why;
  }
}

void Producer::purge() {
  api().purge(client_->get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
}

size_t Producer::max_record_bytes() const {
  std::array<char, 32> text{};
  size_t size = text.size();
  if (api().conf_get(api().conf(client_->get()), "message.max.bytes", text.data(), &size) != RD_KAFKA_CONF_OK)
    return kBatchBytes;
  return std::strtoull(text.data(), nullptr, 10);
}

Status Producer::send_offsets(const GroupCommit& commit, int timeout_ms) {
  GroupMetadata metadata;
  metadata.handle = api().consumer_group_metadata_new(commit.group.c_str());
  OffsetList list(commit.offsets);
  // One batch of each partition is not what librdkafka's threads spin for (wait_for_whole_batches).
  std::optional<Flushing> rows;
  if (const int waiting = pending(); waiting > 0 && waiting <= rest()) rows.emplace(client_->get());
  rd_kafka_error_t* error =
      api().send_offsets_to_transaction(client_->get(), list.get(), metadata.handle, timeout_ms);
  if (error != nullptr) return failed("positions of group " + commit.group, error);
  return {};
}

void Producer::count_in(rd_kafka_topic_t* topic, int32_t partition, const Record& record) {
  if (topic != last_topic_ || partition != last_partition_) {
    last_sent_ = &sent_[{topic, partition}];
    last_topic_ = topic;
    last_partition_ = partition;
  }
  ++last_sent_->records;
  last_sent_->bytes += record.key.size() + record.value.size();
}

// How many records stay behind when all whole batches have gone, about: what a commit then sends.
int64_t Producer::rest() const {
  int64_t rest = 0;
  for (const auto& [where, sent] : sent_) {
    if (sent.records == 0) continue;
    const size_t each = sent.bytes / sent.records,
                 in_batch = std::max<size_t>(1, kBatchBytes / (each + kRecordOverhead));
    const size_t batches =
        sent.bytes < kBatchBytes ? 0 : (sent.bytes - kBatchBytes) / std::max<size_t>(1, in_batch * each) + 1;
    rest += static_cast<int64_t>(sent.records - std::min(sent.records, batches * in_batch) +
                                 kRestError * batches);
  }
  return rest;
}

// librdkafka has one batch of a partition under way at a time, and its threads spin while another one that is
// due waits for it. Whole batches are not due but sent when they can be. A commit makes all else due; so it
// is called when they have gone, or nothing moves any more.
void Producer::wait_for_whole_batches(int64_t deadline_ns) {
  constexpr int64_t kStandstillNs = 50'000'000;
  const int64_t rest = this->rest();
  int64_t before = INT64_MAX, since_ns = 0;
  while (true) {
    const int64_t waiting = pending(), now_ns = Clock::system().steady_ns();
    if (waiting != before) since_ns = now_ns;
    if (waiting <= rest || now_ns - since_ns > kStandstillNs || now_ns > deadline_ns) return;
    before = waiting;
    api().poll(client_->get(), 1);
  }
}

Producer::End Producer::commit(int timeout_ms, Error* why) {
  const int64_t deadline = Clock::system().steady_ns() + int64_t{timeout_ms} * 1'000'000;
  wait_for_whole_batches(deadline);
  while (true) {
    rd_kafka_error_t* error = api().commit_transaction(client_->get(), timeout_ms);
    api().poll(client_->get(), 0);
    if (error == nullptr) return End::kDone;
    const bool again = api().error_is_retriable(error) != 0;
    *why = failed("commit of a transaction", error);
    if (must_abort_ && !fatal_) return abort(timeout_ms, *why);
    if (fenced_) return End::kFenced;
    if (fatal_ || !again || Clock::system().steady_ns() > deadline) return End::kUnknown;
  }
}

Producer::End Producer::abort(int timeout_ms, const Error&) {
  if (fenced_) return End::kFenced;
  if (fatal_) return End::kUnknown;
  const int64_t deadline = Clock::system().steady_ns() + int64_t{timeout_ms} * 1'000'000;
  while (true) {
    rd_kafka_error_t* error = api().abort_transaction(client_->get(), timeout_ms);
    api().poll(client_->get(), 0);
    if (error == nullptr) return End::kAborted;
    const bool again = api().error_is_retriable(error) != 0;
    (void)failed("abort of a transaction", error);
    if (fenced_) return End::kFenced;
    if (fatal_ || !again || Clock::system().steady_ns() > deadline) return End::kUnknown;
  }
}

Status Producer::flush(int timeout_ms) {
  auto code = api().flush(client_->get(), timeout_ms);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) return client_->error("writing", code);
  char text[512];
  code = api().fatal_error(client_->get(), text, sizeof text);
  if (code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    fatal_ = true;
    Error error = client_->error("writing", code, text);
    error.retryable = false;
    return error;
  }
  return {};
}

}  // namespace tidemill::kafka
