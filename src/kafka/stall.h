// How long read-committed readers of a topic have been held up: a transaction that stays open keeps the last
// stable offset where it is, and hides what others commit behind it.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "kafka/admin.h"

namespace tidemill::kafka {

struct Stall {
  TopicPartition partition;
  int64_t us = 0;  // since when the last stable offset stands still below the high watermark; 0: it does not
};

// From offsets that were seen, on the steady clock.
class Stalls {
 public:
  void see(const TopicPartition& tp, Offset stable, Offset high, int64_t now_ns);
  std::vector<Stall> at(int64_t now_ns) const;

 private:
  struct Seen {
    Offset stable;
    int64_t since_ns = -1;  // -1: nothing is hidden
  };
  std::map<TopicPartition, Seen> seen_;
};

// Looks at the partitions of some topics once a second. Thread-safe.
class StallWatch {
 public:
  // Errors: Client::open's. Topics that are not there yet are watched once they are.
  static Result<std::unique_ptr<StallWatch>> open(const Connection& connection,
                                                  std::vector<std::string> topics);
  ~StallWatch();

  // Begins to look, on a thread of its own.
  void start();
  // Looks once. What cannot be asked is left as it was seen last.
  void look();
  std::vector<Stall> stalls() const;

 private:
  StallWatch(std::unique_ptr<Admin> admin, std::vector<std::string> topics)
      : admin_(std::move(admin)), topics_(std::move(topics)) {}

  std::unique_ptr<Admin> admin_;
  const std::vector<std::string> topics_;
  mutable std::mutex mutex_;
  Stalls stalls_;
  std::atomic<bool> closing_{false};
  std::thread thread_;
};

}  // namespace tidemill::kafka
