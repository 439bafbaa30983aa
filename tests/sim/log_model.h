// What the input topic must hold, known only from what calls answered and what readers saw.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "events.h"
#include "log/log.h"
#include "log/repair.h"
#include "world.h"

namespace tidemill::sim {

inline const std::string kInput = "in";
inline TopicPartition input(int partition) {
  return {kInput, Partition(partition)};
}

// One record as a reader got it.
struct ReadRecord {
  int64_t offset = 0;
  int64_t timestamp_ms = 0;
  std::string value;
};
// Everything visible from `from` on; `*end` is where to read on.
Status read_records(log::Log& log, const TopicPartition& tp, int64_t from, size_t max_bytes,
                    log::Isolation isolation, std::vector<ReadRecord>* records, int64_t* end);

enum class Outcome { kOpen, kCommitted, kAborted, kInDoubt };

class LogModel {
 public:
  LogModel(World& world, Events& events) : world_(world), events_(events) {
    partitions_.resize(static_cast<size_t>(world.scenario.partitions));
  }

  // ---- what calls answered
  void appended(int partition, int64_t first, const std::vector<int64_t>& serials);
  // No answer came: it may be there.
  void append_in_doubt(const std::vector<int64_t>& serials);
  // The ends of all partitions now; acknowledged(ends) once a wait for a sync begun here has returned.
  std::vector<int64_t> ends() const;
  void acknowledged(const std::vector<int64_t>& ends);
  int64_t begin_transaction();
  void end_transaction(int64_t id, Outcome outcome) { transactions_[static_cast<size_t>(id)] = outcome; }
  void deleted_before(int partition, int64_t offset, bool known_durable);

  // ---- readers
  // Reads on, as a reader would, and checks what it gets. Under sync what it saw may never vanish.
  void observe(log::Log& log);
  // Reads at a random offset.
  void read_somewhere(log::Log& log);

  // ---- at openings
  // The process ended here: by a power cut, or so that nothing written is lost.
  void life_ended(bool power_cut);
  // Everything that the log holds, against everything that is known.
  void check_opened(log::Log& log);
  // The same after repair cut these places: everything else must be there.
  void check_repaired(log::Log& log, const std::vector<log::DamagedPlace>& places);
  // Some events that had been read are gone, as weak durability allows, and a lying disk.
  bool lost_something() const { return lost_something_; }
  // A power cut took what it wanted of everything in the log, positions and frames too.
  bool lost_at_random() const { return lost_power_ && world_.scenario.may_lose(); }
  // A read said that bytes are damaged, as they may be.
  bool said_damage() const { return said_damage_; }

  // The committed events of a partition in their order, as readers saw them.
  struct Seen {
    int64_t offset;
    int64_t timestamp_ms;
    int64_t serial;
  };
  const std::vector<Seen>& stream(int partition) const { return at(partition).stream; }
  int64_t stream_end(int partition) const { return at(partition).read_to; }
  int64_t log_start(int partition) const { return at(partition).start_low; }
  // Some records were deleted although they had been asked to stay (delete_records).
  bool deleted_beyond(int partition, int64_t offset) const { return at(partition).start_high > offset; }

 private:
  struct PartitionModel {
    std::map<int64_t, int64_t> entries;  // offset → serial
    int64_t durable_end = 0;             // nothing below may vanish
    int64_t kept_end = 0;                // … nor below this, as the process was killed: until a power cut
    int64_t start_low = 0;               // the log start is this or later …
    int64_t start_high = 0;              // … and not beyond this, but for retention
    std::vector<Seen> stream;
    int64_t read_to = 0;
  };
  PartitionModel& at(int partition) { return partitions_[static_cast<size_t>(partition)]; }
  const PartitionModel& at(int partition) const { return partitions_[static_cast<size_t>(partition)]; }
  void read_failed(int partition, const Error& error);
  bool check_record(int partition, const ReadRecord& record);
  // Whether all of it could be read and is right.
  bool check_partition(log::Log& log, int partition);
  void check_missing(int partition, const std::set<int64_t>& there, int64_t start);
  void check_visible(log::Log& log, int partition, const std::set<int64_t>& there, int64_t start);
  void settle_transactions(const std::map<int64_t, std::pair<int, int>>& shown);

  World& world_;
  Events& events_;
  std::vector<PartitionModel> partitions_;
  std::vector<Outcome> transactions_;
  std::map<int64_t, std::pair<int, int>> shown_;  // by transaction in doubt: events visible, hidden
  bool lost_something_ = false;
  bool said_damage_ = false;
  bool lost_power_ = false;
  bool checked_ = true;  // everything, since the last power cut
};

}  // namespace tidemill::sim
