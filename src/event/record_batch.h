// Kafka's RecordBatch v2: reading, checking and building. Format: docs/formats/record-batch.md.
//
// Batches come from disk, the network and other programs: every function here survives any bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "event/position.h"

namespace tidemill {

enum class Compression : uint8_t { kNone = 0, kGzip = 1, kSnappy = 2, kLz4 = 3, kZstd = 4 };
enum class TimestampType : uint8_t { kCreateTime = 0, kLogAppendTime = 1 };

// What one batch may decompress to, unless its reader has another limit.
inline constexpr size_t kMaxDecompressedBytes = size_t{256} << 20;

// Byte positions in the header (all integers big-endian).
namespace record_batch_layout {
inline constexpr size_t kBaseOffset = 0, kLength = 8, kLeaderEpoch = 12, kMagic = 16, kCrc = 17,
                        kAttributes = 21, kLastOffsetDelta = 23, kBaseTimestamp = 27, kMaxTimestamp = 35,
                        kProducerId = 43, kProducerEpoch = 51, kBaseSequence = 53, kCount = 57, kRecords = 61;
inline constexpr size_t kLogOverhead = 12;  // base offset and length, not counted by length
inline constexpr int16_t kTimestampTypeBit = 1 << 3, kTransactionalBit = 1 << 4, kControlBit = 1 << 5;
}  // namespace record_batch_layout

// The decoded header of one batch.
struct BatchHeader {
  int64_t base_offset = 0;
  int32_t length = 0;  // bytes after the length field
  int32_t leader_epoch = -1;
  int8_t magic = 2;
  uint32_t crc = 0;
  int16_t attributes = 0;
  int32_t last_offset_delta = 0;
  int64_t base_timestamp_ms = -1;
  int64_t max_timestamp_ms = -1;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t count = 0;

  size_t size_bytes() const { return static_cast<size_t>(length) + record_batch_layout::kLogOverhead; }
  int64_t last_offset() const { return base_offset + last_offset_delta; }
  Compression compression() const { return static_cast<Compression>(attributes & 7); }
  TimestampType timestamp_type() const {
    return (attributes & record_batch_layout::kTimestampTypeBit) != 0 ? TimestampType::kLogAppendTime
                                                                      : TimestampType::kCreateTime;
  }
  bool transactional() const { return (attributes & record_batch_layout::kTransactionalBit) != 0; }
  bool control() const { return (attributes & record_batch_layout::kControlBit) != 0; }
};

// What the first bytes of `bytes` are.
//   value with a header: a whole, well-formed header; the batch itself may be longer than `bytes`
//   value without: too few bytes to tell (< 61)
//   error (kCorrupt): not a RecordBatch v2
Result<std::optional<BatchHeader>> parse_batch_header(std::string_view bytes);
// `batch` is exactly one whole batch. Errors: kCorrupt on a wrong length or checksum.
Status check_batch(const BatchHeader& header, std::string_view batch);

// One record, its bytes borrowed from the batch (or from its decompressed copy).
struct Record {
  Offset offset;
  int64_t timestamp_ms = 0;  // of the record, or of the batch's append under log append time
  std::string_view key;
  std::string_view value;
  // Encoded: varint count, then per header sized key and sized value (-1: null); empty where none.
  std::string_view headers;
  int32_t leader_epoch = -1;
  bool has_key = false;    // a null key is not an empty one
  bool has_value = false;  // a null value (tombstone) is not an empty one
};

// Appends the records of one whole, checked batch to `out`. Where the batch is compressed its
// records are decompressed into `*scratch` first, and the views point there; else they point into `batch`.
// Neither what is decompressed nor the Records themselves may take more than `max_bytes`, kInvalid beyond.
// Offsets rise strictly. Control batches give no records. Errors: kCorrupt; `out` is then as before.
Status decode_records(const BatchHeader& header, std::string_view batch, size_t max_bytes,
                      std::string* scratch, std::vector<Record>* out);

struct RecordHeader {
  std::string key;
  std::optional<std::string> value;
};
Result<std::vector<RecordHeader>> decode_headers(std::string_view encoded);
std::string encode_headers(const std::vector<RecordHeader>& headers);

// Builds one batch. Reusable: finish() hands out the bytes, reset() starts the next.
//
// Offsets are 0, 1, 2 … relative to a base that the log sets when it appends; the checksum covers
// neither base offset nor leader epoch, so setting them later leaves it valid.
class RecordBatchBuilder {
 public:
  struct Options {
    Compression compression = Compression::kNone;
    bool transactional = false;
    bool control = false;
    int64_t producer_id = -1;
    int16_t producer_epoch = -1;
    int32_t base_sequence = -1;
  };
  RecordBatchBuilder() { reset({}); }
  explicit RecordBatchBuilder(const Options& options) { reset(options); }
  // `memory` is for its bytes: that of a batch which was finished before and is not needed any more.
  void reset(const Options& options, std::string memory = {});

  // `headers` as Record::headers has them; empty means none.
  void add(int64_t timestamp_ms, std::optional<std::string_view> key, std::optional<std::string_view> value,
           std::string_view headers = {});
  // The same, with the value in parts that are written one after another (a splice needs no copy of its own).
  void add_parts(int64_t timestamp_ms, std::optional<std::string_view> key, const std::string_view* parts,
                 size_t part_count, std::string_view headers = {});
  int32_t count() const { return count_; }
  bool empty() const { return count_ == 0; }
  // Bytes so far, uncompressed, the batch header included.
  size_t size_bytes() const { return bytes_.size(); }

  // The whole batch, compressed and checksummed; call reset() before the next add(). Precondition:
  // not empty. Errors: kInvalid beyond 2 GiB. `with_crc` false leaves the checksum zero for an
  // appender that will set it (seal_batch) after stamping the append time.
  Result<std::string> finish(bool with_crc = true);

 private:
  Options options_;
  std::string bytes_;
  int32_t count_ = 0;
  int64_t base_timestamp_ms_ = 0;
  int64_t max_timestamp_ms_ = 0;
  size_t last_size_ = 0;  // what the next batch will likely need, so that it allocates once
};

// Patches base offset and leader epoch into a whole batch; no checksum changes.
void set_batch_position(char* batch, int64_t base_offset, int32_t leader_epoch);
// Patches producer id, epoch and base sequence; the checksum must be set after.
void set_batch_producer(char* batch, int64_t producer_id, int16_t producer_epoch, int32_t base_sequence);
// Marks log append time and sets max timestamp; the checksum must be set after.
void set_batch_append_time(char* batch, int64_t timestamp_ms);
// Computes and stores the checksum of a whole batch of `size` bytes.
void seal_batch(char* batch, size_t size);

// A control batch of one end-transaction marker (commit or abort), sealed.
std::string make_transaction_marker(bool commit, int64_t producer_id, int16_t producer_epoch,
                                    int64_t timestamp_ms, int32_t coordinator_epoch);
// Whether a whole control batch commits (true) or aborts (false). Errors: kCorrupt.
Result<bool> transaction_marker_commits(const BatchHeader& header, std::string_view batch);

// Whole-buffer codecs, bounded: decompression stops with kInvalid beyond `max_bytes`, with kCorrupt
// where the bytes are not the codec's; it replaces what `out` held. Snappy is read raw and in
// snappy-java's framing, and written raw; lz4 is its frame format.
Result<std::string> compress(Compression codec, std::string_view bytes);
Status decompress(Compression codec, std::string_view bytes, size_t max_bytes, std::string* out);
Result<Compression> parse_compression(std::string_view name);  // none, gzip, snappy, lz4, zstd
std::string_view compression_name(Compression codec);

}  // namespace tidemill
