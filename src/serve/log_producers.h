// The transactional producers of one writer, one for each input partition that it owns, and whose turn it is
// to append by them.
//
// Invariant: what a producer has appended since its last commit or abort is of one output. Outputs have their
// turn in the order in which they were begun, each until it is over: committed, aborted or dropped.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "log/log.h"
#include "pipeline/epoch.h"

namespace tidemill::serve {

// Thread-safe; an Owned is used only by the output that has its turn.
class LogProducers {
 public:
  struct Owned {
    log::Producer producer;
    pipeline::Incarnation token;
    std::map<TopicPartition, int32_t> next_sequence;  // per partition written to
  };

  // The log must outlive it.
  explicit LogProducers(log::Log& log) : log_(log) {}

  void own(const TopicPartition& source, log::Producer producer, pipeline::Incarnation token);
  void disown(const TopicPartition& source);
  // Null where the writer does not own the partition.
  std::shared_ptr<Owned> find(const TopicPartition& source) const;

  // Numbers an output.
  uint64_t begin();
  bool has_turn(uint64_t output) const;
  void over(uint64_t output);

  // Appends a batch of `count` records, unsealed. After an error it may be appended again.
  Status append(Owned& owned, const TopicPartition& to, std::string& batch, int32_t count);
  // A fenced producer's transaction was aborted by whoever fenced it: ok.
  Status abort(const Owned& owned);

 private:
  log::Log& log_;
  mutable std::mutex mutex_;
  std::map<TopicPartition, std::shared_ptr<Owned>> owned_;
  uint64_t begun_ = 0;
  std::set<uint64_t> live_;  // outputs that are not over
};

}  // namespace tidemill::serve
