#include "serve/kafka_rows.h"

#include "base/clock.h"

namespace tidemill::serve {
namespace {

constexpr int kPollMs = 50;
constexpr size_t kQueueBytes = size_t{2'097'151} << 10;

}  // namespace

Result<std::unique_ptr<KafkaRows>> KafkaRows::open(const kafka::Connection& connection,
                                                   Compression compression, bool idempotent) {
  auto rows = std::unique_ptr<KafkaRows>(new KafkaRows());
  kafka::ProducerOptions options;
  options.compression = compression;
  options.idempotent = idempotent;
  options.linger_ms = 0;  // batches form while others are under way
  // So that nobody is kept waiting in here, where a stop is not heard.
  options.queue_bytes = kQueueBytes;
  options.properties = {{"queue.buffering.max.messages", "10000000"}};
  options.on_delivery = [self = rows.get()](void* opaque, bool delivered, const std::string& why) {
    if (!delivered) {
      std::lock_guard lock(self->mutex_);
      if (self->refused_.empty()) self->refused_ = why;
    }
    static_cast<Sent*>(opaque)->waiting.fetch_sub(1);
  };
  TM_ASSIGN(rows->producer_, kafka::Producer::open(connection, options));
  return rows;
}

KafkaRows::Sent* KafkaRows::begin() {
  std::erase_if(sent_, [](const auto& sent) { return sent->done && sent->waiting == 0; });
  sent_.push_back(std::make_unique<Sent>());
  return sent_.back().get();
}

Status KafkaRows::send(const TopicPartition& to, const Record& record, Sent* sent) {
  ++sent->waiting;
  Status produced = producer_->produce(to, record, sent);
  if (!produced.ok()) --sent->waiting;
  return produced;
}

Status KafkaRows::wait(const Sent& sent, int timeout_ms) {
  const int64_t deadline = Clock::system().steady_ns() + int64_t{timeout_ms} * 1'000'000;
  while (true) {
    const bool answered = sent.waiting == 0;
    {
      std::lock_guard lock(mutex_);
      if (!refused_.empty()) return external_error("Kafka refused a row: " + refused_);
    }
    if (answered) return {};
    if (Clock::system().steady_ns() > deadline) {
      Error silent = producer_->silent(std::to_string(sent.waiting) + " rows are not acknowledged");
      silent.retryable = true;
      return silent;
    }
    producer_->poll(kPollMs);
  }
}

}  // namespace tidemill::serve
