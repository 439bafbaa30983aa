#include "kafka/stall.h"

#include "base/clock.h"

namespace tidemill::kafka {
namespace {

constexpr int kTimeoutMs = 5'000;
constexpr int64_t kNapUs = 50'000;
constexpr int kNaps = 20;  // from one look to the next

}  // namespace

void Stalls::see(const TopicPartition& tp, Offset stable, Offset high, int64_t now_ns) {
  Seen& seen = seen_[tp];
  const bool moved = seen.since_ns < 0 || seen.stable != stable;
  if (stable >= high) {
    seen.since_ns = -1;
  } else if (moved) {
    seen.since_ns = now_ns;
  }
  seen.stable = stable;
}

std::vector<Stall> Stalls::at(int64_t now_ns) const {
  std::vector<Stall> all;
  for (const auto& [tp, seen] : seen_) {
    all.push_back({tp, seen.since_ns < 0 ? 0 : (now_ns - seen.since_ns) / 1000});
  }
  return all;
}

Result<std::unique_ptr<StallWatch>> StallWatch::open(const Connection& connection,
                                                     std::vector<std::string> topics) {
  TM_ASSIGN(auto admin, Admin::open(connection, kTimeoutMs));
  return std::unique_ptr<StallWatch>(new StallWatch(std::move(admin), std::move(topics)));
}

StallWatch::~StallWatch() {
  closing_ = true;
  if (thread_.joinable()) thread_.join();
}

void StallWatch::start() {
  thread_ = std::thread([this] {
    while (!closing_) {
      look();
      for (int i = 0; i < kNaps && !closing_; ++i) Clock::system().sleep_us(kNapUs);
    }
  });
}

void StallWatch::look() {
  for (const std::string& topic : topics_) {
    auto count = admin_->partitions_now(topic);
    if (!count.ok() || *count == 0 || closing_) continue;
    std::vector<TopicPartition> all;
    for (int32_t p = 0; p < *count; ++p) all.push_back({topic, Partition(p)});
    // In this order: what is committed between the two hides nothing.
    auto high = admin_->offsets(all, {OffsetQuery::kEnd, 0});
    if (!high.ok() || closing_) continue;
    auto stable = admin_->offsets(all, {OffsetQuery::kStableEnd, 0});
    if (!stable.ok()) continue;
    const int64_t now_ns = Clock::system().steady_ns();
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < all.size(); ++i) {
      stalls_.see(all[i], (*stable)[i].offset, (*high)[i].offset, now_ns);
    }
  }
}

std::vector<Stall> StallWatch::stalls() const {
  std::lock_guard lock(mutex_);
  return stalls_.at(Clock::system().steady_ns());
}

}  // namespace tidemill::kafka
