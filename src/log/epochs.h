// The leader epochs of one partition and where each began: Kafka's leader-epoch-checkpoint.
// Not thread-safe: its partition's lock guards it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "event/position.h"

namespace tidemill::log {

class LeaderEpochs {
 public:
  struct Entry {
    LeaderEpoch epoch;
    Offset start;
  };

  // Entries rise in epoch and in start. Returns false where `epoch` is not above the last one.
  // An entry that starts at or after `start` held nothing and is replaced.
  bool assign(LeaderEpoch epoch, Offset start);
  // What the log lost: entries from `end` on go.
  void truncate_from_end(Offset end);
  // What retention deleted: of the entries at or below `start` the last stays, beginning there.
  void truncate_from_start(Offset start);

  std::optional<LeaderEpoch> latest() const;
  // The epoch of the event at `offset`; of the first entry where it is below all.
  std::optional<LeaderEpoch> epoch_of(Offset offset) const;
  // The end of the last epoch that is at most `epoch`; `log_end` where no later one began. Where
  // every entry is above `epoch`: the start of the first.
  Offset end_of(LeaderEpoch epoch, Offset log_end) const;
  const std::vector<Entry>& entries() const { return entries_; }

  static Result<LeaderEpochs> load(FileSystem& files, const std::string& path);
  Status save(FileSystem& files, const std::string& path) const;

 private:
  std::vector<Entry> entries_;
};

}  // namespace tidemill::log
