// Damage inside segments: shown, and cut where a person asks for it. Recovery never cuts what was
// durable by itself; this is how to go on without it (`tidemill log repair`).
//
// The log must not be open: the caller holds the data directory's lock.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "event/position.h"

namespace tidemill::log {

struct DamagedPlace {
  TopicPartition tp;
  std::string file;       // the segment's path
  uint64_t position = 0;  // first damaged byte
  uint64_t bytes = 0;     // that a cut removes
  std::string what;       // "checksum …"
  // Offsets [first_lost, end_lost) are lost by the cut. Where nothing follows in the partition the
  // true end may be higher: to_end.
  Offset first_lost;
  Offset end_lost;
  bool to_end = false;
  // Looks like a write that a crash tore at the end of the log; opening cuts it by itself.
  bool torn_tail = false;
};

// Reads every batch of every partition (or of one) and checks it. Changes nothing.
// Errors: kNotFound for a partition that is not there; the disk's own.
Result<std::vector<DamagedPlace>> inspect_damage(FileSystem& files, const std::string& directory);
Result<std::vector<DamagedPlace>> inspect_damage(FileSystem& files, const std::string& directory,
                                                 const TopicPartition& tp);

// Cuts every damaged place of a partition and returns what it cut. Whole batches behind a damaged
// place stay, with their offsets: the lost ones become a gap. Indexes are rebuilt by the next
// opening. Safe to repeat after a crash.
//
// A lost marker of an aborted transaction is decided again: the next opening aborts it, unless the
// same producer committed later in this partition; then its events show.
Result<std::vector<DamagedPlace>> repair_partition(FileSystem& files, const std::string& directory,
                                                   const TopicPartition& tp);

}  // namespace tidemill::log
