// The verifier's own reader of RecordBatch v2 segment files, as Kafka writes them:
// `<log>/<topic>-<partition>/<20 digits>.log`. It reads committed records only.
//
// Not thread-safe, but several readers of the same files may be used side by side.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/file_system.h"
#include "base/result.h"

namespace tidemill::verify {

// One record. The views are borrowed until the reader moves on.
struct LogRecord {
  int64_t offset = 0;
  int64_t timestamp_ms = 0;
  bool append_time = false;  // the timestamp is when the log took it in
  bool has_key = false;
  bool has_value = false;
  std::string_view key;
  std::string_view value;
  std::string_view headers;  // encoded
};

// The value of a header; empty where it is missing. False when the encoding is broken.
bool find_header(std::string_view headers, std::string_view name, std::string_view* value);

struct BatchInfo {
  int64_t base_offset = 0;
  int64_t last_offset = 0;
  int64_t producer_id = -1;
  int64_t base_timestamp_ms = 0;
  int64_t max_timestamp_ms = 0;
  int16_t attributes = 0;
  int32_t count = 0;
  uint64_t size_bytes = 0;

  bool transactional() const { return (attributes & 1 << 4) != 0; }
  bool control() const { return (attributes & 1 << 5) != 0; }
};

inline constexpr size_t kBatchHeaderSize = 61;

// The header at the start of `bytes` (at least kBatchHeaderSize of them). Errors: kCorrupt.
Result<BatchInfo> read_batch_header(std::string_view bytes);
// Checks a whole batch and gives its records (none of a control batch). The views point into
// `batch` or into `*scratch`. Errors: kCorrupt.
Status read_batch(std::string_view batch, std::string* scratch, std::vector<LogRecord>* records);
// Whether a whole control batch commits. Errors: kCorrupt.
Result<bool> control_commits(std::string_view batch);
// Decompresses by Kafka's codec number (1 gzip, 2 snappy, 3 lz4, 4 zstd). Errors: kCorrupt, also
// beyond `limit` bytes.
Status decompress(int codec, std::string_view bytes, size_t limit, std::string* out);

// The files of one partition, scanned once: where the batches stand and which of them count.
class PartitionFiles {
 public:
  // `visible_end`: readers see offsets below it; -1: up to the last stable offset that the files
  // show. Errors: kCorrupt with file and position; kOutOfRange when the files end before visible_end.
  static Result<std::unique_ptr<PartitionFiles>> open(FileSystem& files, const std::string& directory,
                                                      int64_t visible_end);
  int64_t begin() const { return begin_; }
  int64_t end() const { return end_; }
  // Offsets that no batch covers, as [from, to).
  const std::vector<std::pair<int64_t, int64_t>>& gaps() const { return gaps_; }
  const std::string& directory() const { return directory_; }

 private:
  friend class RecordReader;
  struct Segment {
    int64_t base_offset = 0;
    std::string path;
    uint64_t size_bytes = 0;  // of whole batches
    std::unique_ptr<File> file;
  };
  // Where to begin reading for an offset: one mark at least every kMarkBytes.
  struct Mark {
    int64_t offset = 0;
    size_t segment = 0;
    uint64_t position = 0;
  };
  struct Aborted {
    int64_t first = 0;
    int64_t last = 0;
  };
  struct Scan;
  Status scan_segment(size_t number, Scan* scan);
  Status end_transaction(const BatchInfo& batch, std::string_view bytes, Scan* scan);
  bool aborted(const BatchInfo& batch) const;

  std::string directory_;
  int64_t begin_ = 0;
  int64_t end_ = 0;
  std::vector<Segment> segments_;
  std::vector<Mark> marks_;
  std::map<int64_t, std::vector<Aborted>> aborted_;  // by producer id, ascending
  std::vector<std::pair<int64_t, int64_t>> gaps_;
};

// Goes through the visible, committed records of a partition in offset order.
class RecordReader {
 public:
  // `files` is borrowed.
  explicit RecordReader(const PartitionFiles& files) : files_(files) {}
  // The next record goes to the first one at or after `offset`.
  Status seek(int64_t offset);
  // nullptr at the end. Borrowed until the next call.
  Result<const LogRecord*> next();
  // The record at exactly this offset, nullptr where there is none. Cheap when offsets rise.
  Result<const LogRecord*> at(int64_t offset);

 private:
  Result<bool> load();  // the next batch with records; false at the end

  const PartitionFiles& files_;
  size_t segment_ = 0;
  uint64_t position_ = 0;
  int64_t from_ = 0;
  int64_t loaded_end_ = 0;  // offsets below it are loaded or passed
  std::string batch_;
  std::string scratch_;
  std::vector<LogRecord> records_;
  size_t next_ = 0;
};

}  // namespace tidemill::verify
