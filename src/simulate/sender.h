// One instance at work: generates what is due, batches it per partition, and keeps its manifest.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file_system.h"
#include "simulate/appender.h"
#include "simulate/generator.h"
#include "simulate/manifest_keeper.h"
#include "simulate/outbox.h"
#include "simulate/progress.h"

namespace tidemill::simulate {

enum class OnStop {
  kEnd,    // sending ends here: the manifest says finished
  kPause,  // the same call resumes it later
};

// Open loop: the schedule goes on whatever the appender does, and what is overdue is sent as fast
// as it takes it. How far behind it was stands in the manifest.
//
// run() is called once; counters may be read by other threads meanwhile.
class Sender {
 public:
  struct Config {
    std::string name;  // of the producer, and in messages
    std::string manifest_path;
    // How it is sent; see SimulateOptions.
    Compression compression = Compression::kNone;
    int64_t linger_us = 25'000;
    size_t max_batch_bytes = 1u << 20;
    size_t max_in_flight_bytes = 32u << 20;
    OnStop on_stop = OnStop::kEnd;
    int64_t stop_grace_us = 5'000'000;
    bool threaded = true;
    FileSystem* files = nullptr;
    Clock* clock = nullptr;
  };
  // What init() found the log to hold, per partition, of this producer.
  struct Stored {
    Appender::Producer producer;
    std::vector<int64_t> records;
  };
  // `manifest` is new or unfinished. Errors: those of the generator.
  static Result<std::unique_ptr<Sender>> create(Config config, Manifest manifest, Stored stored,
                                                std::unique_ptr<Appender> appender);

  // Returns when everything is sent and acknowledged, or after a stop. Permanent errors of the
  // appender or the manifest's file end it; the manifest is then unfinished.
  Status run(StopSignal stop);

  const LiveCounters& live() const { return live_; }
  int64_t scheduled() const { return scheduled_; }
  // Set once run() has written that everything was sent, or that sending ended.
  bool finished() const { return finished_; }

 private:
  // A partition's batch that is being filled, and where the producer stands in the partition.
  struct Lane {
    RecordBatchBuilder builder;
    BatchAccount account;
    int64_t next_record = 0;
    int64_t oldest_due_us = 0;  // of the batch, since the start
    int64_t stored = 0;         // records that a former process stored: not sent again
    int64_t counted = 0;        // of these, records whose bytes the manifest counted
  };

  Sender(Config config, Manifest manifest, Stored stored, std::unique_ptr<Appender> appender,
         std::unique_ptr<EventGenerator> generator);

  Status send_all(const StopSignal& stop);
  Result<Schedule::Next> generate(int64_t until_us);
  Status take_event();
  // Steps over a copy that is stored; false where it is not.
  bool found(Lane& lane, int32_t partition);
  Status add(int32_t partition, bool last_copy, Uint128 hash);
  Status flush(int32_t partition);
  Status flush_all();
  bool flush_due(Schedule::Next last) const;
  int64_t linger_ends_us(int64_t since_us) const;
  Status publish_manifest();
  Status check_all_found() const;
  bool time_is_over() const;
  Status end(Status sent, const StopSignal& stop);
  Status write_last_manifest(const Manifest& manifest, const StopSignal& stop);
  void sleep_until_due();
  int64_t now_us() const;

  Config config_;
  std::unique_ptr<Appender> appender_;
  std::unique_ptr<EventGenerator> generator_;
  const Appender::Producer producer_;
  const int64_t start_us_;
  const int64_t scheduled_;
  const bool max_rate_;
  const int64_t duration_us_;
  LiveCounters live_;
  std::vector<Lane> lanes_;
  int64_t to_skip_ = 0;  // stored records that are yet to be stepped over
  Progress progress_;
  ManifestKeeper keeper_;
  std::unique_ptr<Outbox> outbox_;
  EventGenerator::Text text_;       // of the current event, where it was asked for
  size_t buffered_ = 0;             // records in builders
  int64_t oldest_buffered_us_ = 0;  // when the first of them was due, since the start
  int64_t first_buffered_us_ = 0;   // when the first of them was added, since the start
  int64_t clock_offset_us_ = 0;     // from the steady clock to time since the start
  int64_t begun_us_ = 0;            // when run() was called, since the start
  int64_t next_publish_us_ = 0;
  bool ended_by_time_ = false;
  bool finished_ = false;
};

}  // namespace tidemill::simulate
