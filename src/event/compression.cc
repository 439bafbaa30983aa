#include "event/compression.h"

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <algorithm>
#include <array>
#include <bit>
#include <limits>
#include <memory>

#include "base/bytes.h"

namespace tidemill {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"none", "gzip", "snappy", "lz4", "zstd"};
constexpr int kGzipWrapper = 16;  // zlib's windowBits offset for a gzip header and trailer
constexpr int kZstdLevel = 3;     // the default of Kafka's clients
constexpr int kZstdLeastWindowLog = 23, kZstdMostWindowLog = 27;

// snappy-java's SnappyOutputStream, which Kafka's Java clients write: magic, version, oldest
// compatible version, then chunks of {int32 size, raw snappy}.
constexpr std::string_view kXerialMagic("\x82SNAPPY\0", 8);
constexpr size_t kXerialHeader = 16;
// The densest snappy element copies 64 bytes from 3; a larger claim is a lie, not worth allocating for.
constexpr size_t kMaxSnappyRatio = 64;

Error corrupt(Compression codec, std::string_view what) {
  return external_error("not " + std::string(compression_name(codec)) + " data: " + std::string(what),
                        Code::kCorrupt);
}

Error too_large(Compression codec, size_t max_bytes) {
  return external_error(std::string(compression_name(codec)) +
                            " data decompresses to more than the limit of " + std::to_string(max_bytes) +
                            " bytes",
                        Code::kInvalid);
}

struct CloseZstdCompressor {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};
struct CloseZstdDecompressor {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};
struct CloseLz4Decompressor {
  void operator()(LZ4F_dctx* context) const { LZ4F_freeDecompressionContext(context); }
};
struct CloseInflate {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};
struct CloseDeflate {
  void operator()(z_stream* stream) const { deflateEnd(stream); }
};

// The output of a streaming decompressor: grows by doubling, one byte past the limit at most, so
// that output of exactly `max_bytes` is told apart from more.
class BoundedOutput {
 public:
  BoundedOutput(std::string* out, size_t input_bytes, size_t max_bytes) : out_(out), max_bytes_(max_bytes) {
    out_->clear();
    out_->resize(std::min(limit(), std::max<size_t>(input_bytes * 4, 1024)));
  }
  char* at() { return out_->data() + used_; }
  size_t room() const { return out_->size() - used_; }
  void advance(size_t bytes) { used_ += bytes; }
  bool exceeded() const { return used_ > max_bytes_; }
  void grow_if_full() {
    if (room() == 0) out_->resize(std::min(limit(), out_->size() * 2));
  }
  void finish() { out_->resize(used_); }

 private:
  size_t limit() const {
    return max_bytes_ == std::numeric_limits<size_t>::max() ? max_bytes_ : max_bytes_ + 1;
  }
  std::string* out_;
  size_t max_bytes_;
  size_t used_ = 0;
};

constexpr size_t kZlibStep = size_t{1} << 30;  // zlib counts in 32 bits

Status gzip(std::string_view bytes, std::string* out) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, MAX_WBITS + kGzipWrapper, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    return internal_error("zlib cannot start compressing");
  }
  std::unique_ptr<z_stream, CloseDeflate> closer(&stream);
  if (bytes.size() > kZlibStep) return user_error("more than 1 GiB to compress with gzip at once");
  size_t start = out->size();
  out->resize(start + deflateBound(&stream, bytes.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out->data() + start);
  stream.avail_out = static_cast<uInt>(out->size() - start);
  int result = deflate(&stream, Z_FINISH);
  TM_CHECK(result == Z_STREAM_END, "deflateBound was too small");
  out->resize(start + stream.total_out);
  return {};
}

Status gunzip(std::string_view bytes, size_t max_bytes, std::string* out) {
  z_stream stream{};
  if (inflateInit2(&stream, MAX_WBITS + kGzipWrapper) != Z_OK) return internal_error("zlib cannot start");
  std::unique_ptr<z_stream, CloseInflate> closer(&stream);
  BoundedOutput output(out, bytes.size(), max_bytes);
  bool ended = false;
  while (!ended || !bytes.empty()) {
    if (ended) inflateReset(&stream);  // members may follow one another
    output.grow_if_full();
    uInt give = static_cast<uInt>(std::min(bytes.size(), kZlibStep));
    uInt room = static_cast<uInt>(std::min(output.room(), kZlibStep));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream.avail_in = give;
    stream.next_out = reinterpret_cast<Bytef*>(output.at());
    stream.avail_out = room;
    int result = inflate(&stream, Z_NO_FLUSH);
    bytes.remove_prefix(give - stream.avail_in);
    output.advance(room - stream.avail_out);
    if (output.exceeded()) return too_large(Compression::kGzip, max_bytes);
    if (result != Z_OK && result != Z_STREAM_END) return corrupt(Compression::kGzip, "damaged or cut short");
    ended = result == Z_STREAM_END;
    if (!ended && bytes.empty() && stream.avail_out != 0) return corrupt(Compression::kGzip, "cut short");
  }
  output.finish();
  return {};
}

Status unsnappy_block(std::string_view bytes, size_t max_bytes, std::string* out) {
  size_t size = 0;
  if (snappy_uncompressed_length(bytes.data(), bytes.size(), &size) != SNAPPY_OK) {
    return corrupt(Compression::kSnappy, "no length");
  }
  size_t start = out->size();
  if (size > max_bytes - start) return too_large(Compression::kSnappy, max_bytes);
  if (size > bytes.size() * kMaxSnappyRatio) return corrupt(Compression::kSnappy, "impossible length");
  out->resize(start + size);
  if (snappy_uncompress(bytes.data(), bytes.size(), out->data() + start, &size) != SNAPPY_OK) {
    return corrupt(Compression::kSnappy, "damaged or cut short");
  }
  return {};
}

Status unsnappy(std::string_view bytes, size_t max_bytes, std::string* out) {
  out->clear();
  if (!bytes.starts_with(kXerialMagic)) return unsnappy_block(bytes, max_bytes, out);
  if (bytes.size() < kXerialHeader) return corrupt(Compression::kSnappy, "cut short");
  ByteReader chunks(bytes.substr(kXerialHeader));
  while (chunks.remaining() > 0) {
    auto size = chunks.be<int32_t>();
    std::string_view chunk = size < 0 ? std::string_view() : chunks.bytes(static_cast<size_t>(size));
    if (size < 0 || !chunks.ok()) return corrupt(Compression::kSnappy, "a chunk is cut short");
    TM_TRY(unsnappy_block(chunk, max_bytes, out));
  }
  return {};
}

Status lz4(std::string_view bytes, std::string* out) {
  // Kafka's Java reader refuses blocks that depend on one another.
  LZ4F_preferences_t preferences{};
  preferences.frameInfo.blockMode = LZ4F_blockIndependent;
  preferences.frameInfo.blockSizeID = LZ4F_max64KB;
  size_t start = out->size();
  out->resize(start + LZ4F_compressFrameBound(bytes.size(), &preferences));
  size_t size =
      LZ4F_compressFrame(out->data() + start, out->size() - start, bytes.data(), bytes.size(), &preferences);
  if (LZ4F_isError(size) != 0) return internal_error(std::string("lz4: ") + LZ4F_getErrorName(size));
  out->resize(start + size);
  return {};
}

Status unlz4(LZ4F_dctx* context, std::string_view bytes, size_t max_bytes, std::string* out) {
  BoundedOutput output(out, bytes.size(), max_bytes);
  size_t expected = 1;  // what lz4 wants next; 0 at the end of a frame
  while (expected != 0 || !bytes.empty()) {
    output.grow_if_full();
    size_t room = output.room();
    size_t size = bytes.size();
    expected = LZ4F_decompress(context, output.at(), &room, bytes.data(), &size, nullptr);
    if (LZ4F_isError(expected) != 0) return corrupt(Compression::kLz4, LZ4F_getErrorName(expected));
    bytes.remove_prefix(size);
    output.advance(room);
    if (output.exceeded()) return too_large(Compression::kLz4, max_bytes);
    if (expected != 0 && bytes.empty() && output.room() != 0) return corrupt(Compression::kLz4, "cut short");
  }
  output.finish();
  return {};
}

Status unlz4(std::string_view bytes, size_t max_bytes, std::string* out) {
  thread_local std::unique_ptr<LZ4F_dctx, CloseLz4Decompressor> context;
  if (context == nullptr) {
    LZ4F_dctx* created = nullptr;
    TM_CHECK(LZ4F_isError(LZ4F_createDecompressionContext(&created, LZ4F_VERSION)) == 0);
    context.reset(created);
  }
  Status status = unlz4(context.get(), bytes, max_bytes, out);
  // LZ4F_resetDecompressionContext keeps the content size that an unfinished frame announced (lz4 1.9.4), and
  // the next frame would be refused for it.
  if (!status.ok()) context.reset();
  return status;
}

Status zstd(std::string_view bytes, std::string* out) {
  thread_local std::unique_ptr<ZSTD_CCtx, CloseZstdCompressor> context(ZSTD_createCCtx());
  TM_CHECK(context != nullptr);
  size_t start = out->size();
  out->resize(start + ZSTD_compressBound(bytes.size()));
  size_t size = ZSTD_compressCCtx(context.get(), out->data() + start, out->size() - start, bytes.data(),
                                  bytes.size(), kZstdLevel);
  if (ZSTD_isError(size) != 0) return internal_error(std::string("zstd: ") + ZSTD_getErrorName(size));
  out->resize(start + size);
  return {};
}

Status unzstd(std::string_view bytes, size_t max_bytes, std::string* out) {
  thread_local std::unique_ptr<ZSTD_DCtx, CloseZstdDecompressor> context(ZSTD_createDCtx());
  TM_CHECK(context != nullptr);
  ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only);
  // A frame of a few bytes may ask for a window of 2 GiB. Every decoder should take 8 MiB (RFC 8878).
  int window_log =
      std::clamp(static_cast<int>(std::bit_width(max_bytes)), kZstdLeastWindowLog, kZstdMostWindowLog);
  ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, window_log);
  BoundedOutput output(out, bytes.size(), max_bytes);
  ZSTD_inBuffer input{bytes.data(), bytes.size(), 0};
  size_t expected = 1;  // 0 at the end of a frame
  while (expected != 0 || input.pos < input.size) {
    output.grow_if_full();
    ZSTD_outBuffer piece{output.at(), output.room(), 0};
    expected = ZSTD_decompressStream(context.get(), &piece, &input);
    if (ZSTD_getErrorCode(expected) == ZSTD_error_frameParameter_windowTooLarge)
      return too_large(Compression::kZstd, max_bytes);
    if (ZSTD_isError(expected) != 0) return corrupt(Compression::kZstd, ZSTD_getErrorName(expected));
    output.advance(piece.pos);
    if (output.exceeded()) return too_large(Compression::kZstd, max_bytes);
    bool starved = input.pos == input.size && output.room() != 0;
    if (expected != 0 && starved) return corrupt(Compression::kZstd, "cut short");
  }
  output.finish();
  return {};
}

}  // namespace

Status compress_behind(Compression codec, std::string_view bytes, std::string* out) {
  switch (codec) {
    case Compression::kNone:
      out->append(bytes);
      return {};
    case Compression::kGzip:
      return gzip(bytes, out);
    case Compression::kSnappy: {
      size_t start = out->size();
      size_t size = snappy_max_compressed_length(bytes.size());
      out->resize(start + size);
      if (snappy_compress(bytes.data(), bytes.size(), out->data() + start, &size) != SNAPPY_OK) {
        return internal_error("snappy cannot compress");
      }
      out->resize(start + size);
      return {};
    }
    case Compression::kLz4:
      return lz4(bytes, out);
    case Compression::kZstd:
      return zstd(bytes, out);
  }
  return user_error("unknown compression " + std::to_string(static_cast<int>(codec)));
}

Result<std::string> compress(Compression codec, std::string_view bytes) {
  std::string out;
  TM_TRY(compress_behind(codec, bytes, &out));
  return out;
}

Status decompress(Compression codec, std::string_view bytes, size_t max_bytes, std::string* out) {
  switch (codec) {
    case Compression::kNone:
      if (bytes.size() > max_bytes) return too_large(codec, max_bytes);
      out->assign(bytes);
      return {};
    case Compression::kGzip:
      return gunzip(bytes, max_bytes, out);
    case Compression::kSnappy:
      return unsnappy(bytes, max_bytes, out);
    case Compression::kLz4:
      return unlz4(bytes, max_bytes, out);
    case Compression::kZstd:
      return unzstd(bytes, max_bytes, out);
  }
  return external_error("unknown compression " + std::to_string(static_cast<int>(codec)), Code::kCorrupt);
}

Result<Compression> parse_compression(std::string_view name) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<Compression>(i);
  }
  return user_error("unknown compression '" + std::string(name) + "'; use none, gzip, snappy, lz4 or zstd");
}

std::string_view compression_name(Compression codec) {
  auto index = static_cast<size_t>(codec);
  return index < kNames.size() ? kNames[index] : "unknown";
}

}  // namespace tidemill
