// Batches on their way: appended, not yet acknowledged, and sent again where an answer was lost.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>

#include "base/clock.h"
#include "simulate/appender.h"
#include "simulate/live_counters.h"
#include "simulate/progress.h"
#include "simulate/ticket_waiter.h"

namespace tidemill::simulate {

// Sequence numbers are record numbers of one producer in one partition, modulo 2^31 (Kafka's).
inline constexpr int64_t kSequences = int64_t{1} << 31;

inline constexpr int64_t kNapUs = 50'000;  // a wait sees a stop within this time

// How many records a partition holds, given the last one's sequence number and a count that is
// nearer than 2^30 to the truth.
int64_t records_behind(std::optional<int32_t> last_sequence, int64_t near);

struct SentBatch {
  int32_t partition = 0;
  int64_t first_record = 0;  // of this producer in the partition
  int64_t records = 0;
  std::string bytes;
  BatchAccount account;
  uint64_t ticket = 0;
};

// Used by one thread.
//
// Invariant: per partition the queue holds consecutive records, the first of which follows the last
// acknowledged one. So after any failure the partition's last sequence says which of them are stored.
class Outbox {
 public:
  struct Config {
    std::string name;  // for messages
    size_t max_in_flight_bytes = 32u << 20;
    int64_t stop_grace_us = 5'000'000;  // how long retries go on after a stop
    bool threaded = true;
  };
  Outbox(Config config, Appender& appender, Clock& clock, StopSignal stop, Progress& progress,
         LiveCounters& live);

  // Appends; where that fails for now, tries again until it succeeds. Waits where too much is in
  // flight. Errors: permanent ones of the appender; kStopped when the grace time after a stop is
  // over. After an error what is in flight stays in doubt.
  Status send(SentBatch batch);
  // Accounts what has been acknowledged. Errors as send().
  Status collect();
  // Waits until everything is acknowledged. Errors as send().
  Status drain();

 private:
  Status wait_for_progress();
  void account(uint64_t completed);
  Status recover(Error error);
  Result<uint64_t> send_again();
  Result<std::map<int32_t, int64_t>> stored_records();
  void report(const Error& error);
  bool given_up();

  Config config_;
  Appender& appender_;
  Clock& clock_;
  StopSignal stop_;
  Progress& progress_;
  LiveCounters& live_;
  TicketWaiter waiter_;
  std::deque<SentBatch> in_flight_;
  size_t in_flight_bytes_ = 0;
  uint64_t completed_ = 0;
  int64_t stop_seen_ns_ = -1;
  int64_t last_report_ns_ = -1;
};

}  // namespace tidemill::simulate
