// What the partitions of one log share.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "log/group_commit.h"
#include "log/log.h"

namespace tidemill::log {

// Read buffers, kept for the next read: a fresh one would cost page faults and a zero-fill for
// every fetch. Thread-safe; buffers may outlive the pool's owner.
class BufferPool : public std::enable_shared_from_this<BufferPool> {
 public:
  std::unique_ptr<std::string> take();
  // Gives the buffer out as a fetch's bytes; it comes back when the last reader drops it.
  std::shared_ptr<const std::string> share(std::unique_ptr<std::string> buffer);

 private:
  static constexpr size_t kKept = 8;
  static constexpr size_t kKeptBytes = 4u << 20;  // larger ones are freed
  void give_back(std::unique_ptr<std::string> buffer);

  std::mutex mutex_;
  std::vector<std::unique_ptr<std::string>> free_;
};

// Says whether a producer may write to a partition within its transaction.
class TransactionGate {
 public:
  virtual ~TransactionGate() = default;
  // Called under the partition's lock, before the write; takes only a lock of its own, and notes
  // that the transaction touches the partition.
  // Errors: kFenced; kInvalid for a producer that is not transactional, or is committing.
  virtual Status enter(Producer producer, const TopicPartition& tp) = 0;
};

struct Shared {
  Shared(FileSystem& file_system, Clock& log_clock, const std::string& path, const Options& log_options)
      : files(file_system), clock(log_clock), directory(path), options(log_options) {}
  FileSystem& files;
  Clock& clock;
  std::string directory;
  Options options;
  LeaderEpoch leader_epoch;  // of this opening
  Fatal fatal{[this] { note_failed_sync(); }};
  GroupCommit group{fatal, options.sync_threads};
  VisibleSignal visible;
  std::shared_ptr<BufferPool> buffers = std::make_shared<BufferPool>();
  TransactionGate* gate = nullptr;

  bool sync_mode() const { return options.durability == Durability::kSync; }
  int64_t now_ms() const { return clock.wall_us() / 1000; }
  // Leaves the note that the next opening looks for (format.h).
  void note_failed_sync() const;
};

}  // namespace tidemill::log
