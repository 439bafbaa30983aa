#include "serve/log_producers.h"

#include <utility>

namespace tidemill::serve {
namespace {

// Sequence numbers begin again at 0 after 2^31 - 1.
int32_t sequence_after(int32_t sequence, int32_t count) {
  return static_cast<int32_t>((static_cast<uint32_t>(sequence) + static_cast<uint32_t>(count)) & 0x7fffffffu);
}

}  // namespace

void LogProducers::own(const TopicPartition& source, log::Producer producer, pipeline::Incarnation token) {
  auto owned = std::make_shared<Owned>(Owned{producer, token, {}});
  std::lock_guard lock(mutex_);
  owned_.insert_or_assign(source, std::move(owned));
}

void LogProducers::disown(const TopicPartition& source) {
  std::lock_guard lock(mutex_);
  owned_.erase(source);
}

std::shared_ptr<LogProducers::Owned> LogProducers::find(const TopicPartition& source) const {
  std::lock_guard lock(mutex_);
  auto found = owned_.find(source);
  return found == owned_.end() ? nullptr : found->second;
}

uint64_t LogProducers::begin() {
  std::lock_guard lock(mutex_);
  live_.insert(++begun_);
  return begun_;
}

bool LogProducers::has_turn(uint64_t output) const {
  std::lock_guard lock(mutex_);
  return !live_.empty() && *live_.begin() == output;
}

void LogProducers::over(uint64_t output) {
  std::lock_guard lock(mutex_);
  live_.erase(output);
}

Status LogProducers::append(Owned& owned, const TopicPartition& to, std::string& batch, int32_t count) {
  int32_t& sequence = owned.next_sequence[to];
  set_batch_producer(batch.data(), owned.producer.id, owned.producer.epoch, sequence);
  TM_TRY(log_.append(to, batch, false));
  sequence = sequence_after(sequence, count);
  return {};
}

Status LogProducers::abort(const Owned& owned) {
  Status aborted = log_.abort(owned.producer);
  if (!aborted.ok() && aborted.error().code == Code::kFenced) return {};
  return aborted;
}

}  // namespace tidemill::serve
