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

namespace tidemill::log {

class SegmentReader {
 public:
  // Reads `file` from `position` on, up to `size`; the first batch's offset is `expected` or above.
  SegmentReader(File& file, uint64_t size, Offset base, Offset expected, uint64_t position = 0);

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
  // The damage is a batch that is whole but whose offset is too low. A torn write looks like that only where
  // the sector that holds the batch's first bytes ends inside its offset or length.
  bool misplaced() const { return misplaced_; }

 private:
  // Makes bytes [position_, position_ + size) available; false where the file ends before.
  Result<bool> load(size_t size);
  Step damaged(std::string what);

  File& file_;
  uint64_t size_;
  Offset base_;
  Offset expected_;
  uint64_t position_;
  std::string buffer_;
  uint64_t buffer_start_ = 0;
  BatchHeader header_;
  std::string_view batch_;
  uint64_t batch_position_ = 0;
  std::string what_;
  bool misplaced_ = false;
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
  // A sector of the damaged stretch is zero up to its end: a write that never reached the disk.
  bool torn = false;
  bool misplaced = false;  // see SegmentReader
};

// Judges the place at which `reader` stopped.
Result<Damage> examine_damage(File& file, uint64_t size, Offset base, const SegmentReader& reader);

}  // namespace tidemill::log
