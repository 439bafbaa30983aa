#include "simulate/kafka_appender.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "base/logging.h"
#include "event/record_batch.h"
#include "kafka/abilities.h"
#include "kafka/group_sender.h"
#include "kafka/reader.h"

namespace tidemill::simulate {
namespace {

constexpr int64_t kSequenceCount = int64_t{1} << 31;
constexpr int kPatienceMs = 5'000;     // every call returns within seconds
constexpr int64_t kFirstLook = 5'000;  // records from the end of a partition

using Acknowledged = std::function<void(uint64_t records, uint64_t bytes)>;

std::optional<int32_t> sequence_of(const Record& record, const std::string& name) {
  if (record.headers.empty()) return std::nullopt;
  auto headers = decode_headers(record.headers);
  if (!headers.ok()) return std::nullopt;
  for (const RecordHeader& header : *headers) {
    if (header.key != kSentHeader || !header.value) continue;
    const std::string& value = *header.value;
    if (value.size() <= name.size() + 1 || !value.starts_with(name) || value[name.size()] != ' ') continue;
    int32_t sequence = 0;
    auto [end, error] =
        std::from_chars(value.data() + name.size() + 1, value.data() + value.size(), sequence);
    if (error == std::errc() && end == value.data() + value.size()) return sequence;
  }
  return std::nullopt;
}

// Sequence numbers go round.
bool is_later(int32_t one, int32_t than) {
  return (int64_t{one} - than + kSequenceCount) % kSequenceCount < kSequenceCount / 2;
}

class KafkaAppender final : public Appender {
 public:
  KafkaAppender(kafka::Connection connection, std::string topic, Acknowledged acknowledged)
      : connection_(std::move(connection)),
        topic_(std::move(topic)),
        acknowledged_(std::move(acknowledged)) {}

  Status open() {
    TM_ASSIGN(admin_, kafka::Admin::open(connection_, 10'000));
    TM_ASSIGN(partitions_, admin_->partition_count(topic_));
    if (partitions_ == 0) {
      return user_error(
          "Kafka at " + admin_->address() + ": there is no topic " + topic_ + " to simulate into",
          Code::kNotFound);
    }
    TM_ASSIGN(kafka::Abilities abilities, kafka::ask_abilities(connection_, {}));
    if (!abilities.idempotence) {
      log_warning("Kafka at " + admin_->address() + " has no idempotent producers (" +
                  abilities.without_idempotence +
                  "): what is simulated may be in the topic twice after a broken connection");
    }
    kafka::ProducerOptions options;
    options.idempotent = abilities.idempotence;
    options.on_delivery = [this](void* opaque, bool delivered, const std::string& why) {
      on_delivery(static_cast<Sent*>(opaque), delivered, why);
    };
    TM_ASSIGN(sender_, kafka::GroupSender::open(connection_, std::move(options)));
    return {};
  }

  int32_t partitions() const override { return partitions_; }
  Result<Offset> end_offset(int32_t partition) override {
    TM_ASSIGN(auto end, admin_->offsets({at(partition)}, {kafka::OffsetQuery::kEnd, 0}));
    return end.front().offset;
  }
  Result<Producer> init(const std::string& name) override {
    name_ = name;
    return Producer{1, 0};
  }
  Result<std::optional<int32_t>> last_sequence(int32_t partition) override;
  Result<uint64_t> append(int32_t partition, std::string& batch) override;
  Status wait(uint64_t ticket) override;

 private:
  // One batch on its way.
  struct Sent {
    int32_t left = 0;  // records without an answer
    uint64_t records = 0;
    uint64_t bytes = 0;
  };
  TopicPartition at(int32_t partition) const { return {topic_, Partition(partition)}; }
  void on_delivery(Sent* sent, bool delivered, const std::string& why);
  Result<std::optional<int32_t>> find_last(int32_t partition);
  Error silent() const {
    return sender_->silent("what was sent is not acknowledged for " + std::to_string(kPatienceMs / 1'000) +
                           " s");
  }

  const kafka::Connection connection_;
  const std::string topic_;
  const Acknowledged acknowledged_;
  std::string name_;
  int32_t partitions_ = 0;
  std::unique_ptr<kafka::Admin> admin_;
  std::map<int32_t, int64_t> next_;  // sequence number of each partition, once it is known
  std::vector<Record> records_;
  std::string scratch_;

  std::mutex mutex_;
  // Those that are not wholly acknowledged, and acknowledged ones behind such; a ticket is a number of
  // batches.
  std::deque<std::unique_ptr<Sent>> sent_;
  uint64_t appended_ = 0;
  uint64_t completed_ = 0;
  std::string failed_;  // it can be used no more
  std::condition_variable answered_;
  std::unique_ptr<kafka::GroupSender> sender_;  // last: what it calls is still there when it closes
};

void KafkaAppender::on_delivery(Sent* sent, bool delivered, const std::string& why) {
  uint64_t records = 0, bytes = 0;
  {
    std::lock_guard lock(mutex_);
    if (!delivered && failed_.empty()) failed_ = why;
    --sent->left;
    while (failed_.empty() && !sent_.empty() && sent_.front()->left == 0) {
      records += sent_.front()->records;
      bytes += sent_.front()->bytes;
      sent_.pop_front();
      ++completed_;
    }
  }
  if (records > 0 && acknowledged_) acknowledged_(records, bytes);
  if (records > 0 || !delivered) answered_.notify_all();
}

// From the end on backwards, in steps that grow.
Result<std::optional<int32_t>> KafkaAppender::find_last(int32_t partition) {
  TM_ASSIGN(auto begin, admin_->offsets({at(partition)}, {kafka::OffsetQuery::kEarliest, 0}));
  TM_ASSIGN(auto end, admin_->offsets({at(partition)}, {kafka::OffsetQuery::kEnd, 0}));
  const Offset first = begin.front().offset;
  Offset to = end.front().offset;
  for (int64_t step = kFirstLook; to > first; step *= 8) {
    const Offset from = std::max(first, to.next(-step));
    std::optional<int32_t> last;
    TM_TRY(kafka::read_range(connection_, at(partition), from, to, [&](const Record& record) -> Status {
      auto found = sequence_of(record, name_);
      // Where a batch is there twice an older number may come last.
      if (found && (!last || is_later(*found, *last))) last = found;
      return {};
    }));
    if (last) return last;
    to = from;
  }
  return std::optional<int32_t>();
}

Result<std::optional<int32_t>> KafkaAppender::last_sequence(int32_t partition) {
  auto known = next_.find(partition);
  if (known == next_.end()) {
    TM_ASSIGN(std::optional<int32_t> last, find_last(partition));
    next_[partition] = last ? (int64_t{*last} + 1) % kSequenceCount : 0;
    return last;
  }
  // Whatever this process sent is stored once it is acknowledged, and is on its way until then.
  TM_TRY(wait(appended_));
  if (known->second == 0) return std::optional<int32_t>();
  return std::optional<int32_t>(static_cast<int32_t>(known->second - 1));
}

Result<uint64_t> KafkaAppender::append(int32_t partition, std::string& batch) {
  TM_ASSIGN(auto header, parse_batch_header(batch));
  if (!header) return internal_error("a batch without a header");
  if (next_.find(partition) == next_.end()) TM_TRY(last_sequence(partition));
  int64_t& next = next_[partition];
  // How many of its records are stored already, or on their way.
  const int64_t ahead = (next - header->base_sequence + kSequenceCount) % kSequenceCount;
  const int64_t known = ahead < kSequenceCount / 2 ? std::min<int64_t>(ahead, header->count) : 0;
  if (known < header->count) {
    if (!sender_->wait_for_room(kPatienceMs)) return silent();
    records_.clear();
    TM_TRY(decode_records(*header, batch, kMaxDecompressedBytes, &scratch_, &records_));
    auto made = std::make_unique<Sent>();
    Sent* sent = made.get();
    sent->records = static_cast<uint64_t>(header->count - known);
    sent->left = static_cast<int32_t>(sent->records);
    {
      std::lock_guard lock(mutex_);
      if (!failed_.empty()) return external_error("Kafka at " + admin_->address() + ": " + failed_);
      sent_.push_back(std::move(made));
      ++appended_;
    }
    std::vector<RecordHeader> own{{kSentHeader, std::string()}};
    for (int64_t i = known; i < header->count; ++i) {
      Record record = records_[static_cast<size_t>(i)];
      own.front().value = name_ + " " + std::to_string((header->base_sequence + i) % kSequenceCount);
      const std::string headers = encode_headers(own);
      record.headers = headers;
      sent->bytes += record.key.size() + record.value.size();
      TM_TRY(sender_->add(at(partition), record, sent));
    }
    next = (next + header->count - known) % kSequenceCount;
  }
  sender_->send();
  std::lock_guard lock(mutex_);
  return appended_;
}

Status KafkaAppender::wait(uint64_t ticket) {
  std::unique_lock lock(mutex_);
  const bool answered = answered_.wait_for(lock, std::chrono::milliseconds(kPatienceMs),
                                           [&] { return completed_ >= ticket || !failed_.empty(); });
  if (completed_ >= ticket) return {};
  if (!failed_.empty()) return external_error("Kafka at " + admin_->address() + ": " + failed_);
  TM_CHECK(!answered);
  return silent();
}

}  // namespace

AppenderFactory kafka_appenders(const kafka::Connection& connection, Acknowledged acknowledged) {
  return [connection, acknowledged](const std::string& topic, int32_t) -> Result<std::unique_ptr<Appender>> {
    auto appender = std::make_unique<KafkaAppender>(connection, topic, acknowledged);
    TM_TRY(appender->open());
    return std::unique_ptr<Appender>(std::move(appender));
  };
}

}  // namespace tidemill::simulate
