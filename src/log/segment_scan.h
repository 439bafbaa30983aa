// Reading a segment file batch by batch, and judging what stops it: a write that a crash tore, or
// damage to what was whole. Used by recovery and by repair; bounded memory on any bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/file_system.h"
#include "base/result.h"
#include "event/record_batch.h"
#include "log/repaired.h"

namespace tidemill::log {

class SegmentReader {
 public:
  // Reads `file` from `position` on, up to `size`; the first batch begins at `expected`, and each other one
  // where the one before it ended, but for these gaps (which must outlive the reader; null: any).
  SegmentReader(File& file, uint64_t size, Offset base, Offset expected, const Gaps* gaps,
                uint64_t position = 0);

  enum class Step { kBatch, kEnd, kDamaged };
  // kBatch: header() and bytes() are the next batch, its checksum verified; they hold until the
  // next call. kDamaged: position() is where, what() says what. Errors: the disk cannot be read.
  Result<Step> next();

  const BatchHeader& header() const { return header_; }
  std::string_view bytes() const { return batch_; }
  uint64_t batch_position() const { return batch_position_; }
  uint64_t position() const { return position_; }  // behind the last batch
  Offset expected() const { return expected_; }    // the offset behind the last batch
  const std::string& what() const { return what_; }
  // The damage is a batch that is whole but does not continue the one before. A torn write looks like that
  // only where the offset is too low, and the sector that holds the batch's first bytes ends inside its
  // offset or length.
  bool misplaced() const { return misplaced_; }
  // The damage is that the file ends inside a batch.
  bool cut_short() const { return cut_short_; }
  bool too_high() const { return misplaced_ && header_.base_offset > expected_.value(); }

 private:
  // Makes bytes [position_, position_ + size) available; false where the file ends before.
  Result<bool> load(size_t size);
  Step damaged(std::string what);

  File& file_;
  uint64_t size_;
  Offset base_;
  Offset expected_;
  const Gaps* gaps_;
  uint64_t position_;
  std::string buffer_;
  uint64_t buffer_start_ = 0;
  BatchHeader header_;
  std::string_view batch_;
  uint64_t batch_position_ = 0;
  std::string what_;
  bool misplaced_ = false;
  bool cut_short_ = false;
};

// What a damaged place in a segment is.
struct Damage {
  uint64_t position = 0;  // where whole batches end
  Offset expected;        // the offset that should stand there
  std::string what;
  // The next whole batch behind it; nullopt where the rest of the file has none.
  struct Resume {
    uint64_t position = 0;
    Offset offset;
  };
  std::optional<Resume> resume;
  // A write that never reached the disk: a sector of the damaged stretch is zero up to its end, or the file
  // ends inside the batch.
  bool torn = false;
  bool misplaced = false;  // see SegmentReader
};

// The header of the batch at `position`; nullopt where none can stand there, or it does not lie within
// `size`. The batch itself is not read.
Result<std::optional<BatchHeader>> header_at(File& file, uint64_t size, uint64_t position);

// Judges the place at which `reader` stopped.
Result<Damage> examine_damage(File& file, uint64_t size, Offset base, const SegmentReader& reader);

}  // namespace tidemill::log
