#include "serve/kafka_rows.h"

#include <chrono>

namespace tidemill::serve {
Result<std::unique_ptr<KafkaRows>> KafkaRows::open(const kafka::Connection& connection,
                                                   Compression compression, bool idempotent) {
  auto rows = std::unique_ptr<KafkaRows>(new KafkaRows());
  kafka::ProducerOptions options;
  options.compression = compression;
  options.idempotent = idempotent;
  options.on_delivery = [self = rows.get()](void* opaque, bool delivered, const std::string& why) {
    if (!delivered) {
      std::lock_guard lock(self->mutex_);
      if (self->refused_.empty()) self->refused_ = why;
    }
    if (static_cast<Sent*>(opaque)->waiting.fetch_sub(1) != 1 && delivered) return;
    { std::lock_guard lock(self->mutex_); }  // whoever looked before waits now
    self->answered_.notify_all();
  };
  TM_ASSIGN(rows->sender_, kafka::GroupSender::open(connection, std::move(options)));
  return rows;
}

KafkaRows::Sent* KafkaRows::begin() {
  std::erase_if(sent_, [](const auto& sent) { return sent->done && sent->waiting == 0; });
  sent_.push_back(std::make_unique<Sent>());
  return sent_.back().get();
}

Status KafkaRows::add(const TopicPartition& to, const Record& record, Sent* sent) {
  ++sent->waiting;
  Status added = sender_->add(to, record, sent);
  if (!added.ok()) --sent->waiting;
  return added;
}

Status KafkaRows::wait(const Sent& sent, int timeout_ms) {
  std::unique_lock lock(mutex_);
  const bool answered = answered_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                                           [&] { return sent.waiting == 0 || !refused_.empty(); });
  if (!refused_.empty()) return external_error("Kafka refused a row: " + refused_);
  if (answered) return {};
  lock.unlock();
  Error silent = sender_->silent(std::to_string(sent.waiting) + " rows are not acknowledged");
  silent.retryable = true;
  return silent;
}

}  // namespace tidemill::serve
