#include "kafka/group_sender.h"

#include <algorithm>
#include <chrono>

namespace tidemill::kafka {
namespace {

constexpr size_t kGroupBytes = Producer::kBatchBytes * 9 / 10;  // of a partition
constexpr size_t kAddedBytes = 36;  // what librdkafka adds to a record's size at most
constexpr int kSliceMs = 100;

}  // namespace

Result<std::unique_ptr<GroupSender>> GroupSender::open(const Connection& connection,
                                                       ProducerOptions options) {
  TM_CHECK(options.transactional_id.empty());
  ProducerOptions producing = options;
  producing.grouped = true;
  TM_ASSIGN(auto producer, Producer::open(connection, producing));
  return std::unique_ptr<GroupSender>(new GroupSender(std::move(producer), std::move(options)));
}

GroupSender::GroupSender(std::unique_ptr<Producer> producer, ProducerOptions options)
    : producer_(std::move(producer)),
      options_(std::move(options)),
      max_record_bytes_(producer_->max_record_bytes()),
      thread_([this] { run(); }) {}

GroupSender::~GroupSender() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  producer_->purge();
  thread_.join();
}

Status GroupSender::add(const TopicPartition& to, const Record& record, void* opaque) {
  const size_t size = record.key.size() + record.headers.size() + record.value.size();
  if (size + kAddedBytes > max_record_bytes_) return too_large(to, record);
  Item item;
  item.topic = &*topics_.insert(to.topic).first;
  item.partition = to.partition;
  item.timestamp_ms = record.timestamp_ms;
  item.opaque = opaque;
  item.at = filling_.bytes.size();
  item.has_key = record.has_key;
  item.has_value = record.has_value;
  item.key_size = record.key.size();
  item.headers_size = record.headers.size();
  item.value_size = record.value.size();
  filling_.bytes.append(record.key).append(record.headers).append(record.value);
  filling_.items.push_back(item);
  return {};
}

void GroupSender::send() {
  if (filling_.items.empty()) return;
  {
    std::lock_guard lock(mutex_);
    waiting_bytes_ += filling_.bytes.size();
    waiting_.push_back(std::move(filling_));
  }
  wake_.notify_one();
  filling_ = {};
}

bool GroupSender::wait_for_room(int timeout_ms) {
  std::unique_lock lock(mutex_);
  return room_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                        [&] { return waiting_bytes_ < options_.queue_bytes; });
}

void GroupSender::run() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    }
    if (stopping_) return;
    const size_t bytes = begin_group();
    while (!stopping_ && producer_->pending() > 0) (void)producer_->flush(kSliceMs).ok();
    {
      std::lock_guard lock(mutex_);
      waiting_bytes_ -= bytes;
    }
    room_.notify_all();
  }
}

// In the order in which they came, up to the first for which a partition has no room left; returns their
// bytes.
size_t GroupSender::begin_group() {
  group_.clear();
  size_t bytes = 0;
  std::unique_lock lock(mutex_);
  while (!waiting_.empty()) {
    Block& block = waiting_.front();
    lock.unlock();  // others only add behind it
    for (; block.next < block.items.size(); ++block.next) {
      if (stopping_) return bytes;
      const Item& item = block.items[block.next];
      const size_t size = item.key_size + item.headers_size + item.value_size;
      size_t& of_partition = group_[{item.topic, item.partition.value()}];
      if (of_partition > 0 && of_partition + size > kGroupBytes) return bytes;
      of_partition += size + kAddedBytes;
      bytes += size;
      hand_over(block, item);
    }
    lock.lock();
    waiting_.pop_front();
  }
  return bytes;
}

void GroupSender::hand_over(const Block& block, const Item& item) {
  const std::string_view bytes = std::string_view(block.bytes).substr(item.at);
  Record record;
  record.timestamp_ms = item.timestamp_ms;
  record.has_key = item.has_key;
  record.has_value = item.has_value;
  record.key = bytes.substr(0, item.key_size);
  record.headers = bytes.substr(item.key_size, item.headers_size);
  record.value = bytes.substr(item.key_size + item.headers_size, item.value_size);
  Status produced = producer_->produce({*item.topic, item.partition}, record, item.opaque);
  if (!produced.ok()) options_.on_delivery(item.opaque, false, produced.error().message);
}

}  // namespace tidemill::kafka
