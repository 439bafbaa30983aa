// One segment of a partition: a file of whole batches, and the indexes that grow beside it while
// it is the active (last) one. Not thread-safe: the partition's lock guards it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"
#include "event/record_batch.h"
#include "log/format.h"
#include "log/index_files.h"

namespace tidemill::log {

struct Segment {
  Offset base;
  std::string stem;   // directory and the 20 digits
  uint64_t size = 0;  // whole batches; nothing else ever stays in the file
  int64_t max_timestamp_ms = -1;
  Offset max_timestamp_offset;  // last offset of the batch that has it
  std::shared_ptr<File> file;   // of a sealed segment: open only while readers use it

  std::string path(std::string_view suffix) const { return stem + std::string(suffix); }
  bool empty() const { return size == 0; }
};

// The active segment's indexes.
class SegmentIndexes {
 public:
  // Creates the files, with what recovery collected or with nothing.
  Status open(FileSystem& files, const Segment& segment, std::vector<OffsetEntry> offsets = {},
              std::vector<TimeEntry> times = {}, std::vector<AbortedTransaction> aborted = {});
  // Counts a batch that was written at `position` and updates the segment's largest timestamp.
  void add(Segment& segment, const BatchHeader& header, uint64_t position, uint32_t interval_bytes);
  Status add_aborted(const AbortedTransaction& transaction);
  // The last time entry, and everything to the files. May be called again after an error.
  Status seal(const Segment& segment);
  // The files of a sealed segment, just created: a crash leaves them whole, or not taken for whole.
  Status replace(const Segment& segment);
  Status flush();
  Status sync();

  const std::vector<OffsetEntry>& offsets() const { return offsets_.entries(); }
  const std::vector<TimeEntry>& times() const { return times_.entries(); }

 private:
  void add_time(const Segment& segment);

  ActiveIndex<OffsetEntry> offsets_;
  ActiveIndex<TimeEntry> times_;
  ActiveIndex<AbortedTransaction> aborted_;
  uint64_t bytes_since_entry_ = 0;
};

// Collects index entries of a segment that is read from its start, and replaces its index files.
class IndexRebuild {
 public:
  // The segment's batches one after another, from its first.
  void add(Segment& segment, const BatchHeader& header, uint32_t interval_bytes);
  void add_aborted(const AbortedTransaction& transaction) { aborted_.push_back(transaction); }
  // For a segment that goes on growing.
  Status into(FileSystem& files, const Segment& segment, SegmentIndexes* indexes);
  // For a sealed one: writes and syncs the files.
  Status write(FileSystem& files, const Segment& segment);

 private:
  std::vector<OffsetEntry> offsets_;
  std::vector<TimeEntry> times_;
  std::vector<AbortedTransaction> aborted_;
  uint64_t bytes_since_entry_ = 0;
  uint64_t position_ = 0;
};

}  // namespace tidemill::log
