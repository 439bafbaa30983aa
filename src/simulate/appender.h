// How the simulator appends: the same simulator writes to the log of this process, through the
// owner's socket to that of another, or to another system.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "event/position.h"

namespace tidemill::simulate {

// One producer's way to one topic.
//
// Threads: wait() is called on a thread of its own, beside any other function; the others are
// called by one thread at a time.
//
// Errors are retryable where a later, unchanged call may succeed (disk full, connection lost). The
// simulator then asks last_sequence() and goes on behind what is stored, so that an append whose
// answer was lost is never stored twice. Every function returns within seconds: where nobody
// answers, with a retryable error.
class Appender {
 public:
  virtual ~Appender() = default;

  virtual int32_t partitions() const = 0;
  // The offset behind the last record, durable or not.
  virtual Result<Offset> end_offset(int32_t partition) = 0;

  // Who appends, as batches carry it.
  struct Producer {
    int64_t id = -1;
    int16_t epoch = -1;
  };
  // The same name gets the same producer, also after a restart of either side. Called once, before
  // last_sequence and append.
  virtual Result<Producer> init(const std::string& name) = 0;
  // The last sequence number that the partition holds of this producer; nullopt: none. What a former
  // process appended is taken for acknowledged: it must be durable before anything appended later is.
  virtual Result<std::optional<int32_t>> last_sequence(int32_t partition) = 0;

  // Appends one RecordBatch v2, without checksum (an appender that sends it elsewhere seals it).
  // `batch` may be changed, but must stay fit to be appended again. A batch that is stored already,
  // as its sequence number says, is not stored again.
  //
  // The ticket names this append and every one before it to wait(); it is also good for a batch
  // that was stored already. Tickets do not fall from one call to the next while none fails; 0 says
  // that nothing needs to be waited for.
  virtual Result<uint64_t> append(int32_t partition, std::string& batch) = 0;
  // Returns when what the ticket names is acknowledged: as durable as the log was told to make it.
  // After an error none of the appends that were not acknowledged may be taken for stored.
  virtual Status wait(uint64_t ticket) = 0;
};

// Makes the appender of one instance; called before its thread starts.
using AppenderFactory =
    std::function<Result<std::unique_ptr<Appender>>(const std::string& topic, int32_t instance)>;

}  // namespace tidemill::simulate
