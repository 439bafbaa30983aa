// A batch: what flows through a pipeline. Records of one partition, with columns decoded beside
// them for the fields that something downstream asked for (design points 9 and 10).
//
//   records   bytes as they came: RecordBatch v2 from a log, or views into kept messages
//   columns   one row per record, in the same order; what the decode plan asked for, then what
//             operators added (enqueuedAt …)
//   selected  the rows that are still in the stream; an operator drops a row by leaving it out
//
// A batch is used by one thread at a time. Views into its records live as long as the batch.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "event/columns.h"
#include "event/position.h"
#include "event/record_batch.h"

namespace tidemill {

// Why a row is not in the stream any more; counted per epoch, so that every input record is
// accounted for: stored + dead + dropped = read.
struct DeadLetter {
  TopicPartition source;
  Offset offset;
  int64_t timestamp_ms = 0;
  std::string reason;  // "createdAt: not a timestamp: …"
  std::string key;
  bool has_key = false;
  std::string value;      // the event's bytes, unchanged (cut at the event limit)
  bool has_value = true;  // false: a tombstone
};

class Batch {
 public:
  Batch() = default;
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  TopicPartition source;
  // The batch covers offsets [first, end.offset) of its partition: end may be past the last record,
  // where control batches, aborted or compacted records were skipped.
  Offset first;
  Position end;
  TimestampType timestamp_type = TimestampType::kCreateTime;

  // Takes `bytes` (whole, checked RecordBatch v2 batches, one after another) and indexes their
  // records; nothing is copied where they are not compressed. Records below `from` and control
  // batches are left out; timestamp_type becomes that of the last batch. Together they may decompress
  // to `max_decompressed_bytes`: those beyond are not taken, and the position where they begin is
  // returned (nullopt: all were taken). Errors: kInvalid where one alone is larger, kCorrupt; the batch
  // is then without records.
  Result<std::optional<Position>> set_record_batches(std::shared_ptr<const std::string> bytes, Offset from,
                                                     size_t max_decompressed_bytes);
  // Views into messages that `keepalive` keeps alive. A value in it may end where its memory ends.
  void set_records(std::vector<Record> records, std::shared_ptr<const void> keepalive);

  // Where the memory behind the records ends, by ascending first row; the bytes between a record's
  // value and `end` may be read (decoders read ahead). Rows before the first entry, or all rows
  // where there is none, have no such bytes.
  struct Backing {
    uint32_t first_row;
    const char* end;
  };
  const std::vector<Backing>& backings() const { return backings_; }

  const std::vector<Record>& records() const { return records_; }
  size_t size() const { return records_.size(); }
  // Bytes of keys and values.
  size_t payload_bytes() const { return payload_bytes_; }
  size_t memory_bytes() const;

  std::vector<Column> columns;
  const Column* column(std::string_view name) const;

  // Ascending row numbers. Sources select every row (select_all).
  std::vector<uint32_t> selected;
  void select_all();

  // Fields that operators added to the event and that a JSON sink splices into its bytes, in
  // order: indexes into `columns`. A column listed here whose name the event already has replaces
  // the event's own member (see json_splice.h).
  std::vector<uint32_t> added;
  // Rows (ascending) whose event already has a top-level member with the name of an added field;
  // found by the decoder when its plan names the added fields. Rare: the splice takes its slow path.
  std::vector<uint32_t> has_added_member;

  std::vector<DeadLetter> dead_letters;
  uint64_t dropped = 0;  // rows that operators dropped on purpose (duplicates, filtered)

 private:
  void add_backing(size_t first_row, const char* memory_end);
  void count_payload();

  std::vector<Record> records_;
  std::vector<Backing> backings_;
  size_t payload_bytes_ = 0;
  size_t kept_bytes_ = 0;  // of the buffers that set_record_batches keeps
  std::vector<std::shared_ptr<const void>> keepalive_;
};

using BatchPtr = std::unique_ptr<Batch>;

}  // namespace tidemill
