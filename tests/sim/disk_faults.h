// Decides what becomes of each change of the disk, and writes it into the trace.
#pragma once

#include <string>
#include <string_view>

#include "world.h"

namespace tidemill::sim {

class DiskFaults {
 public:
  // `world` must outlive it.
  explicit DiskFaults(World& world);

  // For one life: whether errors and lies happen at all, and where it is to end.
  void begin_life(bool faults);
  void end_after(uint64_t changes) { end_after_ = changes; }
  // The first change from now on of a file whose path holds this, or one of the few after it.
  void end_at(std::string_view part, uint64_t later) {
    end_part_ = part;
    end_later_ = later;
  }

  // In this life so far.
  bool failed_writes() const { return failed_writes_; }
  bool failed_syncs() const { return failed_syncs_; }
  bool failed_reads() const { return failed_reads_; }
  // A file of the log was not synced, and the process died before it could note that.
  bool unnoted_sync_failure() const;
  // Ever: some sync kept nothing.
  bool lied() const { return lied_; }

  // Flips one bit of one file. Returns which, for the trace and the verdict.
  std::string flip_one();

 private:
  MemoryFiles::Fate judge(const MemoryFiles::Change& change);
  MemoryFiles::Fate draw(const MemoryFiles::Change& change);
  bool read_fails(const std::string& path, uint64_t offset, size_t size);
  bool ends_here(const MemoryFiles::Change& change);

  World& world_;
  bool faults_ = false;
  uint64_t end_after_ = 0;
  std::string_view end_part_;
  uint64_t end_later_ = 0;
  bool failed_writes_ = false;
  bool failed_syncs_ = false;
  bool failed_reads_ = false;
  bool failed_log_sync_ = false;
  bool lied_ = false;
};

}  // namespace tidemill::sim
